"""Orders, as the admin's pages place and move them (spec shop §4.1, §5, C1 to C7, C17)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts.shop import OrderPlaced
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.florist import PHONE, Florist

ORDER = {
    *("customer_phone", "recipient_phone", "recipient_name", "address"),
    *("address_needs_clarification", "delivery_method", "flower_sum", "delivery_fee", "total"),
    *("id", "order_number", "created_at", "updated_at", "status"),
    *("has_pre_delivery_photos", "has_issue"),
    *("issue_type", "issue_comment", "tracking_token", "delivery_window", "payment_method"),
    *("payment_date", "card_text", "delivery_time_text", "source"),
}


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


async def test_an_order_is_priced_by_the_shop_and_reserves_its_stock(florist: Florist) -> None:
    roses = await florist.stock(100)
    product = await florist.product((roses, 15), sale_price=12000)

    order = await florist.placed((product, 2), comment="с лентой")

    assert {*order} >= ORDER | {"items", "customer_id", "customer", "assigned_florist", "courier"}
    assert (order["flower_sum"], order["delivery_fee"], order["total"]) == (24000, 1500, 25500)
    assert order["items"][0] | {"id": 0, "order_id": 0, "product_id": 0} == {
        "id": 0,
        "order_id": 0,
        "product_id": 0,
        "product_name": "Букет роз",
        "product_category": "bouquet",
        "quantity": 2,
        "price": 12000,
        "total": 24000,
    }
    assert order["customer"]["phone"] == PHONE
    assert await florist.level(roses) == (100, 30)
    detail = await florist.detail(order["id"])
    assert [one["event_type"] for one in detail["history"]] == ["created", "comment_added"]
    assert {one["user"] for one in detail["history"]} == {"Анна"}
    assert detail["comments"][0]["text"] == "с лентой"
    assert detail["comments"][0]["user"] == {"id": 3, "name": "Анна"}
    assert detail["customer"]["orders_count"] == 1


@pytest.mark.parametrize(
    ("recipient", "name"), [("+7 (701) 222-33-44", "Берик"), ("+77025556677", None)]
)
async def test_a_new_customer_has_the_name_of_the_recipient_at_the_same_phone(
    florist: Florist, recipient: str, name: str | None
) -> None:
    product = await florist.product()

    placed = await florist.placed(
        (product, 1), recipient_phone=recipient, recipient_name="Берик", comment=None
    )
    again = await florist.placed((product, 1), recipient_phone=PHONE, recipient_name="Сауле")

    assert placed["customer"]["name"] == again["customer"]["name"] == name


async def test_a_price_that_a_client_sends_and_a_quantity_below_one_are_not_taken(
    florist: Florist,
) -> None:
    product = await florist.product()
    body = {"customer_phone": PHONE, "delivery_method": "self_pickup"}

    async def order(**item: Any) -> Any:
        return await florist.client.post(
            "/api/orders/with-items", json={**body, "items": [{"product_id": product, **item}]}
        )

    cheap = await order(quantity=1, price=1)
    refused = [await order(quantity=0), await order(quantity=-1)]
    empty = await florist.order()
    unknown = await florist.order((999_999, 1))

    assert (cheap.json()["total"], cheap.json()["delivery_fee"]) == (15000, 0)
    assert [one.status_code for one in refused] == [422, 422]
    assert (empty.status_code, unknown.status_code) == (422, 404)


async def test_too_little_stock_refuses_the_whole_order(florist: Florist, shop: ShopKit) -> None:
    roses, lilies = await florist.stock(100), await florist.stock(5, "Лилия")
    product = await florist.product((roses, 10), (lilies, 3))

    answer = await florist.order((product, 2))

    assert answer.status_code == 409
    assert "Лилия" in answer.json()["detail"]
    assert [await florist.level(one) for one in (roses, lilies)] == [(100, 0), (5, 0)]
    assert not await shop.events(OrderPlaced)


async def test_forty_parallel_orders_for_a_stock_of_five_sell_five(florist: Florist) -> None:
    roses = await florist.stock(5)
    product = await florist.product((roses, 1))

    answers = await asyncio.gather(*(florist.order((product, 1)) for _ in range(40)))

    codes = [answer.status_code for answer in answers]
    assert (codes.count(201), codes.count(409)) == (5, 35)
    assert await florist.level(roses) == (5, 5)


async def test_an_order_with_a_key_is_placed_once_however_often_it_is_sent(
    florist: Florist,
) -> None:
    roses = await florist.stock(50)
    product = await florist.product((roses, 1))
    key = {"Idempotency-Key": "double click"}

    answers = await asyncio.gather(*(florist.order((product, 1), headers=key) for _ in range(5)))
    again = await florist.order((product, 1), headers=key)

    assert {answer.status_code for answer in (*answers, again)} == {201}
    assert len({answer.json()["id"] for answer in (*answers, again)}) == 1
    assert await florist.level(roses) == (50, 1)


async def test_an_order_moves_to_the_customer_and_takes_its_stock_along(
    florist: Florist,
) -> None:
    roses = await florist.stock(20)
    order = await florist.placed((await florist.product((roses, 5)), 2))

    paid = await florist.move(order["id"], "paid")
    assert paid.json()["payment_date"] is not None
    assert await florist.level(roses) == (20, 10)
    sent = await florist.move(order["id"], "assembled", "delivery")
    assert (sent.status_code, sent.json()["status"]) == (200, "delivery")
    assert await florist.level(roses) == (10, 0)
    skipped = await florist.move(order["id"], "paid")
    assert skipped.status_code == 409
    assert "delivered, completed, issue" in skipped.json()["detail"]


async def test_a_cancelled_order_gives_its_stock_back_and_a_rollback_takes_it_again(
    florist: Florist,
) -> None:
    roses = await florist.stock(20)
    order = await florist.placed((await florist.product((roses, 5)), 2))
    path = f"/api/orders/{order['id']}"

    cancelled = await florist.client.post(
        f"{path}/cancel", json={"cancellation_reason": "передумали"}
    )
    level_of_cancelled = await florist.level(roses)
    again = await florist.client.post(f"{path}/cancel", json={"cancellation_reason": ""})
    back = await florist.client.post(
        f"{path}/rollback-status", json={"target_status": "new", "reason": "вернулись"}
    )
    wrong = await florist.client.post(
        f"{path}/rollback-status", json={"target_status": "paid", "reason": ""}
    )

    issue = cancelled.json()
    assert (issue["status"], issue["has_issue"], issue["issue_type"]) == ("issue", True, "other")
    assert issue["issue_comment"] == "передумали"
    assert level_of_cancelled == (20, 0)
    assert (again.status_code, wrong.status_code) == (400, 400)
    assert (back.json()["status"], back.json()["has_issue"]) == ("new", False)
    assert back.json()["issue_comment"] is None
    assert await florist.level(roses) == (20, 10)


async def test_an_issue_after_delivery_takes_nothing_of_other_orders(florist: Florist) -> None:
    roses = await florist.stock(20)
    product = await florist.product((roses, 5))
    sent, other = await florist.placed((product, 2)), await florist.placed((product, 1))
    await florist.move(sent["id"], "paid", "assembled", "delivery")

    issue = await florist.client.patch(
        f"/api/orders/{sent['id']}/issue",
        json={"issueType": "delivery_refused", "comment": "не открыли"},
    )
    after_issue = await florist.level(roses)
    back = await florist.client.post(
        f"/api/orders/{sent['id']}/rollback-status",
        json={"target_status": "assembled", "reason": "вернули"},
    )

    assert (issue.status_code, issue.json()["issue_type"]) == (200, "delivery_refused")
    assert after_issue == (10, 5)
    assert back.status_code == 200
    assert await florist.level(roses) == (20, 15)
    history = (await florist.detail(sent["id"]))["history"]
    assert [one["event_type"] for one in history][-2:] == ["issue_reported", "status_changed"]
    assert other["status"] == "new"


async def test_an_order_without_products_has_the_given_sum(florist: Florist) -> None:
    body = {
        "customer_phone": PHONE,
        "delivery_method": "delivery",
        "flower_sum": 10000,
        "delivery_fee": 500,
        "total": 10500,
        "comment": "позвонить",
    }

    placed = await florist.client.post("/api/orders/", json=body)
    wrong = await florist.client.post("/api/orders", json={**body, "total": 1})

    assert (placed.status_code, placed.json()["total"]) == (201, 10500)
    assert placed.json().keys() == ORDER
    assert wrong.status_code == 422
    assert (await florist.detail(placed.json()["id"]))["comments"][0]["text"] == "позвонить"


async def test_orders_are_listed_newest_first_and_filtered(florist: Florist) -> None:
    product = await florist.product()
    first = await florist.placed((product, 1), recipient_name="Белла")
    second = await florist.placed((product, 1), customer_phone="+77770000001")
    await florist.move(second["id"], "paid")

    async def found(**params: Any) -> list[int]:
        answer = await florist.client.get("/api/orders/", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert "items" not in (page["items"] or [{}])[0]
        return [one["id"] for one in page["items"]]

    day = first["created_at"][:10]
    assert await found() == [second["id"], first["id"]]
    assert await found(status="all", page=2, limit=1) == [first["id"]]
    assert await found(status="paid") == [second["id"]]
    assert await found(search="белл") == [first["id"]]
    assert await found(search="7777") == [second["id"]]
    assert await found(dateFrom="2020-01-01", dateTo="2020-01-02") == []
    assert len(await found(dateTo=day)) + len(await found(dateFrom=day)) >= 2
    for bad in ({"status": "nope"}, {"dateFrom": "nope"}, {"limit": 101}):
        assert (await florist.client.get("/api/orders/", params=bad)).status_code == 422


async def test_a_florist_is_assigned_and_no_one_else(florist: Florist) -> None:
    order = await florist.placed((await florist.product(), 1))
    path = f"/api/orders/{order['id']}/assign-florist"

    in_query = await florist.client.post(path, params={"florist_id": 3})
    in_body = await florist.client.post(path, json={"florist_id": 3})
    unknown = await florist.client.post(path, json={"florist_id": 4})

    assert (in_query.status_code, in_body.status_code, unknown.status_code) == (200, 200, 404)
    detail = await florist.detail(order["id"])
    assert detail["assigned_florist"] == {"id": 3, "name": "Анна", "phone": "+77010000001"}
    assert [one["event_type"] for one in detail["history"]].count("florist_assigned") == 1


async def test_a_product_shows_its_sales_without_those_with_an_issue(florist: Florist) -> None:
    roses, lilies = await florist.product(), await florist.product(retail_price=9000)
    await florist.placed((roses, 2), (lilies, 1))
    order = await florist.placed((roses, 1))
    path = f"/api/products/{roses}"

    before = (await florist.client.get(path)).json()
    await florist.client.post(f"/api/orders/{order['id']}/cancel", json={})
    after = (await florist.client.get(path)).json()

    assert (before["total_orders"], before["total_revenue"]) == (2, 45000)
    assert (after["total_orders"], after["total_revenue"]) == (1, 30000)


async def test_orders_of_another_shop_do_not_exist(shop: ShopKit, florist: Florist) -> None:
    order = await florist.placed((await florist.product(), 1))
    path = f"/api/orders/{order['id']}"
    async with shop.staff(number=8) as other:
        answers = [
            await other.get(path),
            await other.patch(path, json={"address": "x"}),
            await other.patch(f"{path}/status", json={"status": "paid"}),
            await other.patch(f"{path}/issue", json={"issue_type": "other"}),
            await other.post(f"{path}/cancel", json={}),
            await other.post(f"{path}/rollback-status", json={"target_status": "new"}),
            await other.post(f"{path}/comments", json={"text": "x"}),
            await other.get(f"{path}/comments"),
            await other.get(f"{path}/items"),
            await other.post(f"{path}/items", json={"product_id": 1, "quantity": 1}),
            await other.post(f"{path}/assign-florist", json={"florist_id": 3}),
            await other.get(f"/api/customers/{order['customer_id']}/orders"),
        ]
        listed = (await other.get("/api/orders/")).json()

    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert listed == {"items": [], "total": 0}
    assert (await florist.detail(order["id"]))["status"] == "new"


async def test_a_number_that_no_order_can_have_is_refused(florist: Florist) -> None:
    for number in (0, -1, 2**63, 10**30):
        answer = await florist.client.get(f"/api/orders/{number}")
        assert answer.status_code == 422, number


async def test_no_event_names_a_person(shop: ShopKit, florist: Florist) -> None:
    await florist.placed(
        (await florist.product(), 1), recipient_name="Белла", comment="код домофона 77"
    )

    stored = await shop.fetch_value("SELECT string_agg(data::text, '') FROM events")

    assert not any(text in stored for text in (PHONE, "Белла", "Абая", "домофон"))
