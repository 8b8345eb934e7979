"""A florist at work: flowers in stock, products made of them, orders of these products."""

from dataclasses import dataclass
from typing import Any

from httpx import AsyncClient, Response

PHONE = "+77012223344"


@dataclass
class Florist:
    """A member of a shop's staff with all permissions."""

    client: AsyncClient

    async def stock(self, quantity: int, variety: str = "Роза", **fields: Any) -> int:
        """Take a batch into stock; its id."""
        body = {
            "sku": f"{variety}-{quantity}-{fields}",
            "batch_code": "B1",
            "variety": variety,
            "height_cm": 60,
            "farm": "Naranjo",
            "supplier": "Flora",
            "delivery_date": "2026-03-01T00:00:00Z",
            "currency": "KZT",
            "rate": 1,
            "cost": 500,
            "markup_pct": 100,
            "qty": quantity,
            **fields,
        }
        answer = await self.client.post("/api/warehouse/", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    async def product(self, *ingredients: tuple[int, int], **fields: Any) -> int:
        """Add a product made of warehouse items; its id."""
        body = {
            "name": "Букет роз",
            "category": "bouquet",
            "cost_price": 5000,
            "retail_price": 15000,
            **fields,
        }
        answer = await self.client.post("/api/products/", json=body)
        assert answer.status_code == 201, answer.text
        product_id = int(answer.json()["id"])
        for item, quantity in ingredients:
            added = await self.client.post(
                f"/api/products/{product_id}/ingredients",
                json={"warehouse_item_id": item, "quantity": quantity},
            )
            assert added.status_code == 201, added.text
        return product_id

    async def order(
        self, *items: tuple[int, int], headers: dict[str, str] | None = None, **fields: Any
    ) -> Response:
        """Place an order of products and their quantities."""
        body = {
            "customer_phone": PHONE,
            "delivery_method": "delivery",
            "address": "Абая 15",
            "items": [{"product_id": product, "quantity": n} for product, n in items],
            **fields,
        }
        return await self.client.post("/api/orders/with-items", json=body, headers=headers)

    async def placed(self, *items: tuple[int, int], **fields: Any) -> Any:
        """A placed order."""
        answer = await self.order(*items, **fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def move(self, order_id: int, *states: str) -> Response:
        """Move an order through states; the last answer."""
        path = f"/api/orders/{order_id}/status"
        answers = [await self.client.patch(path, json={"status": status}) for status in states]
        return answers[-1]

    async def level(self, item: int) -> tuple[int, int]:
        """The quantity of a warehouse item, and what is reserved of it."""
        answer = (await self.client.get(f"/api/warehouse/{item}")).json()
        return answer["qty"], answer["reserved_qty"]

    async def detail(self, order_id: int) -> Any:
        """An order as its page reads it."""
        return (await self.client.get(f"/api/orders/{order_id}")).json()
