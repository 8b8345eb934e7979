"""The shop's staff at its door: logging in by one-time codes, hiring, goods, products, prices."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import aiohttp

from deploy.demo.client import Client
from deploy.demo.dashboard import NoAnswer
from deploy.demo.shop.plan import ShopPlan

SHOP: Final = {"name": "Цветы на Абая", "city": "Алматы"}
MANAGER: Final = "+77010000101"
FLORISTS: Final = {"+77010000102": "Дана", "+77010000103": "Тимур"}
COURIER: Final = {"+77010000104": "Арман"}
ANSWER_LOST: Final = 400
"""The status of a request that was carried out before, but whose answer was lost."""

T = TypeVar("T")


class Member(Client):
    """A member of the staff. The demo profile shows the codes that others get by Telegram."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, phone: str, *, patience: float
    ) -> None:
        super().__init__(session, url, patience=patience)
        self._phone = phone
        self.shop_id = 0
        self.user_id = 0

    async def log_in(self) -> None:
        """Log in, and register the shop if the phone works in none. Raises NoAnswer."""
        while not self.shop_id or not self.headers:
            phone = {"phone": self._phone}
            answer = (await self.request("POST", "/api/auth/request-otp", json=phone)).body
            if "otp" not in answer:
                raise NoAnswer("The gateway shows no one-time codes: it has a Telegram bot.")
            await self._enter("verify-otp", {**phone, "otp_code": answer["otp"]})
            if self.headers and not self.shop_id:
                await self._enter("complete-registration", SHOP)
        user = (await self.request("GET", "/api/auth/current-user")).body["user"]
        self.user_id = user["id"]

    async def renew(self) -> bool:
        """See `Client`."""
        self.headers = {}
        await self.log_in()
        return True

    async def _enter(self, step: str, body: Mapping[str, Any]) -> None:
        answer = await self.request("POST", f"/api/auth/{step}", also=ANSWER_LOST, json=body)
        if answer.well:
            self.headers = {"Authorization": f"Bearer {answer.body['access_token']}"}
            self.shop_id = answer.body["shop_id"] or 0
        else:
            self.headers = {}

    async def get(self, path: str, **query: str) -> Any:
        """The body of an answer. Raises NoAnswer."""
        return (await self.request("GET", path, params=query)).body


def shop_hint(url: str) -> list[str]:
    """How to log in to the shop as its manager."""
    body = f"""-H 'Content-Type: application/json' -d '{{"phone": "{MANAGER}"}}'"""
    return [
        f"Shop      manager {MANAGER}; its pages log in with the code that this shows:",
        "",
        f"  curl -s {body} {url}/api/auth/request-otp",
        "",
    ]


async def once(
    client: Client, find: Callable[[], Awaitable[T | None]], path: str, body: Mapping[str, Any]
) -> T:
    """What `find` finds, after posting something that must not be posted twice. Raises NoAnswer."""
    deadline = time.monotonic() + client.patience
    while (found := await find()) is None:
        answer = await client.send_once("POST", path, json=body)
        if 400 <= answer.status < 500 or time.monotonic() > deadline:
            raise NoAnswer(f"POST {client.url}{path} ended with: {answer.why}")
        await asyncio.sleep(0 if answer.well else answer.pause)
    return found


async def hire(manager: Member, people: Mapping[str, str], role: str) -> list[Member]:
    """Members with these phones and names, logged in."""
    known = {one["phone"] for one in (await manager.get("/api/users/"))["items"]}
    hired = []
    for phone, name in people.items():
        if phone not in known:
            body = {"phone": phone, "name": name, "role": role}
            await manager.request("POST", "/api/users/", also=ANSWER_LOST, json=body)
        hired.append(Member(manager.session, manager.url, phone, patience=manager.patience))
        await hired[-1].log_in()
    return hired


async def receive_goods(manager: Member, plan: ShopPlan) -> dict[str, int]:
    """Receive the delivery of the day; the id of a batch by variety."""

    async def find() -> list[dict[str, Any]] | None:
        return await batches(manager, plan) or None

    positions = [
        {"variety": g.variety, "height_cm": g.height_cm, "qty": g.stems, "cost_per_stem": 300}
        for g in plan.goods
    ]
    origin = {"supplier": f"Flora {plan.tag}", "farm": "Rosaprima", "currency": "KZT", "rate": 1}
    body = {**origin, "delivery_date": f"{datetime.now(UTC):%Y-%m-%d}", "positions": positions}
    found = await once(manager, find, "/api/warehouse/deliveries", body)
    return {one["variety"]: one["id"] for one in found}


async def batches(manager: Member, plan: ShopPlan) -> list[dict[str, Any]]:
    """The batches of the day's delivery."""
    listed = await manager.get("/api/warehouse/", supplier=f"Flora {plan.tag}", limit="100")
    return list(listed["items"])


async def create_products(
    manager: Member, plan: ShopPlan, items: Mapping[str, int]
) -> dict[str, int]:
    """Create the products with what they take of the stock; their ids by name."""
    ids = {}
    for name, product in plan.products.items():
        body = {"category": "bouquet", "cost_price": 5000, "retail_price": product.price}
        ids[name] = await create_product(manager, name, body)
        for variety, count in product.needs.items():
            path = f"/api/products/{ids[name]}/ingredients"
            need = {"warehouse_item_id": items[variety], "quantity": count}
            await manager.request("POST", path, also=ANSWER_LOST, json=need)
    return ids


async def create_product(manager: Member, name: str, body: Mapping[str, Any]) -> int:
    """Create a product unless there is one of that name; its id."""

    async def find() -> int | None:
        listed = (await manager.get("/api/products/", search=name))["items"]
        return next((one["id"] for one in listed if one["name"] == name), None)

    return await once(manager, find, "/api/products/", {"name": name, **body})
