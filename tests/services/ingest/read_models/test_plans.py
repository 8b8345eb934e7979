"""What dashboards and removals ask goes by index, in a tenant with months of scans."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib import import_module
from typing import Any

import pytest

from libs.postgres.pool import tenant_transaction
from libs.testing.databases import migrated
from libs.testing.pools import tenant_pool
from services.ingest.domain.day import Days
from services.ingest.read_models import activity, removal, scan_log
from tests.services.ingest.history import asking, fill

SCANS = """
INSERT INTO scan_log (tenant, day, scan_id, kind, operator, client, city, box, code, source,
    scanned_at, received_at, effective_at, skewed, removed_at)
SELECT 'tenant-' || n % 2, date '2025-09-01' + n / 2500, gen_random_uuid(),
    CASE WHEN n % 10 < 7 THEN 'ITEM' ELSE (ARRAY['BOX', 'CLOSE', 'ERROR'])[n % 3 + 1] END,
    'operator-' || n / 2 % 25, 'client-' || n / 2 % 12, 'city-' || n / 2 % 4,
    'client-' || n / 2 % 12 || '/' || n / 2 % 60, lpad((n * 7919 % 5000)::text, 13, '0'), 'pwa',
    at, at + interval '1 second', at, false, CASE WHEN n % 200 = 0 THEN at END
FROM generate_series(0, 149999) AS n, LATERAL (
    SELECT (date '2025-09-01' + n / 2500) + n % 2500 * interval '20 seconds' AS at) AS moment
"""
COUNTERS = """
INSERT INTO activity (tenant, day, operator, client, city, kind, count, last_received_at, last_at,
    last_scan_id, last_box)
SELECT 'tenant-' || n % 2, date '2025-09-01' + n / 2500, 'operator-' || n / 2 % 25,
    'client-' || n / 50 % 5, 'city-' || n / 250 % 4, 'KIND-' || n / 1000, 3,
    now(), now(), gen_random_uuid(), ''
FROM generate_series(0, 149999) AS n
ON CONFLICT DO NOTHING
"""
REMOVED = """
INSERT INTO removal (tenant, day, scan_id, removal_id, removed_at, removed_by, reason, kind,
    operator, client, city, box, code, source, scanned_at, received_at, effective_at, skewed)
SELECT tenant, day, scan_id, scan_id, received_at, operator, '', kind, operator, client, city, box,
    code, source, scanned_at, received_at, effective_at, false
FROM scan_log
"""
SUMS = import_module("services.ingest.migrations.versions.0007_activity_total")
TOTALS = SUMS.FILL.format(latest=SUMS.LATEST)
DAY = date(2025, 10, 15)
question = partial(asking, Days(first=DAY, last=DAY), "tenant-0")


@dataclass
class Explaining:
    """A connection that lets every query be explained and answers nothing."""

    connection: Any
    plans: list[str] = field(default_factory=list)

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        asked = f"EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) {sql}"
        rows = await self.connection.fetch(asked, *values)
        self.plans.append("\n".join(row[0] for row in rows))
        return []

    async def fetchval(self, sql: str, *values: Any) -> int:
        await self.fetch(sql, *values)
        return 0

    def read(self) -> str:
        """What was explained so far, without a table read from end to end."""
        assert self.plans
        said = "\n".join(self.plans)
        assert "Seq Scan" not in said, said
        return said


@pytest.fixture(scope="module")
def months(postgres_url: str) -> Iterator[str]:
    """The address of a database filled once for all tests here: they only look."""
    with migrated(postgres_url, "ingest") as url:
        analyze = "ANALYZE scan_log, activity, activity_total, removal"
        asyncio.run(fill(url, SCANS, COUNTERS, TOTALS, REMOVED, analyze))
        yield url


@pytest.fixture
async def explaining(months: str) -> AsyncIterator[Explaining]:
    """The database as questions see it."""
    async with (
        tenant_pool(months, "ingest", size=1) as pool,
        tenant_transaction(pool, "tenant-0") as connection,
    ):
        for table in ("scan_log", "activity", "removal"):
            count = f"SELECT count(*) FROM {table}"  # of one of the two tenants
            assert await connection.fetchval(count) > 50_000
        yield Explaining(connection)


def rows_read(plan: str, index: str) -> int:
    """How many rows all loops over an index brought."""
    found = re.search(rf"{index}.*actual rows=([\d.]+) loops=(\d+)", plan)
    assert found, plan
    return round(float(found[1]) * int(found[2]))


async def test_the_newest_scans_are_read_by_index_and_no_more_than_are_shown(
    explaining: Explaining,
) -> None:
    await scan_log.page(explaining, question(), limit=100)

    # Besides the shown ones at most the few removed among them.
    assert rows_read(explaining.read(), "scan_log_newest") <= 105


@pytest.mark.parametrize(
    ("index", "kind", "filters"),
    [
        ("scan_log_newest_of_operator", None, {"operator": "operator-3"}),
        ("scan_log_newest_of_client", None, {"client": "client-3"}),
        ("scan_log_newest_of_kind", "ERROR", {}),
        ("scan_log_newest", None, {"city": "city-3"}),
        ("scan_log_newest", "ERROR", {"operator": "operator-3", "client": "client-4"}),
    ],
)
async def test_filtered_rows_are_found_by_index(
    explaining: Explaining, index: str, kind: str | None, filters: dict[str, Any]
) -> None:
    await scan_log.page(explaining, question(**filters), kind=kind, limit=20)

    assert index in explaining.read()


async def test_several_days_are_read_by_index_one_by_one(explaining: Explaining) -> None:
    days = Days(first=date(2025, 10, 1), last=date(2025, 10, 14))

    await scan_log.page(explaining, asking(days, "tenant-0"), limit=100, offset=100)

    assert rows_read(explaining.read(), "scan_log_newest") <= 14 * 210


@pytest.mark.parametrize("filters", [{}, {"operator": "operator-3"}, {"client": "client-3"}])
async def test_counters_are_added_up_by_index(
    explaining: Explaining, filters: dict[str, Any]
) -> None:
    await activity.answer(explaining, question(**filters))
    await activity.total(explaining, question(**filters), None)
    await activity.total(explaining, question(**filters), "KIND-7")

    plans = explaining.read()
    assert plans.count("activity_pkey") + plans.count("activity_total_pkey") == 3
    assert len(explaining.plans) == 3
    if not filters:
        assert rows_read(plans, "activity_total_pkey") == 25 + 5 + 4


async def test_candidates_for_a_removal_are_found_by_box(explaining: Explaining) -> None:
    for code in ("0000000000042", "nothing"):
        await scan_log.items_in_box(explaining, "tenant-0", box="client-3/3", code=code, limit=50)

    plan = explaining.read()
    assert plan.count("scan_log_in_box") == 2
    assert "box = " in plan.partition("Index Cond")[2].partition("\n")[0]


async def test_removals_are_listed_by_index(explaining: Explaining) -> None:
    days = Days(first=date(2025, 10, 1), last=DAY)
    await removal.page(explaining, asking(days, "tenant-0"), limit=50)
    assert rows_read(explaining.read(), "removal_newest") <= 51

    await removal.count(explaining, question(operator="operator-3"))
    assert explaining.read().count("removal_newest") == 2
