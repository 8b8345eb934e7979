"""Desired versus last verified, per PLU (SCL-15)."""

from operator import methodcaller as step
from typing import Any

import pytest

from libs.postgres.pool import Pool
from services.scale_bridge.domain.shown import shown_of
from services.scale_bridge.read_models import drift
from services.scale_bridge.read_models.drift import Difference, Place
from tests.services.scale_bridge.histories import (
    History,
    catalogue,
    device_id,
    product,
    store_content,
)

BASE = catalogue(product(1, price=100, sellByDate=""), product(2), product(3))


async def differences(pool: Pool, history: History) -> dict[str, Difference]:
    """What differs by PLU, after what happened since the last time."""
    await history.project(pool)
    async with pool.acquire() as connection:
        found = await drift.differences(connection, "demo", device_id(), limit=100)
        counts = await drift.counts(connection, "demo", [device_id()])
    assert counts.get(device_id(), 0) == len(found)
    return {one.plu: one for one in found}


@pytest.fixture
async def synced(pool: Pool) -> History:
    """A scale that was read, and shows what it shall."""
    history = History()
    await history.synced(pool, BASE)
    assert await differences(pool, history) == {}
    return history


async def test_an_edit_is_drift_until_it_is_seen(pool: Pool, synced: History) -> None:
    """SCL-15: also of dates, and of a field that is taken away."""
    synced.edited(2, 1, price=120.5, unknownField=[1])
    synced.edited(3, 2, name="Роза", shelfLifeType="DAYS")
    synced.dated(4, 3)

    found = await differences(pool, synced)

    assert {plu: one.revision for plu, one in found.items()} == {"1": 2, "2": 3, "3": 4}
    assert found["1"].desired == {**shown_of(product(1)), "price": 120.5}
    assert found["1"].shown == shown_of(product(1))
    synced.read(5, {plu: dict(one.desired or {}) for plu, one in found.items()}, by=2)
    assert await differences(pool, synced) == {}


STRANGE = {"name": "чужой", "price": 1}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            [step("read", 5, {"9": STRANGE}, "3", by=2)],
            {"9": (None, STRANGE), "3": (shown_of(product(3)), None)},
        ),
        (
            [step("edited", 2, 1, pluNumber=77), step("edited", 3, 77, price=1.5)],
            {
                "1": (None, shown_of(product(1))),
                "77": ({**shown_of(product(1)), "price": 1.5}, None),
            },
        ),
        # A number counts by value, a cleared date as none.
        ([step("read", 1, {"1": {**shown_of(product(1)), "price": 100.0}}, by=2)], {}),
        ([step("edited", 2, 1, sellByDate="01-03-26"), step("edited", 3, 1, sellByDate="")], {}),
        # At another address nothing is desired or shown (R9).
        ([step("edited", 2, 1, price=1.0), step("invalidated", 3, at=9)], {}),
    ],
    ids=["only one has it", "another PLU", "by value", "a cleared date", "another address"],
)
async def test_what_differs(
    pool: Pool, synced: History, steps: list[Any], expected: dict[str, Any]
) -> None:
    found = await differences(pool, synced.happened(*steps))

    assert {plu: (one.desired, one.shown) for plu, one in found.items()} == expected
    assert "9" not in found or found["9"].revision is None


async def test_a_fetched_or_brought_back_catalogue_replaces_the_one_before(
    pool: Pool, synced: History
) -> None:
    synced.edited(2, 1, price=1.0)
    synced.fetched(3, await store_content(pool, catalogue(product(1), product(4))))
    assert (await differences(pool, synced)).keys() == {"2", "3", "4"}

    synced.reverted(4, await store_content(pool, BASE))
    assert await differences(pool, synced) == {}


async def test_a_catalogue_whose_content_was_deleted_does_not_stop_a_rebuild(pool: Pool) -> None:
    """Those that are cleaned up were replaced later."""
    history = History()
    history.fetched(1, "gone")
    history.edited(2, 1, price=2.0)
    assert await differences(pool, history) == {}

    history.fetched(3, await store_content(pool, BASE))
    assert len(await differences(pool, history)) == 3


async def test_it_is_known_where_an_article_is_sold(pool: Pool) -> None:
    twice: dict[str, Any] = catalogue(product(1), product(2, code="5001"))
    for tenant, number, document in (("demo", 1, twice), ("demo", 2, BASE), ("other", 3, BASE)):
        history = History(tenant)
        history.fetched(1, await store_content(pool, document, tenant), of=number)
        await history.project(pool)

    async with pool.acquire() as connection:
        found = await drift.holding(connection, "demo", 5001)

    first = device_id(1)
    assert found == [Place(first, "1"), Place(first, "2"), Place(device_id(2), "1")]
