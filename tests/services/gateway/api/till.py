"""A service that takes orders, and a door that lets them be repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from aiohttp import web
from httpx import ASGITransport, AsyncClient, Response

from services.gateway import bootstrap
from services.gateway.adapters.known_keys import KnownKeys
from services.gateway.domain.door import Door, Limit, Login, Rule, Shape
from tests.services.gateway.conftest import KEY, Keys, gateway_settings

ORDERS: Final = "/orders"
SHOP: Final = Door(
    name="shop",
    prefix="/shop",
    root=(ORDERS, "/plain"),
    repeated="",
    service="ingest",
    login=Login.API_KEY,
    shape=Shape.DETAIL,
    rules=(
        Rule(("POST",), ORDERS, "scan:read", Limit.NONE, idempotent=True),
        Rule(("POST",), "/plain", "scan:read", Limit.NONE),
    ),
)


class Till:
    """The service: takes every order, says which it was, and answers as it is told to."""

    def __init__(self) -> None:
        self.orders: list[bytes] = []
        self.status = 201
        self.size = 0
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.orders.append(await request.read())
        number = len(self.orders)
        await self.free.wait()
        headers = {"Location": f"/orders/{number}", "Set-Cookie": "secret=1"}
        return web.json_response(
            {"number": number, "note": "x" * self.size}, status=self.status, headers=headers
        )


Shop = tuple[AsyncClient, Any]


@asynccontextmanager
async def opened(
    database: str, service_url: str, keys: Keys, **different: Any
) -> AsyncIterator[Shop]:
    """A client of a gateway with the shop for its only door, and its pool."""
    settings = gateway_settings(service_url, database_url=database, **different)
    async with bootstrap.open_deps(settings) as deps:
        known = KnownKeys(keys.look_up)
        app = bootstrap.create_app(replace(deps, doors=(SHOP,), keys=known))
        transport = ASGITransport(app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client, deps.pool


async def order(
    shop: Shop, body: str = "roses", key: str | None = "first", by: str = KEY, path: str = ORDERS
) -> Response:
    headers = {"X-API-Key": by} | ({} if key is None else {"Idempotency-Key": key})
    return await shop[0].post(path, content=body, headers=headers)
