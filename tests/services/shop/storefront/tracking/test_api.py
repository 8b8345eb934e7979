"""The tracking page, which has no login (spec shop §4.9, §8, S9, C1)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient

from contracts.shop import OrderAddressChanged
from tests.libs.files.pictures import encoded
from tests.services.shop.kit import ShopKit
from tests.services.shop.orders.florist import Florist

ADDRESS = "ул. Абая 15, кв. 3"
RECIPIENT = {
    "recipient_name": "Айгуль Сериковна",
    "recipient_phone": "+77015556677",
    "address": ADDRESS,
}
MASKED = {
    "recipient_name": "Айгуль",
    "recipient_phone": "+77015****77",
    "address": "ул. Абая *****",
}
PAGES = ("/api/public/status", "/api/public/orders", "/api/tracking")


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


@pytest.fixture
async def customer(shop: ShopKit) -> AsyncIterator[AsyncClient]:
    async with shop.anonymous() as client:
        yield client


@pytest.fixture
async def order(florist: Florist) -> Any:
    """An order with a recipient, as the admin has it."""
    window = {"from_time": "2026-03-08T10:00:00", "to_time": "2026-03-08T12:00:00"}
    product = await florist.product()
    return await florist.placed((product, 2), **RECIPIENT, delivery_window=window, comment="ваза")


def link(order: Any, rest: str = "") -> str:
    """The path of an order under the token of its link."""
    return f"/api/public/orders/{order['tracking_token']}{rest}"


async def test_the_page_has_the_fields_it_reads_with_persons_masked(
    customer: AsyncClient, order: Any
) -> None:
    answer = await customer.get(link(order))

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "order_number": order["order_number"],
        "tracking_token": order["tracking_token"],
        "status": "new",
        "status_display": "Новый",
        "created_at": order["created_at"],
        "updated_at": answer.json()["updated_at"],
        "delivery_method": "delivery",
        "delivery_window": {
            "from_time": "2026-03-08T05:00:00Z",
            "to_time": "2026-03-08T07:00:00Z",
        },
        "delivery_fee": 1500,
        "total": 31500,
        **MASKED,
        "address_masked": MASKED["address"],
        "courier": None,
        "items": [{"product_name": "Букет роз", "quantity": 2, "price": 15000}],
    }


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_all_three_paths_answer_the_same_in_both_spellings(
    customer: AsyncClient, order: Any, page: str, slash: str
) -> None:
    answer = await customer.get(f"{page}/{order['tracking_token']}{slash}")

    assert (answer.status_code, answer.json()) == (200, (await customer.get(link(order))).json())


@pytest.mark.parametrize("page", PAGES)
async def test_a_guessed_number_shows_no_person_and_does_not_lead_to_the_link(
    customer: AsyncClient, order: Any, page: str
) -> None:
    answer = await customer.get(f"{page}/{order['order_number']}")

    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["total"]) == (200, "new", 31500)
    assert {name: shown[name] for name in MASKED} == dict.fromkeys(MASKED)
    assert shown["address_masked"] is None
    assert order["tracking_token"] not in answer.text
    assert len(order["tracking_token"]) >= 32


async def test_a_number_reads_no_comments_and_changes_nothing(
    customer: AsyncClient, order: Any, shop: ShopKit
) -> None:
    path = f"/api/public/orders/{order['order_number']}"

    answers = [
        await customer.patch(f"{path}/address", json={"address": "пр. Достык 1"}),
        await customer.get(f"{path}/comments"),
        await customer.post(f"{path}/comments", json={"text": "мой", "customer_name": "Я"}),
        await customer.get(f"{path}/photos"),
        await customer.post(f"{path}/feedback", json={"photo_id": 1, "feedback": "like"}),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert isinstance(answers[0].json()["detail"], str)
    assert not await shop.events(OrderAddressChanged)


@pytest.mark.parametrize("token", ["nothing", "999999999", "%00", "x" * 100, "a.b", "а"])
async def test_an_unknown_link_is_404(customer: AsyncClient, token: str) -> None:
    answers = [await customer.get(f"{page}/{token}") for page in PAGES]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


async def test_masked_and_empty_values_that_a_form_sends_back_change_nothing(
    customer: AsyncClient, florist: Florist, order: Any, shop: ShopKit
) -> None:
    empty = {"address": "", "recipient_name": "", "recipient_phone": ""}

    answers = [
        await customer.patch(link(order, "/address"), json=body)
        for body in (MASKED, empty, RECIPIENT)
    ]

    assert [answer.json()["updated_address"] for answer in answers] == [MASKED["address"]] * 3
    detail = await florist.detail(order["id"])
    assert {name: detail[name] for name in RECIPIENT} == RECIPIENT
    assert not await shop.events(OrderAddressChanged)


async def test_a_new_address_is_taken_beside_masked_values_that_are_not(
    customer: AsyncClient, florist: Florist, order: Any
) -> None:
    body = {**MASKED, "address": "пр. Достык 1"}

    answer = await customer.patch(link(order, "/address"), json=body)

    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert answer.json()["updated_address"] == "пр. Достык *****"
    detail = await florist.detail(order["id"])
    assert {name: detail[name] for name in RECIPIENT} == RECIPIENT | {"address": "пр. Достык 1"}
    assert (detail["history"][-1]["event_type"], detail["history"][-1]["user"]) == (
        "edited",
        "Система",
    )


async def test_a_new_phone_is_normalised_and_a_bad_one_refused(
    customer: AsyncClient, florist: Florist, order: Any
) -> None:
    path = link(order, "/address")

    good = await customer.patch(path, json={"address": "", "recipient_phone": "8 701 222 33 55"})
    bad = await customer.patch(path, json={"address": "", "recipient_phone": "+7701****55"})

    assert (good.status_code, bad.status_code) == (200, 422)
    assert (await florist.detail(order["id"]))["recipient_phone"] == "+77012223355"


async def test_an_order_on_its_way_keeps_its_address(
    customer: AsyncClient, florist: Florist, order: Any
) -> None:
    await florist.move(order["id"], "paid")
    paid = await customer.patch(link(order, "/address"), json={"address": "пр. Достык 1"})
    await florist.move(order["id"], "assembled")
    late = [
        await customer.patch(link(order, "/address"), json={"address": text})
        for text in ("пр. Достык 2", "")
    ]

    assert paid.status_code == 200
    assert [answer.status_code for answer in late] == [400, 400]
    assert (await florist.detail(order["id"]))["address"] == "пр. Достык 1"


async def test_a_customer_reads_own_comments_and_none_of_the_staff(
    customer: AsyncClient, florist: Florist, order: Any
) -> None:
    path = link(order, "/comments")

    added = await customer.post(path, json={"text": "Звоните", "customer_name": "Ерлан Ахметов"})
    listed = (await customer.get(path)).json()

    assert (added.status_code, added.json()["success"]) == (200, True)
    assert listed["total"] == 1
    assert listed["items"][0] | {"created_at": ""} == {
        "id": added.json()["comment_id"],
        "text": "Звоните",
        "author_type": "customer",
        "author_name": "Ерлан",
        "created_at": "",
    }
    comments = (await florist.detail(order["id"]))["comments"]
    assert [(one["text"], one["author_type"]) for one in comments] == [
        ("ваза", "staff"),
        ("Звоните", "customer"),
    ]
    assert comments[1]["user"] == {"id": 0, "name": "Ерлан Ахметов"}


async def test_a_comment_without_a_text_is_refused(customer: AsyncClient, order: Any) -> None:
    path = link(order, "/comments")

    answers = [
        await customer.post(path, json=body)
        for body in ({"text": "", "customer_name": "Я"}, {"customer_name": "Я"}, {"text": "\0"})
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422]
    assert {type(answer.json()["detail"]) for answer in answers} == {str}


async def test_a_photo_is_rated_once(customer: AsyncClient, florist: Florist, order: Any) -> None:
    added = await florist.client.post(
        f"/api/orders/{order['id']}/photos",
        files={"file": ("rose.jpg", encoded("jpg"))},
        data={"photo_type": "completion"},
    )
    photo = added.json()["id"]
    path = link(order, "/feedback")

    rated = await customer.post(path, json={"photo_id": photo, "feedback": "like"})
    again = await customer.post(path, json={"photo_id": photo, "feedback": "dislike"})
    unknown = await customer.post(path, json={"photo_id": photo + 1, "feedback": "like"})
    bad = await customer.post(path, json={"photo_id": photo, "feedback": "maybe"})
    listed = (await customer.get(link(order, "/photos"))).json()

    codes = [answer.status_code for answer in (rated, again, unknown, bad)]
    assert codes == [200, 400, 404, 422]
    assert [one["customer_feedback"] for one in listed["items"]] == ["like"]


async def test_a_link_opens_the_order_of_its_own_shop(
    shop: ShopKit, customer: AsyncClient, order: Any
) -> None:
    async with shop.staff(number=8) as client:
        other = Florist(client)
        foreign = await other.placed((await other.product(name="Ирисы"), 1))

    names = [(await customer.get(link(one))).json()["items"] for one in (order, foreign)]

    assert [lines[0]["product_name"] for lines in names] == ["Букет роз", "Ирисы"]
