"""Desired versus last verified, per PLU (SCL-15)."""

from typing import Any

from libs.postgres.pool import Pool
from services.scale_bridge.domain.shown import shown_by_plu, shown_of
from services.scale_bridge.read_models import drift
from services.scale_bridge.read_models.drift import Difference, Place
from tests.services.scale_bridge.twin import (
    Told,
    catalogue,
    device_id,
    product,
    project,
    store_content,
)

BASE = catalogue(product(1), product(2), product(3))


async def differences(pool: Pool, number: int = 1, tenant: str = "demo") -> list[Difference]:
    async with pool.acquire() as connection:
        found = await drift.differences(connection, tenant, device_id(number), limit=100)
        counts = await drift.counts(connection, tenant, [device_id(number)])
    assert counts.get(device_id(number), 0) == len(found)
    return list(found)


async def synced(pool: Pool, tell: Told, document: dict[str, Any] = BASE) -> None:
    """A scale that was read, and shows what it shall."""
    tell.fetched(1, await store_content(pool, document))
    tell.shown(0, {plu: dict(shown) for plu, shown in shown_by_plu(document).items()})


async def test_a_scale_that_shows_what_it_shall_does_not_drift(pool: Pool) -> None:
    tell = Told()
    await synced(pool, tell)
    await project(pool, tell.events)

    assert await differences(pool) == []


async def test_an_edit_is_drift_until_it_is_seen(pool: Pool) -> None:
    """SCL-15: also of dates, and of a field that is taken away."""
    tell = Told()
    await synced(pool, tell)
    tell.edited(2, 1, price=120.5, unknownField=[1])
    tell.edited(3, 2, name="Роза", shelfLifeType="DAYS")
    tell.dated(4, 3)
    await project(pool, tell.events)

    found = {one.plu: one for one in await differences(pool)}
    assert {plu: one.revision for plu, one in found.items()} == {"1": 2, "2": 3, "3": 4}
    one = found["1"]
    assert one.desired == {**shown_of(product(1)), "price": 120.5}
    assert one.shown == shown_of(product(1))

    tell.events.clear()
    tell.shown(5, {plu: dict(one.desired or {}) for plu, one in found.items()}, by=2)
    await project(pool, tell.events)
    assert await differences(pool) == []


async def test_what_only_the_scale_or_only_the_catalogue_has_is_drift(pool: Pool) -> None:
    tell = Told()
    await synced(pool, tell)
    tell.shown(5, {"9": {"name": "чужой", "price": 1}}, "3", by=2)
    await project(pool, tell.events)

    found = {one.plu: one for one in await differences(pool)}
    assert found["9"] == Difference(
        plu="9", desired=None, shown={"name": "чужой", "price": 1}, revision=None
    )
    assert (found["3"].shown, found["3"].desired) == (None, shown_of(product(3)))


async def test_numbers_count_by_value_and_cleared_dates_as_none(pool: Pool) -> None:
    tell = Told()
    await synced(pool, tell, catalogue(product(1, price=100, sellByDate="")))
    tell.shown(1, {"1": {**shown_of(product(1)), "price": 100.0}}, by=2)
    await project(pool, tell.events)
    assert await differences(pool) == []

    tell.events.clear()
    tell.edited(2, 1, sellByDate="01-03-26")
    tell.edited(3, 1, sellByDate="")
    await project(pool, tell.events)
    assert await differences(pool) == []


async def test_another_plu_is_another_product(pool: Pool) -> None:
    tell = Told()
    await synced(pool, tell)
    tell.edited(2, 1, pluNumber=77)
    tell.edited(3, 77, price=1.5)
    await project(pool, tell.events)

    found = {one.plu: one for one in await differences(pool)}
    assert found.keys() == {"1", "77"}
    assert found["77"].desired == {**shown_of(product(1)), "price": 1.5}


async def test_a_fetched_or_brought_back_catalogue_replaces_the_one_before(pool: Pool) -> None:
    tell = Told()
    await synced(pool, tell)
    tell.edited(2, 1, price=1.0)
    other = await store_content(pool, catalogue(product(1), product(4)))
    tell.fetched(3, other)
    await project(pool, tell.events)
    assert {one.plu for one in await differences(pool)} == {"2", "3", "4"}

    tell.events.clear()
    tell.reverted(4, await store_content(pool, BASE))
    await project(pool, tell.events)
    assert await differences(pool) == []


async def test_at_another_address_nothing_is_desired_or_shown(pool: Pool) -> None:
    """R9."""
    tell = Told()
    await synced(pool, tell)
    tell.edited(2, 1, price=1.0)
    tell.invalidated(3, at=9)
    await project(pool, tell.events)

    assert await differences(pool) == []


async def test_a_catalogue_that_is_kept_no_more_is_no_reason_to_stop(pool: Pool) -> None:
    """Of a rebuild: those that are cleaned up were replaced later."""
    tell = Told()
    tell.fetched(1, "gone")
    tell.edited(2, 1, price=2.0)
    await project(pool, tell.events)
    assert await differences(pool) == []

    tell.events.clear()
    tell.fetched(3, await store_content(pool, BASE))
    await project(pool, tell.events)
    assert len(await differences(pool)) == 3


async def test_where_an_article_is_sold_is_known(pool: Pool) -> None:
    tell, other = Told(), Told("other")
    name = await store_content(pool, catalogue(product(1), product(2, code="5001")))
    tell.fetched(1, name)
    tell.fetched(1, await store_content(pool, BASE), of=2)
    other.fetched(1, await store_content(pool, BASE, "other"), of=3)
    await project(pool, [*tell.events, *other.events])

    async with pool.acquire() as connection:
        found = await drift.holding(connection, "demo", 5001)

    assert found == [
        Place(device_id(1), "1"),
        Place(device_id(1), "2"),
        Place(device_id(2), "1"),
    ]
