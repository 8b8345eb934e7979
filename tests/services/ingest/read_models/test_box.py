"""Which boxes were worked on, what is in them, and how do they stand?"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from tests.services.ingest.told import NOON, a_scan, in_envelope, project

from contracts.ingest import IngestEvent, ItemRemoved, ScanRecorded
from libs.postgres.pool import Pool
from services.ingest.domain.box import Standing, Turn
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.read_models import box
from services.ingest.read_models.box import Boxes, FoundBox, Total

TODAY = Days(first=date(2025, 10, 31), last=date(2025, 10, 31))
TOMORROW = Days(first=date(2025, 11, 1), last=date(2025, 11, 1))
BOTH = Days(first=TODAY.first, last=TOMORROW.last)


def removal(scan: ScanRecorded) -> ItemRemoved:
    return ItemRemoved(
        scan=scan, removal_id=UUID(int=1), removed_at=NOON, removed_by="vera", reason=""
    )


async def told(pool: Pool, *events: IngestEvent) -> None:
    await project(pool, [in_envelope(event) for event in events])


async def answer(
    pool: Pool,
    days: Days = TODAY,
    *,
    limit: int = 1000,
    offset: int = 0,
    items: int = 100,
    **filters: Any,
) -> Boxes:
    question = Question(tenant="demo", days=days, **filters)
    async with pool.acquire() as connection:
        return await box.answer(connection, question, limit=limit, offset=offset, items=items)


async def only(pool: Pool, days: Days = TODAY, **filters: Any) -> FoundBox:
    (found,) = (await answer(pool, days, **filters)).boxes
    return found


async def test_nothing_happened_yet(pool: Pool) -> None:
    found = await answer(pool)

    assert (found.boxes, found.total(), found.clients()) == ([], Total(), {})


async def test_a_box_knows_its_items_operators_and_times(pool: Pool) -> None:
    later = NOON + timedelta(minutes=5)
    await told(
        pool,
        a_scan(3, kind="CLOSE", scanned_at=later, operator="boris"),
        a_scan(2, scanned_at=NOON + timedelta(minutes=1), code="777"),
        a_scan(1, kind="BOX", operator=""),
    )

    found = await only(pool)

    assert (found.label, found.day, found.operators) == (
        "ivancov/8",
        TODAY.first,
        ["anna", "boris"],
    )
    assert (found.tally.items, found.tally.first_at, found.tally.last_at) == (1, NOON, later)
    assert [row["code"] for row in found.items] == ["777"]
    assert found.standing == Standing(opened_at=NOON, closed_at=later, closed_by=Turn.CLOSE)


async def test_a_scan_without_a_label_is_in_no_box(pool: Pool) -> None:
    await told(pool, a_scan(1, kind="CITY", box="", client=""), a_scan(2, kind="ERROR", box=""))

    assert (await answer(pool)).total() == Total()


async def test_a_box_that_was_only_opened_is_a_box(pool: Pool) -> None:
    await told(pool, a_scan(1, kind="BOX"))

    assert (await answer(pool)).total() == Total(items=0, boxes=1)


async def test_equal_numbers_of_two_clients_or_cities_are_several_boxes(pool: Pool) -> None:
    await told(
        pool,
        a_scan(1),
        a_scan(2, client="petrov", box="petrov/8"),
        a_scan(3, city="Rostov"),
        a_scan(4, client="petrov"),
    )

    assert (await answer(pool)).total() == Total(items=4, boxes=4)


async def test_a_removed_item_is_neither_counted_nor_listed_and_never_returns(pool: Pool) -> None:
    scans = [a_scan(1), a_scan(2)]
    await told(pool, removal(scans[0]), *scans)

    found = await only(pool)

    assert found.tally.items == 1
    assert [row["scan_id"] for row in found.items] == [UUID(int=2)]


async def test_a_box_filled_over_midnight_shows_its_end_on_both_days(pool: Pool) -> None:
    opened = datetime(2025, 10, 31, 20, 59, 59, 999000, tzinfo=UTC)
    closed = opened + timedelta(minutes=20)
    await told(
        pool,
        a_scan(1, kind="BOX", scanned_at=opened),
        a_scan(2, scanned_at=opened),
        a_scan(3, scanned_at=opened + timedelta(milliseconds=1)),
        a_scan(4, kind="AUTO_CLOSE", scanned_at=closed),
    )

    first, second = await only(pool), await only(pool, TOMORROW)

    standing = Standing(opened_at=opened, closed_at=closed, closed_by=Turn.AUTO_CLOSE)
    assert first.standing == second.standing == standing
    assert (first.tally.items, first.continued) == (1, False)
    assert (second.tally.items, second.continued) == (1, True)
    assert (await answer(pool, BOTH)).total() == Total(items=2, boxes=2)


async def test_an_equal_label_of_another_day_is_another_box(pool: Pool) -> None:
    tomorrow = NOON + timedelta(days=1)
    await told(
        pool,
        a_scan(1, kind="BOX"),
        a_scan(2, kind="BOX", scanned_at=tomorrow),
        a_scan(3, kind="CLOSE", scanned_at=tomorrow),
    )

    assert (await only(pool)).standing == Standing(opened_at=NOON)
    assert (await only(pool, TOMORROW)).standing.opened_at == tomorrow
    assert (await answer(pool, BOTH)).total().boxes == 2


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2025, 3, 29, 22, 59, 59, tzinfo=UTC), date(2025, 3, 29)),
        (datetime(2025, 3, 29, 23, 0, tzinfo=UTC), date(2025, 3, 30)),
        (datetime(2025, 3, 30, 21, 59, 59, tzinfo=UTC), date(2025, 3, 30)),
        (datetime(2025, 3, 30, 22, 0, tzinfo=UTC), date(2025, 3, 31)),
        (datetime(2025, 10, 26, 22, 59, 59, tzinfo=UTC), date(2025, 10, 26)),
        (datetime(2025, 10, 26, 23, 0, tzinfo=UTC), date(2025, 10, 27)),
    ],
)
async def test_days_begin_at_midnight_also_where_clocks_are_changed(
    pool: Pool, moment: datetime, day: date
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        event = in_envelope(a_scan(1, scanned_at=moment))
        await box.project(connection, [event], zone=ZoneInfo("Europe/Berlin"))

    assert await pool.fetchval("SELECT day FROM box") == day


async def test_late_arrival_changes_a_day_long_gone(pool: Pool) -> None:
    await told(pool, a_scan(1, kind="BOX"), a_scan(2, scanned_at=NOON + timedelta(days=30)))
    late = NOON + timedelta(days=9)
    await told(pool, a_scan(3, kind="CLOSE", received_at=late, scanned_at=NOON))

    assert (await only(pool)).standing == Standing(
        opened_at=NOON, closed_at=NOON, closed_by=Turn.CLOSE
    )


async def test_tenants_have_boxes_of_their_own(pool: Pool) -> None:
    await project(pool, [in_envelope(a_scan(1)), in_envelope(a_scan(1), tenant="other")])

    assert (await answer(pool)).total() == Total(items=1, boxes=1)
    assert len((await only(pool)).items) == 1
