"""In which order boxes and their items come, and where an answer is cut."""

from datetime import date, timedelta

import pytest
from tests.services.ingest.told import NOON, a_scan, in_envelope, project

from contracts.ingest import IngestEvent
from libs.postgres.pool import Pool
from services.ingest.domain.day import Days
from services.ingest.domain.question import Question
from services.ingest.read_models import box
from services.ingest.read_models.box import Boxes

TODAY = Days(first=date(2025, 10, 31), last=date(2025, 10, 31))
BOTH = Days(first=TODAY.first, last=date(2025, 11, 1))


async def told(pool: Pool, *events: IngestEvent) -> None:
    await project(pool, [in_envelope(event) for event in events])


async def answer(
    pool: Pool, days: Days = TODAY, *, limit: int = 1000, offset: int = 0, items: int = 100
) -> Boxes:
    question = Question(tenant="demo", days=days)
    async with pool.acquire() as connection:
        return await box.answer(connection, question, limit=limit, offset=offset, items=items)


async def test_boxes_come_by_items_then_by_number(pool: Pool) -> None:
    await told(
        pool,
        *(a_scan(n, kind="BOX", box=f"ivancov/{n}") for n in (10, 9, 100, 8)),
        a_scan(101, box="ivancov/7"),
        a_scan(102, client="petrov", box="petrov/1"),
        a_scan(103, client="petrov", box="petrov/2", city="Rostov"),
        a_scan(104, client="petrov", box="petrov/2", city="Rostov"),
    )

    assert [one.label for one in (await answer(pool)).boxes] == [
        "petrov/2",
        "petrov/1",
        "ivancov/7",
        "ivancov/8",
        "ivancov/9",
        "ivancov/10",
        "ivancov/100",
    ]


async def test_pages_cut_one_order_and_totals_count_every_page(pool: Pool) -> None:
    scans = [
        a_scan(
            n,
            client=f"client-{n % 3}",
            box=f"x/{n % 11}",
            city=f"city-{n % 2}",
            kind=("ITEM", "BOX")[n % 5 == 0],
            scanned_at=NOON + timedelta(days=n % 2),
        )
        for n in range(300)
    ]
    await told(pool, *scans)

    everything = await answer(pool, BOTH)
    pages = [await answer(pool, BOTH, limit=7, offset=7 * n) for n in range(20)]

    keys = [(one.client, one.city, one.label, one.day) for one in everything.boxes]
    assert keys == [
        (one.client, one.city, one.label, one.day) for page in pages for one in page.boxes
    ]
    assert len(keys) == len(set(keys)) == everything.total().boxes
    assert {page.total() for page in pages} == {everything.total()}
    assert everything.total().items == 240


async def test_items_are_cut_and_counted_nevertheless(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told(pool, *(a_scan(n, box=f"ivancov/{n % 2}") for n in range(20)))
    monkeypatch.setattr(box, "ITEMS_AT_MOST", 12)

    for most, listed in ((0, [0, 0]), (3, [3, 3]), (100, [10, 2])):
        found = await answer(pool, items=most)
        assert [len(one.items) for one in found.boxes] == listed
        assert [one.tally.items for one in found.boxes] == [10, 10]


async def test_items_are_listed_by_time_then_by_receive_time_then_by_id(pool: Pool) -> None:
    later = NOON + timedelta(seconds=1)
    await told(
        pool,
        a_scan(1, scanned_at=later),
        a_scan(2, received_at=later),
        a_scan(4, received_at=NOON),
        a_scan(3, received_at=NOON),
    )

    (found,) = (await answer(pool)).boxes
    assert [row["scan_id"].int for row in found.items] == [3, 4, 2, 1]
