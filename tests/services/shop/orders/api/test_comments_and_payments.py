"""Comments of staff, and what payment providers report (spec shop §4.1, C1, C18, S7)."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from tests.services.shop.gateway import Gateway
from tests.services.shop.kit import ShopKit, open_shop
from tests.services.shop.orders.florist import Florist

SECRET = "a secret of the payment provider"


@pytest.fixture
async def paid_shop(database: str, gateway: Gateway) -> AsyncIterator[ShopKit]:
    """The shop with a secret of a payment provider."""
    async with open_shop(database, jwks_url=gateway.jwks_url, payment_secret=SECRET) as kit:
        yield kit


@pytest.fixture
async def florist(paid_shop: ShopKit) -> AsyncIterator[Florist]:
    async with paid_shop.staff() as client:
        yield Florist(client)


async def test_a_comment_is_added_changed_and_removed_by_its_author(
    paid_shop: ShopKit, florist: Florist
) -> None:
    order = await florist.placed((await florist.product(), 1))
    path = f"/api/orders/{order['id']}/comments"

    added = await florist.client.post(path, json={"text": "с лентой"})
    comment = f"/api/comments/{added.json()['id']}"
    changed = await florist.client.patch(comment, json={"text": "без ленты"})
    async with paid_shop.client(UUID(int=9), tenant="shop-7", scopes=["shop:orders"]) as other:
        foreign = await other.patch(comment, json={"text": "моё"})
    listed = (await florist.client.get(path)).json()
    removed = await florist.client.delete(comment)
    after = (await florist.client.get(path)).json()

    assert added.status_code == 201
    assert added.json()["user"] == {"id": 3, "name": "Анна"}
    assert (changed.json()["text"], foreign.status_code) == ("без ленты", 403)
    assert (listed["total"], listed["items"]) == (1, [changed.json()])
    assert (removed.status_code, after) == (200, {"items": [], "total": 0})
    assert (await florist.client.patch(comment, json={"text": "x"})).status_code == 404


async def pay(
    shop: ShopKit, order: Any, secret: str = SECRET, order_id: int | None = None, **fields: Any
) -> Any:
    """What a provider sends."""
    content = json.dumps(
        {"payment_method": "kaspi", "payment_id": "k-1", "amount": order["total"], **fields}
    ).encode()
    number = order["id"] if order_id is None else order_id
    signed = f"{order['id']}.".encode() + content
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    async with shop.anonymous() as provider:
        return await provider.post(
            f"/api/orders/{number}/payment-webhook",
            content=content,
            headers={"X-Signature": signature, "Content-Type": "application/json"},
        )


async def test_a_signed_payment_of_the_whole_sum_pays_an_order_once(
    paid_shop: ShopKit, florist: Florist
) -> None:
    order = await florist.placed((await florist.product(), 1))

    first, again = await pay(paid_shop, order), await pay(paid_shop, order)
    detail = await florist.detail(order["id"])

    assert (
        first.json()
        == again.json()
        == {
            "status": "success",
            "order_id": order["id"],
            "payment_status": "paid",
            "order_status": "paid",
        }
    )
    assert (detail["status"], detail["payment_method"]) == ("paid", "kaspi")
    assert [one["event_type"] for one in detail["history"]].count("payment_received") == 1


async def test_a_payment_is_refused_without_a_signature_or_of_another_sum(
    paid_shop: ShopKit, florist: Florist
) -> None:
    product = await florist.product()
    order, other = await florist.placed((product, 1)), await florist.placed((product, 1))

    answers = {
        "forged": await pay(paid_shop, order, secret="another secret"),
        "for another order": await pay(paid_shop, order, order_id=other["id"]),
        "less": await pay(paid_shop, order, amount=1),
        "failed": await pay(paid_shop, order, status="failed"),
    }

    assert {name: one.status_code for name, one in answers.items()} == {
        "forged": 403,
        "for another order": 403,
        "less": 409,
        "failed": 400,
    }
    assert (await florist.detail(order["id"]))["status"] == "new"


async def test_a_cancelled_order_takes_no_payment(paid_shop: ShopKit, florist: Florist) -> None:
    order = await florist.placed((await florist.product(), 1))
    await florist.client.post(f"/api/orders/{order['id']}/cancel", json={})

    assert (await pay(paid_shop, order)).status_code == 409


async def test_without_a_secret_no_payment_is_taken(shop: ShopKit) -> None:
    async with shop.staff() as client:
        florist = Florist(client)
        order = await florist.placed((await florist.product(), 1))

    assert (await pay(shop, order)).status_code == 403
