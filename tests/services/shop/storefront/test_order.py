"""Orders that customers place themselves (spec shop §4.9, C5, C6, C7, C9, C10)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response

from contracts.shop import OrderPlaced
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.florist import PHONE, Florist

SOMETIME = datetime(2026, 3, 7, 12, 0, 59, tzinfo=UTC)
"""The last second of its minute."""


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


@pytest.fixture
async def customer(shop: ShopKit) -> AsyncIterator[AsyncClient]:
    async with shop.anonymous() as client:
        yield client


async def order(
    customer: AsyncClient, product: int, *, key: str | None = None, **fields: Any
) -> Response:
    """Place an order as the first storefront does."""
    body = {
        "shop_id": 7,
        "customer_phone": "+7 701 222 33 44",
        "recipient_phone": "+77015556677",
        "recipient_name": "Айгуль",
        "address": "ул. Абая 15, кв. 3",
        "delivery_method": "delivery",
        "delivery_fee": 2000,
        "card_text": "Люблю",
        "delivery_time_text": "Сегодня 12:00-18:00",
        "items": [{"product_id": product, "quantity": 2, "price": 15000}],
        **fields,
    }
    headers = {} if key is None else {"Idempotency-Key": key}
    return await customer.post("/api/public/orders", json=body, headers=headers)


async def short_order(customer: AsyncClient, product: int, **fields: Any) -> Response:
    """Place an order as the second storefront does."""
    body = {
        "customer_name": "Ерлан",
        "customer_phone": PHONE,
        "delivery_type": "delivery",
        "delivery_address": "ул. Абая 15",
        "payment_method": "cash",
        "items": [{"product_id": product, "quantity": 2, "price": 15000, "product_name": "x"}],
        "total_amount": 32000,
        **fields,
    }
    return await customer.post("/api/public/shops/7/orders/", json=body)


async def test_a_customer_orders_at_the_prices_of_the_shop_and_stock_is_reserved(
    customer: AsyncClient, florist: Florist
) -> None:
    roses = await florist.stock(20)
    product = await florist.product((roses, 5), sale_price=12000)

    answer = await order(
        customer,
        product,
        delivery_fee=0,
        items=[{"product_id": product, "quantity": 2, "price": 1}],
    )

    placed = answer.json()
    assert answer.status_code == 200
    assert (placed["source"], placed["status"]) == ("storefront", "new")
    assert (placed["flower_sum"], placed["delivery_fee"], placed["total"]) == (24000, 2000, 26000)
    assert [(line["price"], line["quantity"]) for line in placed["items"]] == [(12000, 2)]
    assert (placed["customer_phone"], placed["card_text"]) == (PHONE, "Люблю")
    assert "customer" not in placed
    assert await florist.level(roses) == (20, 10)
    assert (await florist.detail(placed["id"]))["history"][0]["event_type"] == "created"
    followed = await customer.get(f"/api/public/status/{placed['tracking_token']}")
    assert followed.json()["order_number"] == placed["order_number"]


async def test_pickup_is_free_and_an_alias(customer: AsyncClient, florist: Florist) -> None:
    product = await florist.product()

    first = await order(customer, product, delivery_method="pickup", address=None)
    second = await short_order(
        customer, product, delivery_type="pickup", payment_method="card", delivery_address=None
    )

    assert (first.status_code, first.json()["delivery_method"]) == (200, "self_pickup")
    assert (first.json()["total"], second.status_code) == (30000, 200)
    assert second.json()["total_amount"] == 30000
    detail = await florist.detail(second.json()["id"])
    assert (detail["delivery_method"], detail["payment_method"]) == ("self_pickup", "card")


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("2026-03-09 14:00-16:00", ("2026-03-09T09:00:00Z", "2026-03-09T11:00:00Z")),
        ("2026-03-09 Уточнить у получателя", None),
        ("Сегодня 12:00-18:00", None),
    ],
)
async def test_the_staff_see_as_a_window_what_the_storefront_writes_as_a_text(
    customer: AsyncClient, florist: Florist, text: str, window: tuple[str, str] | None
) -> None:
    placed = (await order(customer, await florist.product(), delivery_time_text=text)).json()

    detail = await florist.detail(placed["id"])
    expected = window and {"from": window[0], "to": window[1]}
    assert (detail["delivery_window"], detail["delivery_time_text"]) == (expected, text)


async def test_the_second_storefront_gets_its_own_answer(
    customer: AsyncClient, florist: Florist
) -> None:
    answer = await short_order(
        customer,
        await florist.product(),
        total_amount=1,
        delivery_date="2026-03-08",
        delivery_time="10:00-12:00",
        special_requests="Без лилий",
    )

    placed = answer.json()
    detail = await florist.detail(placed["id"])
    assert answer.status_code == 200
    assert placed | {"created_at": ""} == {
        "id": detail["id"],
        "tracking_token": detail["tracking_token"],
        "order_number": detail["order_number"],
        "status": "new",
        "customer_name": "Ерлан",
        "customer_phone": PHONE,
        "total_amount": 32000,
        "created_at": "",
        "message": "Заказ принят",
    }
    assert detail["delivery_window"] == {
        "from": "2026-03-08T05:00:00Z",
        "to": "2026-03-08T07:00:00Z",
    }
    assert detail["customer"]["name"] == "Ерлан"
    assert [(one["text"], one["author_type"]) for one in detail["comments"]] == [
        ("Без лилий", "customer")
    ]


async def test_a_time_in_words_is_kept_as_a_text(customer: AsyncClient, florist: Florist) -> None:
    answer = await short_order(
        customer, await florist.product(), delivery_date="Завтра", delivery_time="вечером"
    )

    detail = await florist.detail(answer.json()["id"])
    assert (detail["delivery_window"], detail["delivery_time_text"]) == (None, "Завтра вечером")


async def test_a_delivery_without_an_address_is_to_be_clarified(
    customer: AsyncClient, florist: Florist
) -> None:
    product = await florist.product()

    placed = [(await order(customer, product, address=one)).json() for one in (None, "Абая 1")]

    assert [one["address_needs_clarification"] for one in placed] == [True, False]


@pytest.mark.parametrize(
    "fields",
    [
        {"items": []},
        {"items": [{"product_id": 1, "quantity": 0}]},
        {"items": [{"product_id": 1, "quantity": -3}]},
        {"customer_phone": "12345"},
        {"recipient_phone": "+7701****77"},
        {"delivery_method": "drone"},
        {"card_text": "\0"},
    ],
)
async def test_an_order_that_makes_no_sense_is_422_and_leaves_nothing(
    customer: AsyncClient, florist: Florist, shop: ShopKit, fields: dict[str, Any]
) -> None:
    answer = await order(customer, await florist.product(), **fields)

    assert (answer.status_code, type(answer.json()["detail"])) == (422, str)
    assert not await shop.events(OrderPlaced)


async def test_unknown_shops_and_products_are_404_and_too_little_stock_409(
    customer: AsyncClient, florist: Florist, shop: ShopKit
) -> None:
    scarce = await florist.product((await florist.stock(1), 1))
    inactive = await florist.product(is_active=False)
    async with shop.staff(number=8) as client:
        foreign = await Florist(client).product()

    codes = [
        (await order(customer, scarce, shop_id=9)).status_code,
        (await order(customer, 999_999)).status_code,
        (await order(customer, foreign)).status_code,
        (await order(customer, inactive)).status_code,
        (await order(customer, scarce)).status_code,
        (await short_order(customer, scarce)).status_code,
    ]

    assert codes == [404, 404, 404, 400, 409, 409]
    assert not await shop.events(OrderPlaced)


async def test_the_name_of_a_customer_is_never_that_of_the_recipient(
    customer: AsyncClient, florist: Florist
) -> None:
    product = await florist.product()

    first = (await order(customer, product)).json()
    nameless = (await florist.detail(first["id"]))["customer"]
    await short_order(customer, product, customer_phone="+77019998877", customer_name="Бауыржан")
    later = (await order(customer, product, customer_phone="87019998877")).json()
    named = (await florist.detail(later["id"]))["customer"]

    assert (nameless["phone"], nameless["name"]) == (PHONE, None)
    assert (named["name"], named["orders_count"]) == ("Бауыржан", 2)


async def test_a_customer_belongs_to_the_shop_of_the_order(
    customer: AsyncClient, florist: Florist, shop: ShopKit, gateway: Any
) -> None:
    gateway.answers["shop-8"] = gateway.answers["shop-7"]
    async with shop.staff(number=8) as client:
        other = Florist(client)
        theirs = (await order(customer, await other.product(), shop_id=8)).json()
        detail = await other.detail(theirs["id"])
    ours = (await order(customer, await florist.product())).json()

    mine = (await florist.detail(ours["id"]))["customer"]
    assert (mine["phone"], detail["customer"]["phone"]) == (PHONE, PHONE)
    assert mine["id"] != detail["customer"]["id"]
    assert (mine["orders_count"], detail["customer"]["orders_count"]) == (1, 1)


async def test_parallel_clicks_place_one_order(customer: AsyncClient, florist: Florist) -> None:
    roses = await florist.stock(50)
    product = await florist.product((roses, 1))

    answers = await asyncio.gather(*(order(customer, product) for _ in range(5)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await florist.level(roses) == (50, 2)


@pytest.mark.parametrize(
    ("later", "orders"), [(0, 1), (1, 1), (60, 1), (150, 2)], ids="{} s later".format
)
async def test_the_same_order_is_another_one_only_minutes_later(
    customer: AsyncClient, florist: Florist, shop: ShopKit, later: int, orders: int
) -> None:
    product = await florist.product()
    ids = set()
    for at in (SOMETIME, SOMETIME + timedelta(seconds=later)):
        shop.app.state.deps = replace(shop.deps, clock=lambda at=at: at)
        ids.add((await order(customer, product)).json()["id"])

    assert len(ids) == orders


async def test_another_spelling_of_a_phone_is_the_same_order_and_other_content_another(
    customer: AsyncClient, florist: Florist
) -> None:
    product = await florist.product()
    first = (await order(customer, product)).json()["id"]

    spelled = (await order(customer, product, customer_phone="8 (701) 222-33-44")).json()["id"]
    others = [
        (await order(customer, product, **one)).json()["id"]
        for one in (
            {"customer_phone": "+77019998877"},
            {"address": "Абая 16"},
            {"items": [{"product_id": product, "quantity": 3}]},
        )
    ]

    assert spelled == first
    assert len({first, *others}) == 4


async def test_a_key_of_the_client_tells_orders_apart_and_opens_none_of_another(
    customer: AsyncClient, florist: Florist
) -> None:
    product = await florist.product()

    ids = [
        (await order(customer, product, key=key, **fields)).json()["id"]
        for key, fields in (
            ("a", {}),
            ("a", {}),
            ("b", {}),
            ("a", {"customer_phone": "+77019998877"}),
        )
    ]

    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
