"""What was scanned, row by row?"""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from tests.services.ingest.told import NOON, a_scan, in_envelope, project

from contracts.ingest import IngestEvent, ItemRemoved, RemovalRecorded, ScanRecorded
from libs.postgres import query
from libs.postgres.pool import Pool
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.read_models import scan_log

TODAY = Days(first=date(2025, 10, 31), last=date(2025, 10, 31))
WEEK = Days(first=date(2025, 10, 25), last=date(2025, 10, 31))


async def ids(
    pool: Pool,
    days: Days = TODAY,
    *,
    kind: str | None = None,
    limit: int = 1000,
    offset: int = 0,
    **filters: Any,
) -> list[int]:
    question = Question(tenant="demo", days=days, **filters)
    async with pool.acquire() as connection:
        rows = await scan_log.page(connection, question, kind=kind, limit=limit, offset=offset)
    return [UUID(str(row["scan_id"])).int for row in rows]


async def test_rows_come_newest_received_first_then_newest_scanned_then_by_id(pool: Pool) -> None:
    later = NOON + timedelta(seconds=1)
    scans = [
        a_scan(1, received_at=NOON),
        a_scan(2, received_at=later),
        a_scan(3, received_at=later, scanned_at=later),
        a_scan(4, received_at=later),
    ]
    await project(pool, [in_envelope(scan) for scan in scans])

    assert await ids(pool) == [3, 2, 4, 1]


async def test_pages_cut_the_same_order_also_over_several_days(pool: Pool) -> None:
    scans = [
        a_scan(
            n,
            scanned_at=NOON - timedelta(days=n % 7),
            received_at=NOON + timedelta(seconds=n // 3),
        )
        for n in range(50)
    ]
    await project(pool, [in_envelope(scan) for scan in scans])

    everything = await ids(pool, WEEK)
    pages = [await ids(pool, WEEK, limit=7, offset=offset) for offset in range(0, 56, 7)]

    assert len(everything) == len(set(everything)) == 50
    assert [n for page in pages for n in page] == everything


async def test_filters_and_kinds_narrow_the_rows(pool: Pool) -> None:
    scans = [a_scan(1), a_scan(2, kind="ERROR"), a_scan(3, operator=""), a_scan(4, city="Rostov")]
    await project(pool, [in_envelope(scan) for scan in scans])

    assert await ids(pool, kind="ERROR") == [2]
    assert await ids(pool, operator="") == [3]
    assert await ids(pool, operator="anna", client="ivancov", city="Rostov") == [4]


async def test_a_repeat_adds_no_row(pool: Pool) -> None:
    await project(pool, [in_envelope(a_scan(1)), in_envelope(a_scan(1))])
    await project(pool, [in_envelope(a_scan(1))])

    assert await ids(pool) == [1]


def taken_back(scan: ScanRecorded) -> ItemRemoved:
    return ItemRemoved(
        scan=scan, removal_id=UUID(int=900), removed_at=NOON, removed_by="vera", reason=""
    )


async def test_a_removed_item_is_shown_no_longer_and_never_comes_back(pool: Pool) -> None:
    await project(pool, [in_envelope(a_scan(1)), in_envelope(a_scan(2))])
    await project(pool, [in_envelope(taken_back(a_scan(1)))])
    await project(pool, [in_envelope(a_scan(1))])

    assert await ids(pool) == [2]
    assert await pool.fetchval("SELECT count(*) FROM scan_log WHERE removed_at = $1", NOON) == 1


async def test_a_removal_told_together_with_its_scan_or_before_it_holds(pool: Pool) -> None:
    scans = [a_scan(1), a_scan(2), a_scan(3)]
    events: list[IngestEvent] = [
        scans[0],
        taken_back(scans[0]),
        taken_back(scans[1]),
        scans[1],
        taken_back(scans[2]),
    ]
    await project(pool, [in_envelope(event) for event in events])
    await project(pool, [in_envelope(scans[2])])

    assert await ids(pool) == []


async def test_an_audit_is_a_row_of_the_dashboard_and_stays(pool: Pool) -> None:
    audit = RemovalRecorded(
        removal_id=UUID(int=900),
        kind="REMOVE",
        operator="vera",
        client="ivancov",
        city="Novosem",
        box="ivancov/8",
        code="777",
        reason="брак",
        removed=(),
        removed_at=NOON,
    )
    # A device that knows the audit's id cannot hide it behind an item of its own.
    twin = a_scan(900)
    await project(pool, [in_envelope(event) for event in (audit, twin, taken_back(twin))])
    await project(pool, [in_envelope(taken_back(twin))])

    question = Question(tenant="demo", days=TODAY)
    async with pool.acquire() as connection:
        (row,) = await scan_log.page(connection, question, kind="REMOVE", limit=10)
    assert (row["operator"], row["box"], row["code"]) == ("vera", "ivancov/8", "777")
    assert (row["source"], row["details"], row["effective_at"]) == ("dashboard", "брак", NOON)


async def test_live_items_of_a_box_come_the_latest_scanned_first(pool: Pool) -> None:
    minutes = [timedelta(minutes=n) for n in range(4)]
    scans = [
        a_scan(1, scanned_at=NOON + minutes[1]),
        a_scan(2, scanned_at=NOON + minutes[3]),
        a_scan(3, scanned_at=NOON - timedelta(days=3)),
        a_scan(4, scanned_at=NOON + minutes[2]),
        a_scan(5, kind="ERROR"),
        a_scan(6, code="777"),
        a_scan(7, box="petrov/8"),
    ]
    await project(pool, [in_envelope(scan) for scan in scans])
    await project(pool, [in_envelope(a_scan(8), tenant="other")])
    await project(pool, [in_envelope(taken_back(scans[1]))])

    async with pool.acquire() as connection:
        found = await scan_log.items_in_box(
            connection, "demo", box="ivancov/8", code="2042469234860", limit=10
        )
    assert [scan_id.int for scan_id in found] == [4, 1, 3]


async def test_the_feed_of_a_full_day_reads_only_the_rows_it_shows(pool: Pool) -> None:
    scans = [a_scan(n, received_at=NOON + timedelta(milliseconds=n)) for n in range(5000)]
    await project(pool, [in_envelope(scan) for scan in scans])
    async with pool.acquire() as connection:
        await connection.execute("ANALYZE scan_log")
        told = {"tenant": "demo", "days": [TODAY.first], "each": 100, "limit": 100, "offset": 0}
        sql, values = query.compiled(scan_log._page((), False), told)
        plan = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF) {sql}", *values)

    lines = [row[0] for row in plan]
    (scan,) = [line for line in lines if "scan_log_newest" in line]
    assert "rows=100 " in scan.partition("actual")[2].replace("rows=100.00", "rows=100")
    assert not any("Seq Scan" in line for line in lines)
