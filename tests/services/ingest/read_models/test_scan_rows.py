"""All scans of a window as a stream."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.services.ingest.told import NOON, ZONE, a_scan, in_envelope, project

from contracts.ingest import ItemRemoved, ScanRecorded
from libs.postgres.pool import SYSTEM, Pool
from services.ingest.domain.day import Days, day_of
from services.ingest.domain.question import Question
from services.ingest.read_models import scan_rows

TODAY = Days(first=date(2025, 10, 31), last=date(2025, 10, 31))
WEEK = Days(first=date(2025, 10, 25), last=date(2025, 10, 31))


def asking(days: Days = TODAY, tenant: str = "demo", **filters: Any) -> Question:
    return Question(tenant=tenant, days=days, **filters)


def removed(scan: ScanRecorded) -> ItemRemoved:
    return ItemRemoved(
        scan=scan, removal_id=UUID(int=1), removed_at=NOON, removed_by="boss", reason=""
    )


async def told(pool: Pool, *events: Any, tenant: str = "demo") -> None:
    await project(pool, [in_envelope(event, tenant=tenant) for event in events])


def numbers(rows: list[Any]) -> list[int]:
    return [UUID(str(row["scan_id"])).int for row in rows]


async def in_time(
    pool: Pool, question: Question, *, kind: str | None = None, after: int | None = None
) -> list[int]:
    async with scan_rows.snapshot(pool, question.tenant) as connection:
        behind = (
            await scan_rows.place(connection, question, UUID(int=after), kind=kind)
            if after is not None
            else None
        )
        pages = scan_rows.in_time(connection, question, kind=kind, behind=behind)
        return numbers([row async for page in pages for row in page])


async def by_box(pool: Pool, question: Question) -> list[int]:
    async with scan_rows.snapshot(pool, question.tenant) as connection:
        pages = scan_rows.by_box(connection, question)
        return numbers([row async for page in pages for row in page])


def a_week(random: Random) -> list[ScanRecorded]:
    """Many equal times, and moments on both sides of midnight."""
    return [
        a_scan(
            number,
            scanned_at=NOON - timedelta(hours=random.randrange(0, 140)),
            received_at=NOON + timedelta(seconds=random.randrange(3)),
        )
        for number in random.sample(range(1, 10_000), 700)
    ]


async def test_rows_come_by_time_then_received_then_by_id_whatever_their_day(
    pool: Pool, reading_pool: Pool
) -> None:
    scans = [scan for scan in a_week(Random(1)) if day_of(scan.effective_at, ZONE) >= WEEK.first]
    await told(pool, *scans)

    expected = sorted(scans, key=lambda one: (one.effective_at, one.received_at, one.scan_id))

    assert await in_time(reading_pool, asking(WEEK)) == [scan.scan_id.int for scan in expected]


async def test_going_on_after_any_row_gives_exactly_the_rest(
    pool: Pool, reading_pool: Pool
) -> None:
    await told(pool, *a_week(Random(2)))
    everything = await in_time(reading_pool, asking(WEEK))

    for at in (0, 1, 249, 250, 251, 400, len(everything) - 1):
        rest = await in_time(reading_pool, asking(WEEK), after=everything[at])
        assert rest == everything[at + 1 :]


async def test_one_can_go_on_after_a_row_that_was_removed_meanwhile(
    pool: Pool, reading_pool: Pool
) -> None:
    scans = [a_scan(n, scanned_at=NOON + timedelta(seconds=n)) for n in (1, 2, 3)]
    await told(pool, *scans, removed(scans[1]))

    assert await in_time(reading_pool, asking()) == [1, 3]
    assert await in_time(reading_pool, asking(), after=2) == [3]


@pytest.mark.parametrize(
    "question",
    [
        asking(Days(first=date(2025, 10, 30), last=date(2025, 10, 30))),
        asking(operator="boris"),
        asking(tenant="other"),
    ],
    ids=["day", "filter", "tenant"],
)
async def test_one_cannot_go_on_after_a_row_outside_the_window(
    pool: Pool, reading_pool: Pool, question: Question
) -> None:
    await told(pool, a_scan(1))

    assert await in_time(reading_pool, asking(), after=1) == []
    with pytest.raises(scan_rows.RowUnknown):
        await in_time(reading_pool, question, after=1)
    with pytest.raises(scan_rows.RowUnknown):
        await in_time(reading_pool, asking(), after=1, kind="BOX")


async def test_filters_and_kinds_narrow_the_rows(pool: Pool, reading_pool: Pool) -> None:
    await told(
        pool, a_scan(1), a_scan(2, kind="ERROR"), a_scan(3, operator=""), a_scan(4, city="Rostov")
    )
    await told(pool, a_scan(5), tenant="other")

    assert await in_time(reading_pool, asking()) == [1, 2, 3, 4]
    assert await in_time(reading_pool, asking(), kind="ERROR") == [2]
    assert await in_time(reading_pool, asking(operator="")) == [3]
    assert await in_time(reading_pool, asking(client="ivancov", city="Rostov")) == [4]


async def test_items_come_by_client_city_and_box_by_code_points_then_by_time(
    pool: Pool, reading_pool: Pool
) -> None:
    later = datetime(2025, 10, 31, 10, tzinfo=UTC)
    gone = a_scan(9)
    await told(
        pool,
        a_scan(1, client="b"),
        a_scan(2, client="a", city="Z"),
        a_scan(3, client="a", city="a", box="a/9"),
        a_scan(4, client="a", city="a", box="a/10", scanned_at=later),
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
    await told(pool, *(a_scan(n, scanned_at=yesterday) for n in range(1, 1001)))

    async with scan_rows.snapshot(reading_pool, "demo") as connection:
        pages = scan_rows.in_time(connection, asking(WEEK))
        rows = list(await anext(pages))
        # Both of the day under way and of one that is still to come.
        await told(pool, *(a_scan(n, scanned_at=yesterday) for n in range(2000, 2100)))
        await told(pool, *(a_scan(n, scanned_at=NOON) for n in range(3000, 3100)))
        rows += [row async for page in pages for row in page]

    assert numbers(rows) == list(range(1, 1001))


async def test_a_snapshot_shows_one_tenant_and_writes_nothing(
    pool: Pool, reading_pool: Pool
) -> None:
    await told(pool, a_scan(1))
    await told(pool, a_scan(2), tenant="other")

    async with scan_rows.snapshot(reading_pool, "demo") as connection:
        assert await connection.fetchval("SELECT count(*) FROM scan_log") == 1
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("DELETE FROM scan_log")
    for tenant in ("", SYSTEM):
        with pytest.raises(ValueError, match="tenant"):
            async with scan_rows.snapshot(reading_pool, tenant):
                pass
