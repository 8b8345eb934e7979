"""Changes of an order: its lines, its fields, and several at once (spec shop §4.1, C4, C7)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.errors import Unavailable
from services.shop.customers import handlers as customers
from services.shop.orders.handlers import execution
from services.shop.stock.handlers.item import streams_of
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.api.test_order import ORDER
from tests.services.shop.orders.florist import Florist


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


async def test_a_changed_line_changes_the_reservation_and_the_total(florist: Florist) -> None:
    roses = await florist.stock(20)
    product = await florist.product((roses, 5))
    order = await florist.placed((product, 1), delivery_method="pickup")
    path = f"/api/orders/{order['id']}/items"

    changed = await florist.client.patch(f"{path}/{order['items'][0]['id']}", json={"quantity": 3})
    after_change = await florist.level(roses)
    added = await florist.client.post(path, json={"product_id": product, "quantity": 1})
    short = await florist.client.post(path, json={"product_id": product, "quantity": 1})
    removed = await florist.client.delete(f"{path}/{order['items'][0]['id']}")
    detail = await florist.detail(order["id"])

    assert (changed.json()["total"], after_change) == (45000, (20, 15))
    assert (added.status_code, short.status_code, removed.status_code) == (201, 409, 200)
    assert await florist.level(roses) == (20, 5)
    assert (detail["total"], detail["delivery_method"]) == (15000, "self_pickup")
    assert [one["id"] for one in detail["items"]] == [added.json()["id"]]


async def test_edited_fields_are_replaced_and_money_is_not(florist: Florist) -> None:
    order = await florist.placed((await florist.product(), 1))

    edited = await florist.client.patch(
        f"/api/orders/{order['id']}/",
        json={
            "recipient_name": "Белла",
            "recipient_phone": "8 701 000 00 01",
            "delivery_window": {"from": "2026-03-08T10:00", "to": "2026-03-08T12:00"},
            "total": 1,
            "payment_method": "qr",
        },
    )

    after = edited.json()
    assert edited.status_code == 200
    assert after.keys() == ORDER
    assert (after["recipient_name"], after["recipient_phone"]) == ("Белла", "+77010000001")
    assert after["address"] == "Абая 15"
    assert (after["total"], after["payment_method"]) == (order["total"], "qr")
    assert after["delivery_window"]["from"] == "2026-03-08T05:00:00Z"


async def test_parallel_changes_of_one_order_are_all_made(florist: Florist, shop: ShopKit) -> None:
    product = await florist.product()
    order = await florist.placed((product, 1))
    path = f"/api/orders/{order['id']}"
    link = f"/api/public/orders/{order['tracking_token']}/address"
    edits = {
        "recipient_name": "Белла",
        "recipient_phone": "+77010000001",
        "payment_method": "qr",
        "address_needs_clarification": True,
    }

    async with shop.anonymous() as customer:
        answers = await asyncio.gather(
            *(florist.client.patch(path, json={name: value}) for name, value in edits.items()),
            customer.patch(link, json={"address": "пр. Достык 1"}),
            *(
                florist.client.post(f"{path}/items", json={"product_id": product, "quantity": n})
                for n in (1, 2, 3)
            ),
        )

    assert {one.status_code for one in answers} == {200, 201}
    detail = await florist.detail(order["id"])
    expected = edits | {"address": "пр. Достык 1"}
    assert {name: detail[name] for name in expected} == expected
    assert sorted(line["quantity"] for line in detail["items"]) == [1, 1, 2, 3]


@pytest.mark.parametrize(
    "window",
    [
        {"from": "2026-03-08T10:00", "to": "2026-03-08T12:00"},
        {"from_time": "2026-03-08T05:00:00Z", "to_time": "2026-03-08T12:00:00+05:00"},
        {"date": "2026-03-08", "time": "10:00-12:00"},
    ],
)
async def test_a_window_has_any_of_three_shapes(florist: Florist, window: dict[str, str]) -> None:
    order = await florist.placed((await florist.product(), 1), delivery_window=window)

    assert order["delivery_window"] == {
        "from": "2026-03-08T05:00:00Z",
        "to": "2026-03-08T07:00:00Z",
    }


async def test_the_totals_of_the_list_are_the_orders_in_each_state_whatever_happens_to_them(
    shop: ShopKit, florist: Florist
) -> None:
    product = await florist.product()
    orders = [(await florist.placed((product, 1)))["id"] for _ in range(4)]
    await florist.move(orders[0], "paid", "assembled", "delivery")
    await florist.move(orders[1], "paid")
    await florist.client.post(f"/api/orders/{orders[2]}/cancel", json={"cancellation_reason": ""})
    back = {"target_status": "paid", "reason": ""}
    await florist.client.post(f"/api/orders/{orders[0]}/rollback-status", json=back)
    await shop.caught_up()

    async def total(**filters: str) -> int:
        page = (await florist.client.get("/api/orders/", params=filters)).json()
        assert page["total"] == len(page["items"])
        return int(page["total"])

    assert [await total(status=one) for one in ("paid", "issue", "new", "delivery")] == [2, 1, 1, 0]
    assert (await total(), await total(status="all"), await total(search="Абая")) == (4, 4, 0)


async def test_a_placed_order_has_its_comment_whatever_becomes_of_its_customer_meanwhile(
    florist: Florist, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = await florist.product()
    known = [
        (await florist.client.post("/api/customers/", json={"phone": phone})).json()["id"]
        for phone in ("+77010000001", "+77010000002")
    ]

    async def merged(*_: object, **__: object) -> int:
        merge = {"keep_customer_id": known[0], "merge_customer_id": known[1]}
        assert (await florist.client.post("/api/customers/merge", json=merge)).status_code == 201
        return int(known[1])

    async def away(*_: object, **__: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(customers, "ensure", merged)
        first = await florist.placed((product, 1), comment="позвонить")
    monkeypatch.setattr(customers, "use_address", away)
    second = await florist.placed((product, 1), comment="позвонить")

    for order in (first, second):
        comments = (await florist.detail(order["id"]))["comments"]
        assert [one["text"] for one in comments] == ["позвонить"]


async def test_an_order_is_placed_although_its_batch_becomes_another_variety_meanwhile(
    florist: Florist, monkeypatch: pytest.MonkeyPatch
) -> None:
    roses = await florist.stock(20)
    product = await florist.product((roses, 5))

    async def renamed_after(*arguments: Any) -> Any:
        found = await streams_of(*arguments)
        monkeypatch.setattr(execution, "streams_of", streams_of)
        await florist.client.patch(f"/api/warehouse/{roses}", json={"variety": "Пион"})
        return found

    monkeypatch.setattr(execution, "streams_of", renamed_after)
    await florist.placed((product, 1))

    assert await florist.level(roses) == (20, 5)
