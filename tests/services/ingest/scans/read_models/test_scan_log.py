"""What was scanned, row by row: as pages, as candidates for a removal, and as a stream."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.postgres.pool import SYSTEM, Pool
from services.ingest.scans.domain.day import Days, day_of
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.read_models import scan_count, scan_log, scan_rows
from tests.services.ingest.history import (
    NOON,
    TODAY,
    WEEK,
    ZONE,
    a_scan,
    asking,
    audit,
    numbers_of,
    record,
    removed,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


async def ids(
    pool: Pool,
    days: Days = TODAY,
    *,
    kind: str | None = None,
    limit: int = 1000,
    offset: int = 0,
    **filters: Any,
) -> list[int]:
    question = asking(days, **filters)
    _, within = await scan_count.window(pool, question, kind=kind, limit=limit, offset=offset)
    if within is None:
        return []
    return numbers_of(await scan_log.page(pool, question, kind=kind, limit=limit, within=within))


async def in_time(
    pool: Pool, question: ScanFilter, *, kind: str | None = None, after: int | None = None
) -> list[int]:
    async with scan_rows.snapshot(pool, question.tenant) as connection:
        behind = (
            await scan_rows.position_of(connection, question, UUID(int=after), kind=kind)
            if after is not None
            else None
        )
        pages = scan_rows.in_time(connection, question, kind=kind, behind=behind)
        return numbers_of([row async for page in pages for row in page])


async def by_box(pool: Pool, question: ScanFilter) -> list[int]:
    async with scan_rows.snapshot(pool, question.tenant) as connection:
        pages = scan_rows.by_box(connection, question)
        return numbers_of([row async for page in pages for row in page])


async def test_pages_cut_rows_newest_received_then_newest_scanned_then_by_id(pool: Pool) -> None:
    scanned = [NOON - timedelta(days=n // 2 % 7) for n in range(50)]
    received = [NOON + n // 6 * SECOND for n in range(50)]
    await record(
        pool, *(a_scan(n, scanned_at=scanned[n], received_at=received[n]) for n in range(50))
    )

    everything = await ids(pool, WEEK)
    pages = [await ids(pool, WEEK, limit=7, offset=offset) for offset in range(0, 56, 7)]

    newest = sorted(range(50), key=lambda n: (received[n], scanned[n], -n), reverse=True)
    assert everything == [n for page in pages for n in page] == newest


@pytest.mark.parametrize("seed", range(4))
async def test_any_page_is_a_slice_of_all_rows_however_they_came(pool: Pool, seed: int) -> None:
    random = Random(seed)
    scans = [
        a_scan(
            n,
            kind=random.choice(["ITEM", "ITEM", "ERROR"]),
            operator=random.choice(["anna", "boris"]),
            city=random.choice(["", "Rostov"]),
            scanned_at=NOON - timedelta(hours=random.randrange(140)),
            # Seconds, minutes and hours apart: many in one minute, and in one hour.
            received_at=NOON + random.randrange(40) * random.choice([SECOND, MINUTE, HOUR]),
        )
        for n in range(300)
    ]
    gone = [one for one in scans if one.kind == "ITEM" and not random.randrange(5)]
    told: list[Any] = [*scans, *map(removed, gone)]
    random.shuffle(told)
    for n in range(0, len(told), 50):
        await record(pool, *told[n : n + 50])

    live = [one for one in scans if one not in gone]
    for _ in range(20):
        kind, operator = random.choice([None, "ITEM", "ERROR"]), random.choice([None, "boris"])
        matching = [
            one
            for one in live
            if kind in (None, one.kind)
            and operator in (None, one.operator)
            and WEEK.first <= day_of(one.effective_at, ZONE) <= WEEK.last
        ]
        newest = sorted(
            matching,
            key=lambda one: (one.received_at, one.scanned_at, -one.scan_id.int),
            reverse=True,
        )
        offset, limit = random.randrange(len(matching) + 5), random.choice([1, 7, 60, 1000])
        page = await ids(pool, WEEK, kind=kind, limit=limit, offset=offset, operator=operator)
        assert page == [one.scan_id.int for one in newest[offset : offset + limit]]


async def test_filters_and_kinds_narrow_the_rows(pool: Pool, reading_pool: Pool) -> None:
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
        assert sorted(await ids(pool, kind=kind, **filters)) == expected, filters
        assert await in_time(reading_pool, asking(**filters), kind=kind) == expected, filters


async def test_a_scan_is_one_row_and_a_removed_one_none_whatever_comes_first(pool: Pool) -> None:
    scans = [a_scan(n) for n in range(1, 7)]
    one, two, three, four, *_ = scans
    await record(pool, one, removed(one), removed(two), two, removed(three), four)
    await record(pool, three, one, *scans[4:], *scans[4:])
    await record(pool, removed(four))
    await record(pool, four, scans[4])
    # Removed once more, as after an import that was undone: it was gone already.
    await record(pool, removed(four, removal_id=UUID(int=901)))

    assert await ids(pool) == [5, 6]
    assert await pool.fetchval("SELECT sum(count) FROM scan_count WHERE minutes = 60") == 2
    removed_rows = "SELECT count(*) FROM scan_log WHERE removed_at = $1"
    assert await pool.fetchval(removed_rows, NOON) == 4


async def test_an_audit_is_a_row_of_the_dashboard_and_stays(pool: Pool) -> None:
    # A device that knows the audit's id cannot hide it behind an item of its own.
    twin = a_scan(900)
    await record(pool, audit(kind="REMOVE", code="777", reason="брак"), twin, removed(twin))
    await record(pool, removed(twin))

    (row,) = await scan_log.page(pool, asking(), kind="REMOVE", limit=10)
    assert (row["operator"], row["box"], row["code"]) == ("vera", "ivancov/8", "777")
    assert (row["source"], row["details"]) == ("dashboard", "брак")
    assert {row["scanned_at"], row["received_at"], row["effective_at"]} == {NOON}


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


async def test_a_stream_comes_by_time_then_received_then_by_id_and_goes_on_after_any_row(
    pool: Pool, reading_pool: Pool
) -> None:
    scans = [scan for scan in a_week(Random(1)) if day_of(scan.effective_at, ZONE) >= WEEK.first]
    await record(pool, *scans)

    everything = await in_time(reading_pool, asking(WEEK))

    expected = sorted(scans, key=lambda one: (one.effective_at, one.received_at, one.scan_id))
    assert everything == [scan.scan_id.int for scan in expected]
    for at in (0, 1, 249, 250, 251, 400, len(everything) - 1):
        rest = await in_time(reading_pool, asking(WEEK), after=everything[at])
        assert rest == everything[at + 1 :]


async def test_one_can_go_on_after_a_row_that_was_removed_meanwhile(
    pool: Pool, reading_pool: Pool
) -> None:
    scans = [a_scan(n, scanned_at=NOON + n * SECOND) for n in (1, 2, 3)]
    await record(pool, *scans, removed(scans[1]))

    assert await in_time(reading_pool, asking()) == [1, 3]
    assert await in_time(reading_pool, asking(), after=2) == [3]


async def test_one_cannot_go_on_after_a_row_outside_the_window(
    pool: Pool, reading_pool: Pool
) -> None:
    await record(pool, a_scan(1))
    day_before = Days(first=date(2025, 10, 30), last=date(2025, 10, 30))

    assert await in_time(reading_pool, asking(), after=1) == []
    with pytest.raises(scan_rows.RowUnknown):
        await in_time(reading_pool, asking(), after=1, kind="BOX")
    for question in (asking(day_before), asking(operator="boris"), asking(tenant="other")):
        with pytest.raises(scan_rows.RowUnknown):
            await in_time(reading_pool, question, after=1)


async def test_items_come_by_client_city_and_box_by_code_points_then_by_time(
    pool: Pool, reading_pool: Pool
) -> None:
    gone = a_scan(9)
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
        gone,
        removed(gone),
    )

    assert await by_box(reading_pool, asking()) == [7, 6, 2, 5, 4, 3, 1]


async def test_what_comes_in_meanwhile_is_not_seen(pool: Pool, reading_pool: Pool) -> None:
    yesterday = NOON - timedelta(days=1)
    await record(pool, *(a_scan(n, scanned_at=yesterday) for n in range(1, 1001)))

    async with scan_rows.snapshot(reading_pool, "demo") as connection:
        pages = scan_rows.in_time(connection, asking(WEEK))
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

    async with scan_rows.snapshot(reading_pool, "demo") as connection:
        assert await connection.fetchval("SELECT count(*) FROM scan_log") == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            # In a savepoint: what follows it can still be committed.
            async with connection.transaction():
                await connection.execute("DELETE FROM scan_log")
    for tenant in ("", SYSTEM):
        with pytest.raises(ValueError, match="tenant"):
            async with scan_rows.snapshot(reading_pool, tenant):
                pass
