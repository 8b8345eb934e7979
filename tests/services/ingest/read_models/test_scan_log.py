"""What was scanned, row by row?"""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from libs.postgres import query
from libs.postgres.pool import Pool
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.read_models import scan_log
from tests.services.ingest.told import NOON, a_scan, in_envelope, project

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


async def test_the_feed_of_a_full_day_reads_only_the_rows_it_shows(pool: Pool) -> None:
    scans = [a_scan(n, received_at=NOON + timedelta(milliseconds=n)) for n in range(5000)]
    await project(pool, [in_envelope(scan) for scan in scans])
    question = Question(tenant="demo", days=TODAY)
    async with pool.acquire() as connection:
        await connection.execute("ANALYZE scan_log")
        sql, values = query.compiled(
            scan_log._page(question, None, 100, 0), {"days": [TODAY.first]}
        )
        plan = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF) {sql}", *values)

    lines = [row[0] for row in plan]
    (scan,) = [line for line in lines if "scan_log_newest" in line]
    assert "rows=100 " in scan.partition("actual")[2].replace("rows=100.00", "rows=100")
    assert not any("Seq Scan" in line for line in lines)
