"""A price of the shop is set on all scales that sell the article, and again after every fetch
(SCL-8, SCL-15, SCL-16)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.scale_bridge import PriceOverridden, PriceTaken, ProductEdited, ProductsShown
from libs.clock import utc_now
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import envelope
from libs.messaging import inbox
from libs.messaging.inbox_feed import InboxFeed
from libs.messaging.reaction import feed_of
from libs.testing.polling import eventually
from services.scale_bridge import bootstrap
from services.scale_bridge.catalogue.domain.product import BeyondModel
from services.scale_bridge.catalogue.domain.shop_price import major
from services.scale_bridge.catalogue.stores.cache import CatalogueCache
from services.scale_bridge.prices import handlers as price
from services.scale_bridge.prices import reactions as shop
from services.scale_bridge.prices import stores as prices
from tests.services.scale_bridge.pricing import (
    ARTICLE,
    announce,
    by_price,
    changed,
    delivery,
    record,
    recorded,
    states,
    store_price,
    uploads,
    work_again_and_again,
)
from tests.services.scale_bridge.service import Device, open_device, open_devices, open_service

DEAR = 1_000_000
"""In kopecks; 9999.99 is the most that some models take."""


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (21_950, "RUB", 219.5),
        (0, "RUB", 0.0),
        (120, "JPY", 120.0),
        (990, "CLP", 990.0),
        (4_500, "XOF", 4500.0),
        (1_250, "JOD", 1.25),
        (75_000, "CLF", 7.5),
    ],
)
def test_minor_units_become_major_ones(amount: int, currency: str, written: float) -> None:
    assert major(amount, currency) == written


async def test_many_prices_are_sent_together(database: str) -> None:
    """A new price list needs one upload per scale."""
    async with open_device(database, 40) as device:
        await device.service.caught_up()
        context = device.service.deps
        changes = [changed(1000 + n, article=50 + n) for n in range(40)]
        await asyncio.gather(*(price.change_price(context, one, tenant="demo") for one in changes))

        expected = [(1000 + n) / 100 for n in range(40)]
        await eventually(lambda: [one["price"] for one in device.scale.base.products], expected)
        assert len(await uploads(device.service)) <= 5


async def test_a_price_waits_until_it_is_valid_and_gives_way_to_a_later_one(database: str) -> None:
    async with open_service(database) as service:
        reaction = shop.prices(service.deps)
    valid_at = datetime(2030, 1, 1, tzinfo=UTC)
    due = reaction.schedule_of(changed(valid_at=valid_at))
    assert due is not None
    assert (due.run_at, due.ordering_key) == (valid_at, f"article {ARTICLE}")
    assert reaction.latest_wins


async def test_a_price_beyond_the_limits_of_one_model_is_set_on_the_others(database: str) -> None:
    async with open_devices(database, 3, 3) as (small, large):
        service = small.service
        await small.put("/profile", model="M-ER 725")
        before = small.scale.base.products[1]["price"]

        for _ in range(2):
            with pytest.raises(BeyondModel):
                await announce(service, changed(DEAR))

        await large.shows(DEAR / 100)
        assert len(await service.events(ProductEdited)) == 1
        # Neither a read of the scale nor the search for what was missed stumbles over it.
        await small.fetch()
        await service.caught_up()
        await price.catch_up(service.deps)
        assert small.scale.base.products[1]["price"] == before
        await small.set_price(2, 5)

        assert await announce(service, changed(999_999)) == 2


async def test_a_price_that_cannot_be_set_is_parked(database: str) -> None:
    async with open_device(database) as device:
        service = device.service
        await device.put("/profile", model="M-ER 725")
        await service.caught_up()
        change, pool = changed(DEAR), service.deps.system
        reaction = shop.prices(service.deps)
        async with pool.acquire() as connection, connection.transaction():
            await feed_of(reaction).project(connection, [envelope(recorded(change, 1), change)])

        await work_again_and_again(pool, reaction)

        async with pool.acquire() as connection:
            assert (await inbox.backlog(connection, shop.NAME)).parked == 1
        assert await service.events(ProductEdited) == []


POISON: list[dict[str, Any]] = [
    *({"currency": "RU\0"}, {"changed_by": "a\0"}, {"article": 2**63}, {"article": -(2**63) - 1}),
    *({"amount": 2**63}, {"amount": 10**400}, {"amount": -1}),
]
"""What JSON carries and no column of ours, or no price, holds."""


@pytest.mark.parametrize("wrong", POISON, ids=lambda wrong: str(wrong)[:30])
async def test_a_price_that_cannot_be_stored_is_parked_and_stops_no_other(
    database: str, wrong: dict[str, Any]
) -> None:
    async with open_device(database) as device:
        service, context = device.service, device.service.deps
        await service.caught_up()
        changes = (changed(9_900, article=53), changed(**{"article": 50} | wrong), changed())
        given = [record(recorded(one, n)) for n, one in enumerate(changes, 1)]
        reaction = shop.prices(context)
        await InboxFeed(context.system, reaction).store(given)
        await work_again_and_again(context.system, reaction)

        await device.shows(123.45)
        parked = await context.system.fetch("SELECT stream FROM inbox WHERE parked_at IS NOT NULL")
        assert [one["stream"] for one in parked] == [f"price-{changes[1].article}"]
        edits = await service.events(ProductEdited)
        assert {one.plu for one in edits} == {"2"}
        known = "SELECT array_agg(price_id ORDER BY article) FROM price"
        assert await service.fetch_value(known) == [changes[2].price_id, changes[0].price_id]


async def test_a_lying_scale_gets_one_upload_per_fetch_and_its_price_fails(database: str) -> None:
    async with open_device(database) as device:
        service = device.service
        device.scale.faults.set(["lie"])
        await announce(service, changed())
        await eventually(service.all_ended)
        for times in (2, 3):
            await service.caught_up()
            await device.fetch()
            await eventually(service.all_ended)
            assert len(await by_price(service)) == times
        [one] = (await delivery(device.owner))["scales"]
        assert (one["id"], one["state"], one["code"]) == (device.number, "failed", "NotShown")
        assert one["name"] == (await device.read())["name"]
        assert one["detail"]
        assert one["verified_at"] is None


async def test_a_scale_that_was_dead_gets_only_the_last_price(database: str) -> None:
    """SCL-9."""
    async with open_devices(database, 3, 3, heals=True) as (dead, alive):
        service, anna = dead.service, dead.owner
        await dead.scale.power_cut()
        first, last = changed(5_000), changed(6_000)
        await announce(service, first)

        async def has_failed() -> bool:
            [scale, _] = (await delivery(anna))["scales"]
            return bool(scale["state"] == "failed" and scale["code"])

        await eventually(has_failed)
        await announce(service, last)
        await alive.shows(60.0)
        # No operation that began with the first price is still under way.
        await eventually(has_failed)

        await dead.scale.power_on()
        await dead.shows(60.0)

        await eventually(lambda: states(anna), ["verified", "verified"])
        summary = (await delivery(anna))["summary"]
        assert (summary["scales"], summary["verified"], summary["behind"]) == (2, 2, 0)
        assert summary["seconds"] > 0
        assert 50.0 not in await prices_shown_by(dead)
        old = (await anna.get(f"/prices/deliveries?price_id={first.price_id}")).json()
        assert [one["state"] for one in old["scales"]] == ["overridden", "overridden"]
        assert {one["overridden_by"] for one in old["scales"]} == {"price"}
        assert all(one["overridden_at"] for one in old["scales"])
        assert old["summary"]["behind"] == 0


async def prices_shown_by(device: Device) -> list[float]:
    query = "SELECT device_id FROM device WHERE number = $1"
    device_id = await device.service.fetch_value(query, device.number)
    shown = await device.service.events(ProductsShown)
    of_device = [one.shown for one in shown if one.device_id == device_id and "2" in one.shown]
    return [shown["2"]["price"] for shown in of_device]


async def test_no_price_is_lost_when_a_worker_dies_after_a_fetch(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between the adopted catalogue and the shop's prices."""
    reapply = price.reapply
    armed, died = list[bool](), list[bool]()

    async def dying(*given: Any, **named: Any) -> None:
        if armed and not died:
            died.append(True)
            raise RuntimeError("the power fails")
        await reapply(*given, **named)

    monkeypatch.setattr(bootstrap, "HOOKS", replace(bootstrap.HOOKS, after_fetch=dying))
    async with open_device(database, lease_seconds=6.0) as device:
        await announce(device.service, changed())
        await device.shows(123.45)
        await eventually(device.is_dirty, False)
        device.scale.base.products[1]["price"] = 1.0
        armed.append(True)

        await device.get("/products")

        assert died
        await device.shows(123.45)
        await eventually(device.service.all_ended)
        await device.service.assert_one_end_each()


async def shows_clean(device: Device, amount: float) -> None:
    """Wait until the scale shows the price and its catalogue is clean."""
    await device.shows(amount)
    await eventually(device.is_dirty, False)


async def test_after_a_fetch_the_price_of_the_shop_is_set_again(database: str) -> None:
    async with open_device(database) as device:
        service, change = device.service, changed()
        await announce(service, change)
        await shows_clean(device, 123.45)
        device.scale.base.products[1]["price"] = 1.0
        before = len(await by_price(service))

        document = await device.fetch()

        assert document["products"][1]["price"] == 123.45
        await shows_clean(device, 123.45)
        assert len(await by_price(service)) == before + 1
        edit = (await service.events(ProductEdited))[-1]
        assert (edit.source, edit.edited_by, edit.before) == ("price", "gateway", {"price": 1.0})
        taken = await service.events(PriceTaken)
        assert [one.price_id for one in taken] == [change.price_id] * 2


async def test_a_scale_that_is_read_later_gets_all_prices_at_once(database: str) -> None:
    """Prices that are not valid yet are left out."""
    async with open_device(database, 300, read=False) as device:
        service = device.service
        articles = [product["code"] for product in device.scale.base.products]
        announced = [changed(5_000 + code, article=code) for code in articles]
        to_come = changed(9_900, valid_at=utc_now() + timedelta(hours=1))
        await store_price(service, *announced, to_come)

        document = await device.fetch()

        desired = [(5_000 + code) / 100 for code in articles]
        assert [product["price"] for product in document["products"]] == desired
        taken = await service.events(PriceTaken)
        assert {one.price_id for one in taken} == {one.price_id for one in announced}
        assert len(taken) == len(announced)
        edits = await service.events(ProductEdited)
        assert [one.revision for one in taken] == [one.revision for one in edits]
        await eventually(device.is_dirty, False)
        assert [product["price"] for product in device.scale.base.products] == desired
        assert len(await by_price(service)) == 1


async def test_a_price_that_changes_nothing_is_recorded_and_sends_nothing(database: str) -> None:
    async with open_device(database) as device:
        service = device.service
        change = changed(round((await device.cached())["products"][1]["price"] * 100))
        for _ in range(2):
            assert await announce(service, change) == 1

        [taken] = await service.events(PriceTaken)
        assert (taken.changed, taken.price_id, taken.plu) == (False, change.price_id, "2")
        assert await service.events(ProductEdited) == []
        assert await by_price(service) == []
        assert await states(device.owner) == ["verified"]


async def test_a_price_that_a_person_set_but_did_not_upload_is_uploaded(database: str) -> None:
    """The shop announced the same price later: it has to be on the label."""
    async with open_device(database) as device:
        await device.set_price(2, 123.45)
        await announce(device.service, changed())

        await device.shows(123.45)


async def test_a_scale_not_known_to_sell_the_article_gets_the_price_later(
    database: str,
) -> None:
    """The read models were late when the price was announced."""
    async with open_device(database) as device:
        service, context = device.service, device.service.deps
        await service.execute("DELETE FROM desired")
        missed = await price.change_price(context, changed(), tenant="demo")
        assert missed == []
        service.projector.position = 0
        for found in (1, 0):
            await service.caught_up()
            assert await price.catch_up(context) == found
        await device.shows(123.45)


async def test_a_catalogue_rebuilt_from_its_events_has_its_prices(database: str) -> None:
    """Also from its snapshot, in another process."""
    async with open_device(database) as device:
        await announce(device.service, changed())
        await device.set_price(2, 9.5)
        await device.fetch()
        object.__setattr__(device.service.deps, "catalogues", CatalogueCache())

        await announce(device.service, changed(777, valid_at=utc_now() - timedelta(hours=1)))
        await device.fetch()

        assert len(await device.service.events(PriceOverridden)) == 1
        assert (await device.cached())["products"][1]["price"] != 7.77


async def test_the_consequences_of_a_price_have_its_correlation_id(database: str) -> None:
    async with open_device(database) as device:
        service, change = device.service, changed()
        await announce(service, change, trace="the gateway's click")
        await device.shows(123.45)
        await eventually(service.all_ended)

        traced: dict[str, Metadata] = {}
        async for page in service.deps.store.log.read_all():
            for one in page:
                if one.metadata.correlation_id == "the gateway's click":
                    traced.setdefault(one.type, one.metadata)
        ours = {"ProductEdited", "PriceTaken", "OperationQueued"}
        sent = {"OperationSending", "OperationApplied", "OperationEnded"}
        assert ours | sent | {"CatalogueConfirmed", "ProductsShown"} <= traced.keys()
        assert {traced[kind].causation_id for kind in ours} == {str(change.price_id)}


async def test_the_last_valid_price_counts(database: str) -> None:
    """In any order of announcement; future prices do not count yet."""
    async with open_service(database) as service:
        now = utc_now()
        announced = [
            changed(1, valid_at=now - timedelta(hours=1)),
            changed(3, valid_at=now + timedelta(hours=1)),
            changed(2, valid_at=now - timedelta(minutes=1)),
            changed(4, article=7, valid_at=now),
        ]
        await store_price(service, *announced, *announced)

        async with service.deps.system.acquire() as connection:
            found = await prices.current(connection, "demo", [ARTICLE, 7, 8], now)
            later = await prices.current(connection, "demo", [ARTICLE], now + timedelta(hours=2))
            [coming] = await prices.coming(connection, "demo", ARTICLE, now)
            assert await prices.current(connection, "other", [ARTICLE], now) == {}
        assert {article: one.price for article, one in found.items()} == {ARTICLE: 0.02, 7: 0.04}
        assert later[ARTICLE] == coming
        assert coming.price == 0.03
