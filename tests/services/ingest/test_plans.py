"""Queries of dashboards and removals use indexes, in a tenant with months of scans."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from libs.postgres.pool import tenant_transaction
from libs.testing.databases import migrated
from libs.testing.pools import tenant_pool
from services.ingest.dashboard.read_models import activity
from services.ingest.removals.read_models import removal
from services.ingest.scans.domain.day import Days
from services.ingest.scans.read_models import logged_items, scan_count, scan_log
from tests.services.ingest.history import SUM_TOTALS, a_filter, fill

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
LOGGED = """
INSERT INTO events (event_id, tenant, stream, type, schema_version, data, metadata, occurred_at)
SELECT gen_random_uuid(), tenant, 'scan-' || operator, 'ScanRecorded', 1,
    jsonb_build_object('scan_id', scan_id, 'kind', kind, 'box', box, 'code', code), '{}',
    effective_at
FROM scan_log
"""
TABLES = ("scan_log", "activity", "activity_total", "removal", "events", "scan_count")
BY_HAND = "ALTER TABLE {} SET (autovacuum_enabled = false)"
ANALYZE = f"SET default_statistics_target = 1000; ANALYZE {', '.join(TABLES)}"
"""The statistics of all rows: those of a sample differ from run to run, and so do plans."""
COUNTS = """
INSERT INTO scan_count
SELECT tenant, day, minutes, date_bin(make_interval(mins => minutes), received_at, 'epoch'),
    operator, client, city, kind, count(*) FILTER (WHERE removed_at IS NULL)
FROM scan_log, (VALUES (60::smallint), (1::smallint)) AS grain (minutes)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""
DAY = date(2025, 10, 15)
GROUP = "scan_log_newest_of_group"
scan_filter = partial(a_filter, Days(first=DAY, last=DAY), "tenant-0")


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
    """The address of a database that is filled once: the tests of this file only read it."""
    with migrated(postgres_url, "ingest") as url:
        filled = (SCANS, COUNTERS, SUM_TOTALS, REMOVED, LOGGED, COUNTS)
        asyncio.run(fill(url, *(BY_HAND.format(table) for table in TABLES), *filled, ANALYZE))
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


async def test_the_newest_scans_are_read_by_index_and_no_others(
    explaining: Explaining,
) -> None:
    await scan_log.page(explaining, scan_filter(), limit=100)

    # Besides the shown ones at most the few removed among them.
    assert rows_read(explaining.read(), "scan_log_newest") <= 105


@pytest.mark.parametrize(
    ("index", "kind", "filters"),
    [
        (GROUP, None, {"operator": "operator-3"}),
        (GROUP, None, {"client": "client-3"}),
        (GROUP, "ERROR", {}),
        (GROUP, "ERROR", {"operator": "operator-4"}),
        (GROUP, "ITEM", {"operator": "operator-3"}),
        ("scan_log_newest", "ITEM", {}),
        ("scan_log_newest", None, {"city": "city-3"}),
    ],
)
@pytest.mark.parametrize("windowed", [True, False])
async def test_filtered_rows_are_found_by_index(
    explaining: Explaining, index: str, kind: str | None, filters: dict[str, Any], windowed: bool
) -> None:
    asked, within = scan_filter(**filters), None
    if windowed:
        _, within = await scan_count.window(
            explaining.connection, asked, kind=kind, limit=20, offset=0
        )
        assert within

    await scan_log.page(explaining, asked, kind=kind, limit=20, within=within)

    plan = explaining.read()
    assert re.search(rf"(?:using|on) {index} ", plan), plan
    # By groups nothing is read that does not match, but the few that were removed.
    removed = sum(
        int(rows) * int(loops)
        for loops, rows in re.findall(r"loops=(\d+)[^>]*?Rows Removed by Filter: (\d+)", plan)
    )
    assert index != GROUP or removed <= 20
    if windowed:
        # Three scans a minute.
        assert rows_read(plan, rf"using {index} ") <= 20 + 10


async def test_a_rare_kind_is_found_without_reading_the_day(explaining: Explaining) -> None:
    asked = scan_filter(operator="operator-4")
    total, within = await scan_count.window(
        explaining.connection, asked, kind="ERROR", limit=20, offset=0
    )
    assert within
    assert within.until - within.since > timedelta(hours=6)

    await scan_log.page(explaining, asked, kind="ERROR", limit=20, within=within)

    assert rows_read(explaining.read(), f"using {GROUP} ") <= total


@pytest.mark.parametrize("offset", [0, 1000, 30_000, 60_000])
@pytest.mark.parametrize(
    ("days", "filters"),
    [(1, {}), (60, {}), (60, {"operator": "operator-3"}), (60, {"city": "city-3"})],
    ids=["a day", "months", "months of an operator", "months of a city"],
)
async def test_a_deep_page_reads_its_rows_and_the_rest_of_two_minutes(
    explaining: Explaining, days: int, filters: dict[str, Any], offset: int
) -> None:
    last = date(2025, 10, 30)
    asked = a_filter(Days(first=last - timedelta(days=days - 1), last=last), "tenant-0", **filters)
    limit, offset = 100, offset * days // 60 // (30 if filters else 1)
    total, within = await scan_count.window(
        explaining.connection, asked, kind=None, limit=limit, offset=offset
    )
    assert within
    assert total > offset

    await scan_log.page(explaining, asked, limit=limit, within=within)

    # Three scans a minute.
    read = re.findall(r"scan_log_newest\w*.*actual rows=([\d.]+) loops=(\d+)", explaining.read())
    assert read
    assert sum(float(rows) * int(loops) for rows, loops in read) <= limit + 10


@pytest.mark.parametrize("filters", [{}, {"operator": "operator-3"}, {"client": "client-3"}])
async def test_counters_are_added_up_by_index(
    explaining: Explaining, filters: dict[str, Any]
) -> None:
    await activity.read_activity(explaining, scan_filter(**filters))
    for kind in (None, "ERROR"):
        await scan_count.window(explaining, scan_filter(**filters), kind=kind, limit=9, offset=0)

    plans = explaining.read()
    assert plans.count("activity_pkey") + plans.count("activity_total_pkey") == 1
    assert plans.count("scan_count_pkey") == 2
    assert len(explaining.plans) == 3
    if not filters:
        assert rows_read(plans, "activity_total_pkey") == 25 + 5 + 4


async def test_items_of_a_box_are_found_in_the_log_by_index(months: str) -> None:
    async with (
        tenant_pool(months, "ingest", size=1) as pool,
        tenant_transaction(pool, "tenant-0") as connection,
    ):
        asked = Explaining(connection)
        for code in ("0000000000042", "nothing"):
            await asked.fetch(logged_items.OF_BOX, "tenant-0", "client-3/3", code, None, 50)

    plan = asked.read()
    assert plan.count("events_items_in_box") == 2
    for column in ("tenant", "item_box", "item_code"):
        assert f"{column} = " in plan.partition("Index Cond")[2].partition("\n")[0]


async def test_removals_are_listed_by_index(explaining: Explaining) -> None:
    days = Days(first=date(2025, 10, 1), last=DAY)
    await removal.page(explaining, a_filter(days, "tenant-0"), limit=50)
    assert rows_read(explaining.read(), "removal_newest") <= 51

    await removal.count(explaining, scan_filter(operator="operator-3"))
    assert explaining.read().count("removal_newest") == 2
