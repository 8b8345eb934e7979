"""Photos of orders: added by staff, seen and rated by customers (spec shop §3, §4.9)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx import AsyncClient, Response

from contracts.shop import OrderPhotoAdded
from services.shop.orders.handlers.sealing import subject_of
from tests.libs.files.pictures import EXIF, HTML, decoded, encoded, with_metadata
from tests.services.shop.kit import TENANT, ShopKit, open_shop
from tests.services.shop.orders.florist import Florist

READY = {"photo_type": "pre_delivery", "description": "Букет для Айгуль"}


@pytest.fixture
async def florist(shop: ShopKit) -> AsyncIterator[Florist]:
    async with shop.staff() as client:
        yield Florist(client)


@pytest.fixture
async def order(florist: Florist) -> Any:
    return await florist.placed((await florist.product(), 1))


async def upload(
    client: AsyncClient, order: Any, data: bytes, key: str | None = None, **fields: str
) -> Response:
    """Add a photo to an order."""
    return await client.post(
        f"/api/orders/{order['id']}/photos",
        files={"file": ("rose.jpg", data, "image/jpeg")},
        data=fields or READY,
        headers={"Idempotency-Key": key} if key else {},
    )


async def stored(shop: ShopKit) -> int:
    """How many files the shop has, with those being uploaded."""
    return int((await shop.deps.files.usage(TENANT)).files)


async def test_a_photo_of_the_florist_is_seen_and_rated_by_the_customer(
    shop: ShopKit, florist: Florist, order: Any
) -> None:
    link = f"/api/public/orders/{order['tracking_token']}"

    answer = await upload(florist.client, order, with_metadata("jpg"))
    photo = answer.json()
    listed = (await florist.client.get(f"/api/orders/{order['id']}/photos")).json()
    async with shop.anonymous() as customer:
        on_page = (await customer.get(f"{link}/photos")).json()
        delivered = await customer.get(photo["photo_url"])
        body = {"photo_id": photo["id"], "feedback": "like", "comment": "Да!"}
        rated = await customer.post(f"{link}/feedback", json=body)
        rated_photo = (await customer.get(f"{link}/photos")).json()["items"][0]

    assert answer.status_code == 201
    assert photo | {"id": 0, "photo_url": "", "created_at": ""} == {
        **READY,
        "id": 0,
        "photo_url": "",
        "customer_feedback": None,
        "feedback_comment": None,
        "created_at": "",
    }
    assert listed == on_page == {"items": [photo], "total": 1}
    assert decoded(delivered.content).height == 64
    assert EXIF not in delivered.content
    assert rated.status_code == 200
    assert rated_photo == photo | {"customer_feedback": "like", "feedback_comment": "Да!"}


@pytest.mark.parametrize(
    ("kind", "is_one"), [("pre_delivery", True), ("completion", False), ("process", False)]
)
async def test_an_order_shows_that_it_has_photos_from_before_its_delivery(
    florist: Florist, order: Any, kind: str, is_one: bool
) -> None:
    answer = await upload(florist.client, order, encoded("png"), photo_type=kind)

    assert answer.status_code == 400, "a PNG with the name of a JPEG"
    answer = await upload(florist.client, order, encoded("jpg"), photo_type=kind)
    assert (answer.status_code, answer.json()["description"]) == (201, None)
    assert (await florist.detail(order["id"]))["has_pre_delivery_photos"] == is_one


async def test_a_photo_is_sealed_and_gone_when_the_persons_of_the_order_are_forgotten(
    shop: ShopKit, florist: Florist, order: Any
) -> None:
    photo = (await upload(florist.client, order, encoded("jpg"))).json()
    before = await florist.client.get(photo["photo_url"])
    [event] = await shop.events(OrderPhotoAdded)

    person = subject_of(TENANT, order["id"])
    await shop.deps.vault.forget(person, by="admin", at=shop.deps.clock())

    after = await florist.client.get(photo["photo_url"])
    assert (before.status_code, before.headers["cache-control"]) == (200, "private, no-store")
    assert (await shop.deps.files.find(event.file)).sealed_for == person.id
    assert "Айгуль" not in str(event)
    assert after.status_code == 404
    more = await upload(florist.client, order, encoded("jpg"))
    assert (more.status_code, await stored(shop)) == (409, 1)


async def test_a_repeated_photo_is_stored_once_also_if_it_is_sent_in_parallel(
    shop: ShopKit, florist: Florist, order: Any
) -> None:
    image = encoded("jpg")

    answers = await asyncio.gather(
        *(upload(florist.client, order, image, "key-1") for _ in range(4))
    )
    answers.append(await upload(florist.client, order, image, "key-1"))
    other = await upload(florist.client, order, image, "key-2")

    assert [one.status_code for one in answers] == [201] * 5
    assert len({one.text for one in answers}) == 1
    assert other.json()["id"] != answers[0].json()["id"]
    assert len(await shop.events(OrderPhotoAdded)) == await stored(shop) == 2


@pytest.mark.parametrize(
    ("data", "fields", "status"),
    [
        (HTML, READY, 400),
        (encoded("jpg"), {"photo_type": "selfie"}, 422),
        (encoded("jpg"), {"description": "без вида"}, 422),
        (encoded("jpg"), READY | {"description": "\0"}, 422),
        (encoded("jpg"), READY | {"description": "а" * 5001}, 422),
        (b"\xff\xd8" * 2_700_000, READY, 413),
    ],
)
async def test_what_is_no_photo_of_an_order_is_refused_and_not_stored(
    shop: ShopKit, florist: Florist, order: Any, data: bytes, fields: dict[str, str], status: int
) -> None:
    answer = await upload(florist.client, order, data, **fields)

    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert (await stored(shop), await shop.events(OrderPhotoAdded)) == (0, [])


async def test_photos_belong_to_the_members_of_the_shop_and_fill_its_room(
    shop: ShopKit, florist: Florist, order: Any, database: str
) -> None:
    image = encoded("jpg")
    async with shop.staff(number=8) as foreign, shop.staff("settings") as member:
        answers = [await upload(client, order, image) for client in (foreign, member)]
        listed = await foreign.get(f"/api/orders/{order['id']}/photos")
    async with shop.anonymous() as stranger:
        unknown = await upload(stranger, order, image)
    async with open_shop(database, file_quota_bytes=10) as small, small.staff() as client:
        full = await upload(client, order, image)

    assert [one.status_code for one in (*answers, listed)] == [404, 403, 404]
    assert (unknown.status_code, full.status_code) == (401, 507)
    assert await stored(shop) == 0
