"""Which items were removed, by whom and why?"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts.ingest import ItemRemoved
from libs.postgres.pool import Pool
from services.ingest.read_models import removal
from tests.services.ingest import history
from tests.services.ingest.history import NOON, a_scan, asking, numbers_of, record


def removed(number: int, *, minutes: int = 0, by: str = "vera", **scan: Any) -> ItemRemoved:
    return history.removed(
        a_scan(number, **scan),
        removal_id=UUID(int=100 + number),
        removed_at=NOON + timedelta(minutes=minutes),
        removed_by=by,
    )


async def numbers(pool: Pool, *, limit: int = 100, offset: int = 0, **filters: Any) -> list[int]:
    question = asking(**filters)
    rows = await removal.page(pool, question, limit=limit, offset=offset)
    assert await removal.count(pool, question) >= len(rows)
    return numbers_of(rows)


async def test_removed_items_come_the_latest_removed_first(pool: Pool) -> None:
    await record(pool, removed(1), removed(3, minutes=5), removed(2, minutes=5))
    await record(pool, removed(4), tenant="other")

    assert await numbers(pool) == [2, 3, 1]
    assert await numbers(pool, limit=1, offset=1) == [3]


async def test_the_day_is_that_of_the_removal_and_the_operator_who_removed(pool: Pool) -> None:
    await record(
        pool,
        removed(1, scanned_at=NOON - timedelta(days=3)),
        removed(2, minutes=24 * 60),
        removed(3, by="boris", operator="vera"),
        removed(4, client="", city=""),
    )

    assert await numbers(pool) == [1, 3, 4]
    assert await numbers(pool, operator="boris") == [3]
    assert await numbers(pool, operator="vera", client="ivancov", city="Novosem") == [1]
    assert await numbers(pool, client="") == [4]
