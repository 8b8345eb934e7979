"""What the shop announced holds, whatever scales are found to show (SCL-15, SCL-16)."""

from datetime import timedelta

from contracts.scale_bridge import PriceOverridden, PriceTaken, ProductEdited
from libs.clock import utc_now
from libs.eventsourcing.log import Cause
from libs.testing.waiting import eventually
from services.scale_bridge.adapters import prices
from services.scale_bridge.handlers import price
from services.scale_bridge.handlers.desk import Remembered
from tests.services.scale_bridge.pricing import (
    ARTICLE,
    announce,
    by_price,
    changed,
    remember,
    states,
)
from tests.services.scale_bridge.service import (
    Device,
    open_device,
    open_service,
)


async def shows_clean(device: Device, amount: float) -> None:
    """Wait until the scale shows the price, and all of its catalogue is confirmed."""
    await device.shows(amount)
    await eventually(device.is_dirty, False)


async def test_a_fetch_of_another_price_leads_back_to_the_shops(database: str) -> None:
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
        assert (edit.source, edit.edited_by, edit.before) == ("price", "office", {"price": 1.0})
        taken = await service.events(PriceTaken)
        assert [one.price_id for one in taken] == [change.price_id] * 2


async def test_a_scale_that_comes_later_gets_all_of_them_at_once(database: str) -> None:
    """But no price before it is valid."""
    async with open_device(database, 300, read=False) as device:
        service = device.service
        articles = [product["code"] for product in device.scale.base.products]
        announced = [changed(5_000 + code, article=code) for code in articles]
        to_come = changed(9_900, valid_at=utc_now() + timedelta(hours=1))
        await remember(service, *announced, to_come)

        document = await device.fetch()

        wanted = [(5_000 + code) / 100 for code in articles]
        assert [product["price"] for product in document["products"]] == wanted
        taken = await service.events(PriceTaken)
        assert {one.price_id for one in taken} == {one.price_id for one in announced}
        assert len(taken) == len(announced)
        edits = await service.events(ProductEdited)
        assert [one.revision for one in taken] == [one.revision for one in edits]
        await eventually(device.is_dirty, False)
        assert [product["price"] for product in device.scale.base.products] == wanted
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


async def test_what_a_person_edited_the_same_and_did_not_send_is_sent(database: str) -> None:
    """The price is the shop's by then, and has to be on the label."""
    async with open_device(database) as device:
        await device.set_price(2, 123.45)
        await announce(device.service, changed())

        await device.shows(123.45)


async def test_a_scale_that_was_not_known_to_sell_it_is_not_forgotten(database: str) -> None:
    """The read models were late when the price came."""
    async with open_device(database) as device:
        service, desk = device.service, device.service.deps.desk
        await service.execute("DELETE FROM desired")
        missed = await price.change_price(desk, changed(), tenant="demo", currency="RUB")
        assert missed == []
        service.projector.position = 0
        for found in (1, 0):
            await service.caught_up()
            assert await price.catch_up(desk) == found
        await device.shows(123.45)


async def test_a_copy_that_is_folded_again_knows_its_prices(database: str) -> None:
    """Also from its snapshot, in another process."""
    async with open_device(database) as device:
        await announce(device.service, changed())
        await device.set_price(2, 9.5)
        await device.fetch()
        object.__setattr__(device.service.deps.desk, "remembered", Remembered())

        await announce(device.service, changed(777, valid_at=utc_now() - timedelta(hours=1)))
        await device.fetch()

        assert len(await device.service.events(PriceOverridden)) == 1
        assert (await device.cached())["products"][1]["price"] != 7.77


async def test_what_follows_from_a_price_can_be_traced_to_it(database: str) -> None:
    async with open_device(database) as device:
        service, change = device.service, changed()
        await announce(service, change, trace="the office's click")
        await device.shows(123.45)
        await eventually(service.all_ended)

        traced: dict[str, Cause] = {}
        async for page in service.deps.desk.store.log.read_all():
            for one in page:
                if one.cause.correlation_id == "the office's click":
                    traced.setdefault(one.type, one.cause)
        ours = {"ProductEdited", "PriceTaken", "OperationQueued"}
        sent = {"OperationSending", "OperationApplied", "OperationEnded"}
        assert ours | sent | {"CatalogueConfirmed", "ProductsShown"} <= traced.keys()
        assert {traced[kind].causation_id for kind in ours} == {str(change.price_id)}


async def test_the_last_price_that_is_valid_counts(database: str) -> None:
    """In whatever order they are announced; those to come are known and do not count yet."""
    async with open_service(database) as service:
        now = utc_now()
        announced = [
            changed(1, valid_at=now - timedelta(hours=1)),
            changed(3, valid_at=now + timedelta(hours=1)),
            changed(2, valid_at=now - timedelta(minutes=1)),
            changed(4, article=7, valid_at=now),
            changed(5, currency="USD"),
        ]
        await remember(service, *announced, *announced)

        async with service.deps.desk.pool.acquire() as connection:
            found = await prices.current(connection, "demo", [ARTICLE, 7, 8], now)
            later = await prices.current(connection, "demo", [ARTICLE], now + timedelta(hours=2))
            [coming] = await prices.coming(connection, "demo", ARTICLE, now)
            assert await prices.current(connection, "other", [ARTICLE], now) == {}
        assert {article: one.price for article, one in found.items()} == {ARTICLE: 0.02, 7: 0.04}
        assert later[ARTICLE] == coming
        assert coming.price == 0.03
