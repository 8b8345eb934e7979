"""Requests that move stock, sent again with the same `Idempotency-Key`."""

import asyncio
from typing import Any

import pytest

from tests.services.shop.kit import ShopKit
from tests.services.shop.stock.test_supplies import SUPPLY
from tests.services.shop.stock.warehouse import DELIVERY, ITEM, create

MOVED = "SELECT sum(quantity) FROM stock_movement"
LOSE_ANSWERS = "UPDATE idempotency SET status = NULL, body = NULL, in_flight_until = now()"


@pytest.mark.parametrize(
    ("path", "body", "stems"),
    [
        ("/api/warehouse/", {**ITEM, "sku": "FRE-2"}, 100),
        ("/api/warehouse/{id}/adjust-stock", {"adjustment": -3, "reason": "Брак"}, -3),
        ("/api/warehouse/deliveries", DELIVERY, 75),
        ("/api/supplies/import", SUPPLY, 50),
    ],
)
async def test_a_request_that_is_sent_again_answers_the_same_and_moves_stock_once(
    shop: ShopKit, path: str, body: dict[str, Any], stems: int
) -> None:
    async with shop.staff() as admin:
        path = path.format(**await create(admin))

        async def send(changes: Any = (), key: str = "first") -> Any:
            headers = {"Idempotency-Key": key}
            return await admin.post(path, json={**body, **dict(changes)}, headers=headers)

        answers = await asyncio.gather(*(send() for _ in range(3)))
        # A process that is killed before it stores its answer leaves what it appended.
        await shop.execute(LOSE_ANSWERS)
        answers.append(await send())
        other = await send({"reason": "Пересчёт", "supplier": "Rosa"})
        await shop.caught_up()
        moved = await shop.fetch_value(MOVED)

    assert {one.status_code for one in answers} <= {200, 201}, answers[0].text
    assert all(one.json() == answers[0].json() for one in answers)
    assert other.status_code == 409
    assert moved == 100 + stems


async def test_the_key_of_an_adjustment_is_refused_for_another_item(shop: ShopKit) -> None:
    async with shop.staff() as admin:
        items = [await create(admin, sku=sku) for sku in "AB"]
        answers = [
            await admin.post(
                f"/api/warehouse/{item['id']}/adjust-stock",
                json={"adjustment": -1, "reason": "Брак"},
                headers={"Idempotency-Key": "first"},
            )
            for item in items
        ]

    assert [one.status_code for one in answers] == [200, 409]
