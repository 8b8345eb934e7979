"""Prices of products: announced to scales and kiosks, and set for thousands at once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from contracts.shop import PriceChanged, ProductAdded, ProductDetails
from libs.clock import utc_now
from libs.eventsourcing.log import Metadata
from services.scale_bridge.catalogue.domain.shop_price import shop_price_of
from services.scale_bridge.prices.reactions import prices as scale_reaction
from services.shop.__main__ import app
from services.shop.context import tenant_of
from services.shop.products import handlers
from services.shop.products.cli import BadPriceList, read_rows
from services.shop.products.domain import PRODUCT, current_price
from services.shop.products.handlers import NewPrice, set_prices
from tests.services.shop.kit import SEAL_KEY, TENANT, ShopKit
from tests.services.shop.products.catalogue import add

STAFF = Metadata(tenant=TENANT, actor="anna")


async def announced(shop: ShopKit) -> list[tuple[int, int]]:
    """Article and amount of all announcements, in order."""
    return [(one.article, one.amount) for one in await shop.events(PriceChanged)]


async def test_a_new_product_with_an_article_announces_its_price(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        await add(staff, article=50, sale_price=22_000)
        await add(staff)

    [price] = await shop.events(PriceChanged)
    assert (price.article, price.amount, price.currency) == (50, 2_200_000, "KZT")
    assert price.valid_at == price.changed_at
    assert utc_now() - price.valid_at < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("change", "prices"),
    [
        ({"retail_price": 26_000}, [(50, 2_600_000)]),
        ({"sale_price": 20_000}, [(50, 2_000_000)]),
        ({"article": 51}, [(51, 2_500_000)]),
        ({"article": None, "retail_price": 1}, []),
        *(({"name": "Другой"}, []), ({"cost_price": 1}, []), ({"sale_price": 25_000}, [])),
    ],
    ids=str,
)
async def test_only_another_price_or_article_is_announced_again(
    shop: ShopKit, change: dict[str, Any], prices: list[tuple[int, int]]
) -> None:
    async with shop.staff() as staff:
        number = (await add(staff, article=50))["id"]
        await staff.put(f"/api/products/{number}", json=change)

    assert await announced(shop) == [(50, 2_500_000), *prices]


async def test_scales_understand_the_announcement(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        await add(staff, article=50, retail_price=1_990)
    [recorded] = [
        one
        async for page in shop.deps.store.log.read_all()
        for one in page
        if "price" in one.stream
    ]
    reaction = scale_reaction(shop.deps)

    event = reaction.codec.decode(recorded.type, recorded.schema_version, recorded.data)
    schedule, price = reaction.schedule_of(event), shop_price_of(event)

    assert schedule is not None
    assert (schedule.ordering_key, schedule.run_at) == ("article 50", event.valid_at)
    assert price is not None
    assert (price.article, price.price) == (50, 1990.0)


async def test_a_list_of_prices_is_set_by_number_and_by_article(shop: ShopKit) -> None:
    async with shop.staff() as staff, shop.staff(number=8) as other:
        rose = await add(staff, article=50)
        tulip = await add(staff, retail_price=9_000)
        foreign = await add(other, article=60)
        body = [
            {"article": 50, "price": 26_000},
            {"id": tulip["id"], "price": 9_000.0},
            {"article": 60, "price": 1},
            {"id": foreign["id"], "price": 1},
        ]
        first = await staff.post("/api/products/prices", json=body)
        listed = (await staff.get("/api/products/")).json()["items"]
        again = await staff.post("/api/products/prices/", json=body)

    unknown = [{"id": None, "article": 60}, {"id": foreign["id"], "article": None}]
    assert first.status_code == 200
    assert first.json() == {"changed": 1, "unchanged": 1, "unknown": unknown}
    assert again.json() == {"changed": 0, "unchanged": 2, "unknown": unknown}
    assert {one["id"]: one["retail_price"] for one in listed} == {
        rose["id"]: 26_000,
        tulip["id"]: 9_000,
    }
    assert (await announced(shop)).count((50, 2_600_000)) == 1


@pytest.mark.parametrize(
    ("price", "retail", "sale"),
    [(26_000, 26_000, 22_000), (22_001, 22_001, 22_000), (22_000, 22_000, None), (9, 9, None)],
)
async def test_a_sale_that_is_not_cheaper_than_the_new_price_ends(
    shop: ShopKit, price: int, retail: int, sale: int | None
) -> None:
    async with shop.staff() as staff:
        number = (await add(staff, sale_price=22_000))["id"]
        await staff.post("/api/products/prices", json=[{"id": number, "price": price}])
        product = (await staff.get(f"/api/products/{number}")).json()

    assert (product["retail_price"], product["sale_price"]) == (retail, sale)


@pytest.mark.parametrize(
    "body",
    [
        *([], {}, [{"price": 1}], [{"id": 1, "article": 1, "price": 1}], [{"id": 1}]),
        *([{"id": 1, "price": 0}], [{"article": 0, "price": 1}], [{"id": 1, "price": "free"}]),
    ],
    ids=str,
)
async def test_a_list_that_is_no_list_of_prices_is_refused(shop: ShopKit, body: Any) -> None:
    async with shop.staff() as staff, shop.staff("orders", "production") as florist:
        refused = await staff.post("/api/products/prices", json=body)
        forbidden = await florist.post("/api/products/prices", json=[{"id": 1, "price": 1}])

    assert (refused.status_code, forbidden.status_code) == (422, 403)
    assert isinstance(refused.json()["detail"], str)


MANY = 10_000


async def with_many_products(shop: ShopKit) -> None:
    """Products 1 to `MANY`, each with its number as its article, and a price of 1000 tenge."""
    now = utc_now()
    for start in range(1, MANY, 1000):
        added = {
            PRODUCT.stream(number): [
                ProductAdded(
                    product_id=number,
                    details=ProductDetails(
                        name=f"{number}",
                        category="other",
                        cost_price=0,
                        retail_price=1000,
                        article=number,
                    ),
                    added_by="",
                    added_at=now,
                )
            ]
            for number in range(start, start + 1000)
        }
        expected = dict.fromkeys(added, 0)
        await shop.deps.store.append_streams(added, expected=expected, metadata=STAFF)
    await shop.caught_up()


async def test_thousands_of_prices_take_few_appends_and_none_twice(shop: ShopKit) -> None:
    await with_many_products(shop)
    wanted = [NewPrice(article=number, price=2000) for number in range(1, MANY + 1)]
    steps: list[int] = []

    first = await set_prices(shop.deps, wanted, STAFF, on_progress=steps.append)
    again = await set_prices(shop.deps, wanted, STAFF)

    assert (first.changed, first.unchanged, first.unknown) == (MANY, 0, [])
    assert (again.changed, again.unchanged, again.unknown) == (0, MANY, [])
    assert sum(steps) == MANY
    appends = "SELECT count(DISTINCT xid) FROM events WHERE type = 'PriceChanged'"
    assert await shop.fetch_value(appends) <= 50
    assert len(await announced(shop)) == MANY


async def test_prices_that_are_changed_meanwhile_are_set_all_the_same(shop: ShopKit) -> None:
    async with shop.staff() as staff:
        numbers = [(await add(staff, article=50 + n))["id"] for n in range(3)]
    wanted = [NewPrice(product_id=number, price=2000) for number in numbers]
    await set_prices(shop.deps, wanted, STAFF)
    for number in numbers:
        # By another process: the states that this one has cached are old now.
        history = await shop.deps.store.read(TENANT, PRODUCT.stream(number))
        await shop.deps.store.append(
            PRODUCT.stream(number), history.events[-1:], expected=history.version, metadata=STAFF
        )

    again = [NewPrice(article=50 + n, price=3000) for n in range(3)]
    result = await set_prices(shop.deps, [*wanted, *again], STAFF)

    assert result.changed == 3
    loaded = await handlers.load_many(shop.deps, TENANT, numbers)
    assert {current_price(one.details) for one in loaded.values() if one.details} == {3000}


def test_a_file_of_prices_names_its_columns_in_any_order() -> None:
    rows = [
        {" Price ": "1 500", "Article": "50", "name": "Роза"},
        {" Price ": "", "Article": "51", "name": ""},
        {" Price ": "0", "Article": "51", "name": ""},
        {" Price ": "9.5", "Article": "51", "name": ""},
        {" Price ": "9", "Article": "", "name": ""},
    ]

    prices, faults = read_rows(rows)

    assert prices == [NewPrice(price=1500, article=50)]
    assert [fault.partition(":")[0] for fault in faults] == [f"line {n}" for n in (3, 4, 5, 6)]


@pytest.mark.parametrize("columns", [("price",), ("id", "name"), ()])
def test_a_file_without_the_columns_is_refused(columns: tuple[str, ...]) -> None:
    with pytest.raises(BadPriceList):
        read_rows([dict.fromkeys(columns, "1")])


@given(st.lists(st.dictionaries(st.sampled_from(["id", "article", "price"]), st.text())))
def test_no_text_of_a_file_makes_a_price_that_is_none(rows: list[dict[str, str]]) -> None:
    try:
        prices, faults = read_rows(rows)
    except BadPriceList:
        return
    assert len(prices) + len(faults) == len(rows)
    assert all(one.price > 0 and (one.product_id or one.article) for one in prices)


def run_command(
    monkeypatch: pytest.MonkeyPatch, database: str, file: Path, *options: str
) -> tuple[int, str]:
    """Exit status and output of `prices`."""
    monkeypatch.setenv("SHOP_DATABASE_URL", database)
    monkeypatch.setenv("SHOP_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("SHOP_JWKS_URL", "http://127.0.0.1:1/jwks.json")
    monkeypatch.setenv("SHOP_SEAL_KEYS", SEAL_KEY)
    monkeypatch.setenv("SHOP_FILES_URL", "memory:///")
    done = CliRunner().invoke(app, ["prices", str(file), *options])
    return done.exit_code, done.stdout


async def test_the_command_sets_the_prices_of_a_file(
    shop: ShopKit, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop.staff() as staff:
        number = (await add(staff, article=50))["id"]
    await shop.caught_up()
    file = tmp_path / "prices.csv"
    file.write_text("\ufeffarticle;price\n50;26000\n", encoding="utf-8")

    async def run(number: str) -> tuple[int, str]:
        return await asyncio.to_thread(run_command, monkeypatch, database, file, "--shop", number)

    changed, unchanged = await run("7"), await run("7")
    elsewhere = await run("8")
    file.write_text("id,price\n1,free\n")
    bad = await run("7")
    file.write_text("name\nrose\n")
    refused = await run("7")

    assert changed == (0, "1 changed, 0 unchanged, 0 unknown, 0 bad rows\n")
    assert unchanged == (0, "0 changed, 1 unchanged, 0 unknown, 0 bad rows\n")
    assert (elsewhere[0], bad[0], refused[0]) == (1, 1, 1)
    assert "unknown: article 50" in elsewhere[1]
    assert "line 2" in bad[1]
    products = await handlers.load_many(shop.deps, tenant_of(7), [number])
    assert products[number].present.retail_price == 26_000
