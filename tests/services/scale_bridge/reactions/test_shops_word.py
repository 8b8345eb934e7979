"""What the shop said about a price holds, whatever scales are found to show (SCL-15, SCL-16)."""

from datetime import timedelta
from typing import Any

from contracts.scale_bridge import (
    OperationQueued,
    PriceOverridden,
    PriceTaken,
    ProductEdited,
)
from libs.clock import utc_now
from services.scale_bridge.adapters import prices
from services.scale_bridge.handlers import price
from services.scale_bridge.handlers.desk import Remembered
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    Inside,
    dirty,
    eventually,
    fetched,
    inside,
    patch,
    registered,
    working,
)
from tests.services.scale_bridge.pricing import (
    ARTICLE,
    by_price,
    changed,
    clean,
    says,
    shows,
    states,
)


async def test_a_fetch_of_another_price_leads_back_to_the_shops(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        change = changed()
        await says(made, change)
        await eventually(shows(scale, 123.45))
        await eventually(lambda: clean(anna, number))
        scale.base.products[1]["price"] = 1.0
        before = len(await by_price(made))

        document = await fetched(anna, number)

        assert document["products"][1]["price"] == 123.45
        await eventually(shows(scale, 123.45))
        await eventually(lambda: clean(anna, number))
        assert len(await by_price(made)) == before + 1
        edit = (await made.events(ProductEdited))[-1]
        assert (edit.source, edit.edited_by, edit.before) == ("price", "office", {"price": 1.0})
        told = await made.events(PriceTaken)
        assert [one.price_id for one in told] == [change.price_id] * 2


async def test_who_has_no_prices_of_a_shop_sees_nothing_of_it(database: str) -> None:
    """The catalogue is what the scale holds, and clean (§1)."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await patch(anna, number, 2, price=7.0)
        scale.base.products[1]["price"] = 1.0
        document = await fetched(anna, number)

        assert document["products"][1]["price"] == 1.0
        assert not await dirty(anna, number)
        assert await made.events(PriceTaken) == []
        assert {one.kind for one in await made.events(OperationQueued)} == {"fetch"}


async def test_a_scale_that_comes_later_gets_it_too(database: str) -> None:
    """But no price before it is valid."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        await says(made, changed(5_000))
        to_come = changed(9_900, valid_at=utc_now() + timedelta(hours=1))
        await price.remember(made.deps.desk, to_come, tenant="demo", currency="RUB")
        number = await registered(anna, scale)

        document = await fetched(anna, number)

        assert document["products"][1]["price"] == 50.0
        await eventually(shows(scale, 50.0))
        await eventually(lambda: clean(anna, number))


async def test_a_scale_that_comes_later_gets_all_of_them_at_once(database: str) -> None:
    async with a_scale(300) as scale, working(database) as made, made.client() as anna:
        articles = [product["code"] for product in scale.base.products]
        said = [changed(5_000 + code, article=code) for code in articles]
        for one in said:
            await price.remember(made.deps.desk, one, tenant="demo", currency="RUB")
        number = await registered(anna, scale)

        document = await fetched(anna, number)

        wanted = [(5_000 + code) / 100 for code in articles]
        assert [product["price"] for product in document["products"]] == wanted
        told = await made.events(PriceTaken)
        assert {one.price_id for one in told} == {one.price_id for one in said}
        assert len(told) == len(said)
        assert [one.revision for one in told] == [one.revision for one in await edits(made)]
        await eventually(lambda: clean(anna, number))
        assert [product["price"] for product in scale.base.products] == wanted
        assert len(await by_price(made)) == 1


async def edits(made: Inside) -> list[ProductEdited]:
    """Every edit, in order."""
    return await made.events(ProductEdited)


async def test_a_person_overrules_the_shop_until_it_says_something_new(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await says(made, changed())
        await eventually(shows(scale, 123.45))
        await patch(anna, number, 2, price=9.5)
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200

        document = await fetched(anna, number)

        assert document["products"][1]["price"] == 9.5
        assert await clean(anna, number)
        [overridden] = await made.events(PriceOverridden)
        assert overridden.price == 9.5
        assert await states(anna) == ["overridden"]

        await says(made, changed(777))
        await eventually(shows(scale, 7.77))


async def test_a_price_that_changes_nothing_is_told_and_sends_nothing(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        document = await fetched(anna, number)
        amount = round(document["products"][1]["price"] * 100)
        change = changed(amount)
        for _ in range(2):
            assert await says(made, change) == 1

        [told] = await made.events(PriceTaken)
        assert (told.changed, told.price_id, told.plu) == (False, change.price_id, "2")
        assert await made.events(ProductEdited) == []
        assert await by_price(made) == []
        assert await states(anna) == ["verified"]


async def test_what_a_person_edited_the_same_and_did_not_send_is_sent(database: str) -> None:
    """The price is the shop's by then, and has to be on the label."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await patch(anna, number, 2, price=123.45)
        await says(made, changed())

        await eventually(shows(scale, 123.45))


async def test_a_scale_nobody_knew_to_sell_it_is_not_forgotten(database: str) -> None:
    """The read models were late when the price came."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        desk, change = made.deps.desk, changed()
        await desk.pool.execute("DELETE FROM desired")
        assert await price.change_price(desk, change, tenant="demo", currency="RUB") == []
        made.fresh.position = 0
        await made.fresh.caught_up("all")

        assert await price.catch_up(desk) == 1
        await made.fresh.caught_up("all")
        assert await price.catch_up(desk) == 0
        await eventually(shows(scale, 123.45))


async def test_a_copy_that_is_folded_again_knows_its_prices(database: str) -> None:
    """Also from what is kept of it, in another process."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await says(made, changed())
        await patch(anna, number, 2, price=9.5)
        await fetched(anna, number)
        desk = made.deps.desk
        object.__setattr__(desk, "remembered", Remembered())

        await says(made, changed(777, valid_at=utc_now() - timedelta(hours=1)))
        await fetched(anna, number)

        assert len(await made.events(PriceOverridden)) == 1
        document = (await anna.get(f"/devices/{number}/products/cached")).json()["products"]
        assert document["products"][1]["price"] != 7.77


async def test_what_follows_from_a_price_can_be_traced_to_it(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        await fetched(anna, await registered(anna, scale))
        change = changed()
        await says(made, change, trace="the office's click")
        await eventually(shows(scale, 123.45))

        async def ended() -> bool:
            return len(await made.ends()) == 2

        await eventually(ended)
        store = made.deps.desk.store
        traced: dict[str, Any] = {}
        async for page in store.log.read_all():
            for one in page:
                if one.cause.correlation_id == "the office's click":
                    traced.setdefault(one.type, one.cause)
        assert {"ProductEdited", "PriceTaken", "OperationQueued", "OperationSending",
                "OperationApplied", "OperationEnded", "CatalogueConfirmed",
                "ProductsShown"} <= traced.keys()  # fmt: skip
        for kind in ("ProductEdited", "PriceTaken", "OperationQueued"):
            assert traced[kind].causation_id == str(change.price_id)


async def test_the_last_price_that_is_valid_counts(database: str) -> None:
    """Whatever they are told in; those to come are known and do not count yet."""
    async with inside(database) as made:
        desk, now = made.deps.desk, utc_now()
        told = [
            changed(1, valid_at=now - timedelta(hours=1)),
            changed(3, valid_at=now + timedelta(hours=1)),
            changed(2, valid_at=now - timedelta(minutes=1)),
            changed(4, article=7, valid_at=now),
            changed(5, currency="USD"),
        ]
        for change in (*told, *told):
            await price.remember(desk, change, tenant="demo", currency="RUB")

        async with desk.pool.acquire() as connection:
            found = await prices.current(connection, "demo", [ARTICLE, 7, 8], now)
            later = await prices.current(connection, "demo", [ARTICLE], now + timedelta(hours=2))
            [coming] = await prices.coming(connection, "demo", ARTICLE, now)
            assert await prices.current(connection, "other", [ARTICLE], now) == {}
        assert {article: one.price for article, one in found.items()} == {ARTICLE: 0.02, 7: 0.04}
        assert later[ARTICLE] == coming
        assert coming.price == 0.03
