"""The customers at the storefront, and the payment provider: neither has a login."""

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from yarl import URL

from deploy.demo.client import Client
from deploy.demo.send import send_and_hang_up
from deploy.demo.shop.ledger import Placed, ShopLedger
from deploy.demo.shop.plan import PlannedOrder
from deploy.demo.shop.staff import once

PATH: Final = "/api/public/orders"
JSON: Final = {"Content-Type": "application/json"}
FORBIDDEN: Final = 403
CONFLICT: Final = 409


class Storefront:
    """Orders of customers in one shop. `products` are ids by name."""

    def __init__(
        self, client: Client, ledger: ShopLedger, shop_id: int, products: dict[str, int]
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._shop_id = shop_id
        self._products = products

    async def order(self, plan: PlannedOrder) -> Placed | None:
        """Order, in the customer's manner; None if there is too little stock. Raises NoAnswer."""
        data = json.dumps(self._body(plan)).encode()
        clicks = 2 if plan.manner == "double click" else 1
        # A page that may lose an answer names its attempt; double clicks are for the shop to see.
        key = {} if clicks > 1 else {"Idempotency-Key": f"order {plan.number}"}
        if plan.manner == "lost answer":
            await send_and_hang_up(URL(self._client.url + PATH), JSON | key, data)
        request: dict[str, Any] = {"also": CONFLICT, "data": data, "headers": JSON | key}
        answers = await asyncio.gather(
            *(self._client.request("POST", PATH, **request) for _ in range(clicks))
        )
        ids = {answer.body["id"] if answer.well else None for answer in answers}
        if len(ids) > 1:
            self._ledger.contradicted.append(plan.number)
        placed = next((answer.body for answer in answers if answer.well), None)
        if placed is None:
            self._ledger.refused += 1
            return None
        token = placed["tracking_token"]
        return self._ledger.place(Placed(order_id=placed["id"], plan=plan, token=token))

    async def follow_up(self, order: Placed) -> None:
        """Change the address and comment on the order's page, which a link opens."""
        link, plan = f"{PATH}/{order.token}", order.plan
        if plan.new_address:
            body = {"address": plan.new_address, "recipient_phone": "", "recipient_name": ""}
            await self._client.request("PATCH", f"{link}/address", json=body)
            self._ledger.moves["order_updated"] += 1
        if plan.comment:

            async def find() -> int | None:
                return (await self._client.request("GET", f"{link}/comments")).body["total"] or None

            comment = {"text": plan.comment, "customer_name": plan.name}
            await once(self._client, find, f"{link}/comments", comment)
            self._ledger.moves["order_updated"] += 1

    def _body(self, plan: PlannedOrder) -> dict[str, Any]:
        tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
        return {
            "shop_id": self._shop_id,
            "customer_phone": plan.phone,
            "customer_name": plan.name,
            "recipient_phone": plan.phone,
            "recipient_name": plan.name,
            "delivery_method": "delivery" if plan.address else "pickup",
            "delivery_window": {"date": tomorrow, "time": "10:00-12:00"},
            "address": plan.address or "",
            "card_text": f"Заказ {plan.number}",
            # The price is the page's: the shop must not believe it.
            "items": [
                {"product_id": self._products[name], "quantity": count, "price": 1}
                for name, count in plan.lines.items()
            ],
        }


class PaymentProvider:
    """Reports payments of orders, signed with the secret of the installation."""

    def __init__(self, client: Client, ledger: ShopLedger, secret: str) -> None:
        self._client = client
        self._ledger = ledger
        self._secret = secret

    async def report(self, order: Placed) -> None:
        """Report that an order was paid, twice if its plan says so, and then forgeries before."""
        amount = self._ledger.plan.total(order.plan)
        if order.plan.fate == "paid twice":
            await self._report(order, amount, "a secret that was guessed", also=FORBIDDEN)
            await self._report(order, amount - 1, self._secret, also=CONFLICT)
            await self._report(order, amount, self._secret)
        await self._report(order, amount, self._secret)
        self._ledger.pay(order)

    async def _report(
        self, order: Placed, amount: int, secret: str, *, also: int | None = None
    ) -> None:
        payment = {"payment_id": f"kaspi-{order.token}", "amount": amount, "status": "success"}
        data = json.dumps({"payment_method": "kaspi", **payment}).encode()
        signed = f"{order.order_id}.".encode() + data
        signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        headers, path = JSON | {"X-Signature": signature}, f"/api/orders/{order.order_id}"
        answer = await self._client.request(
            "POST", f"{path}/payment-webhook", also=also, data=data, headers=headers
        )
        if also is not None:
            self._ledger.forged.append(answer.status)
