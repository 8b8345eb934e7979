"""The items of a box from the log itself: all of them, the latest first, in pages."""

from datetime import timedelta
from itertools import pairwise
from random import Random
from uuid import UUID

import pytest

from contracts.ingest import ScanId
from libs.postgres.pool import Pool
from services.ingest.scans.read_models import logged_items
from tests.services.ingest.history import NOON, Store, a_scan, append

BOX, CODE = "ivancov/8", "2042469234860"


@pytest.mark.parametrize("seed", range(3))
async def test_the_items_of_a_box_come_the_latest_first_and_equal_times_on_one_page(
    stores: list[Store], reading_pool: Pool, seed: int
) -> None:
    random = Random(seed)
    scans = [
        a_scan(
            n,
            scanned_at=(at := NOON - timedelta(seconds=random.randrange(4 + 40 * seed))),
            received_at=at,
            kind=random.choice(["ITEM", "ITEM", "ITEM", "ERROR"]),
            box=random.choice([BOX, BOX, BOX, BOX.upper()]),
            code=random.choice([CODE, CODE, CODE, CODE + " "]),
        )
        for n in random.sample(range(10_000), 600)
    ]
    await append(stores[0], *scans)
    await append(stores[0], a_scan(20_000), tenant="other")

    pages = [page async for page in logged_items.of_box(reading_pool, "demo", BOX, CODE)]

    when = {one.scan_id: one.effective_at for one in scans}
    moments = [[when[one] for one in page] for page in pages]
    assert len(pages) > 1
    assert all(len(page) >= logged_items.PAGE for page in pages[:-1])
    assert all(one == sorted(one, reverse=True) for one in moments)
    assert all(before[-1] > after[0] for before, after in pairwise(moments))
    expected = [one for one in scans if (one.kind, one.box, one.code) == ("ITEM", BOX, CODE)]
    assert sorted(one for page in pages for one in page) == sorted(one.scan_id for one in expected)
    assert ScanId(UUID(int=20_000)) not in when
