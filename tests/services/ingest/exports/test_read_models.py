"""The rows of an export, as pages through a cursor."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.postgres.pool import SYSTEM, Pool
from services.ingest.exports import read_models
from services.ingest.scans.domain.day import Days, day_of
from services.ingest.scans.domain.filter import ScanFilter
from tests.services.ingest.history import (
    NOON,
    WEEK,
    ZONE,
    a_filter,
    a_scan,
    numbers_of,
    record,
    removed,
)

SECOND = timedelta(seconds=1)


async def in_time(
    pool: Pool, scan_filter: ScanFilter, *, kind: str | None = None, after: int | None = None
) -> list[int]:
    async with read_models.snapshot(pool, scan_filter.tenant) as connection:
        row = (
            await read_models.position_of(connection, scan_filter, UUID(int=after), kind=kind)
            if after is not None
            else None
        )
        pages = read_models.in_time(connection, scan_filter, kind=kind, after=row)
        return numbers_of([row async for page in pages for row in page])


async def by_box(pool: Pool, scan_filter: ScanFilter) -> list[int]:
    async with read_models.snapshot(pool, scan_filter.tenant) as connection:
        pages = read_models.by_box(connection, scan_filter)
        return numbers_of([row async for page in pages for row in page])


def a_week(random: Random) -> list[Any]:
    """Many equal times, and moments on both sides of midnight."""
    return [
        a_scan(
            number,
            scanned_at=NOON - timedelta(hours=random.randrange(0, 140)),
            received_at=NOON + random.randrange(3) * SECOND,
        )
        for number in random.sample(range(1, 10_000), 700)
    ]


async def test_filters_and_kinds_select_the_rows(pool: Pool, reading_pool: Pool) -> None:
    await record(
        pool, a_scan(1), a_scan(2, kind="ERROR"), a_scan(3, operator=""), a_scan(4, city="Rostov")
    )
    await record(pool, a_scan(5), tenant="other")

    cases: list[tuple[str | None, dict[str, Any], list[int]]] = [
        (None, {}, [1, 2, 3, 4]),
        ("ERROR", {}, [2]),
        (None, {"operator": ""}, [3]),
        (None, {"operator": "anna", "client": "ivancov", "city": "Rostov"}, [4]),
    ]
    for kind, filters, expected in cases:
        assert await in_time(reading_pool, a_filter(**filters), kind=kind) == expected, filters


async def test_rows_are_ordered_by_time_and_continue_after_any_row(
    pool: Pool, reading_pool: Pool
) -> None:
    scans = [scan for scan in a_week(Random(1)) if day_of(scan.effective_at, ZONE) >= WEEK.first]
    await record(pool, *scans)

    everything = await in_time(reading_pool, a_filter(WEEK))

    expected = sorted(scans, key=lambda one: (one.effective_at, one.received_at, one.scan_id))
    assert everything == [scan.scan_id.int for scan in expected]
    for at in (0, 1, 249, 250, 251, 400, len(everything) - 1):
        rest = await in_time(reading_pool, a_filter(WEEK), after=everything[at])
        assert rest == everything[at + 1 :]


async def test_an_export_continues_after_a_row_that_was_removed_meanwhile(
    pool: Pool, reading_pool: Pool
) -> None:
    scans = [a_scan(n, scanned_at=NOON + n * SECOND) for n in (1, 2, 3)]
    await record(pool, *scans, removed(scans[1]))

    assert await in_time(reading_pool, a_filter()) == [1, 3]
    assert await in_time(reading_pool, a_filter(), after=2) == [3]


async def test_an_export_cannot_continue_after_a_row_outside_of_it(
    pool: Pool, reading_pool: Pool
) -> None:
    await record(pool, a_scan(1))
    day_before = Days(first=date(2025, 10, 30), last=date(2025, 10, 30))

    assert await in_time(reading_pool, a_filter(), after=1) == []
    with pytest.raises(read_models.RowUnknown):
        await in_time(reading_pool, a_filter(), after=1, kind="BOX")
    for scan_filter in (a_filter(day_before), a_filter(operator="boris"), a_filter(tenant="other")):
        with pytest.raises(read_models.RowUnknown):
            await in_time(reading_pool, scan_filter, after=1)


async def test_items_are_ordered_by_client_city_and_box_in_code_points_then_by_time(
    pool: Pool, reading_pool: Pool
) -> None:
    removed_scan = a_scan(9)
    await record(
        pool,
        a_scan(1, client="b"),
        a_scan(2, client="a", city="Z"),
        a_scan(3, client="a", city="a", box="a/9"),
        a_scan(
            4, client="a", city="a", box="a/10", scanned_at=datetime(2025, 10, 31, 10, tzinfo=UTC)
        ),
        a_scan(5, client="a", city="a", box="a/10"),
        a_scan(6, client="B"),
        a_scan(7, client="", city="", box=""),
        a_scan(8, kind="BOX"),
        removed_scan,
        removed(removed_scan),
    )

    assert await by_box(reading_pool, a_filter()) == [7, 6, 2, 5, 4, 3, 1]


async def test_rows_stored_meanwhile_are_not_in_the_snapshot(
    pool: Pool, reading_pool: Pool
) -> None:
    yesterday = NOON - timedelta(days=1)
    await record(pool, *(a_scan(n, scanned_at=yesterday) for n in range(1, 1001)))

    async with read_models.snapshot(reading_pool, "demo") as connection:
        pages = read_models.in_time(connection, a_filter(WEEK))
        rows = list(await anext(pages))
        # Both of the day under way and of one that is still to come.
        await record(pool, *(a_scan(n, scanned_at=yesterday) for n in range(2000, 2100)))
        await record(pool, *(a_scan(n, scanned_at=NOON) for n in range(3000, 3100)))
        rows += [row async for page in pages for row in page]

    assert numbers_of(rows) == list(range(1, 1001))


async def test_a_snapshot_shows_one_tenant_and_writes_nothing(
    pool: Pool, reading_pool: Pool
) -> None:
    await record(pool, a_scan(1))
    await record(pool, a_scan(2), tenant="other")

    async with read_models.snapshot(reading_pool, "demo") as connection:
        assert await connection.fetchval("SELECT count(*) FROM scan_log") == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            # In a savepoint: what follows it can still be committed.
            async with connection.transaction():
                await connection.execute("DELETE FROM scan_log")
    for tenant in ("", SYSTEM):
        with pytest.raises(ValueError, match="tenant"):
            async with read_models.snapshot(reading_pool, tenant):
                pass
