"""A service that takes orders, and a door that lets them be repeated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from aiohttp import web
from httpx import AsyncClient, Response

from libs.postgres.pool import Pool
from libs.testing import callers
from services.gateway import bootstrap
from services.gateway.adapters.known_keys import KnownKeys
from services.gateway.domain.door import Limit, Login, Rule, Shape
from tests.services.gateway.api.doorstep import door
from tests.services.gateway.api.inside import gateway_on
from tests.services.gateway.conftest import KEY, Keys

ORDERS: Final = "/orders"
SHOP: Final = door(
    "shop",
    Login.API_KEY,
    Shape.DETAIL,
    root=(ORDERS, "/plain"),
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


@dataclass
class Shop:
    """A client of a gateway with the shop for its only door, and its pool."""

    client: AsyncClient
    pool: Pool

    async def order(
        self,
        body: str = "roses",
        key: str | bytes | None = "first",
        by: str = KEY,
        path: str = ORDERS,
    ) -> Response:
        """Order something."""
        raw = key.encode() if isinstance(key, str) else key
        headers = [(b"X-API-Key", by.encode())]
        headers += [] if raw is None else [(b"Idempotency-Key", raw)]
        return await self.client.post(path, content=body, headers=headers)


@asynccontextmanager
async def opened(
    database: str, service_url: str, keys: Keys, **different: Any
) -> AsyncIterator[Shop]:
    """The shop in front of a service."""
    async with gateway_on(database, ingest_url=service_url, **different) as deps:
        known = KnownKeys(keys.look_up)
        app = bootstrap.create_app(replace(deps, doors=(SHOP,), keys=known))
        async with callers.client_of(app, base_url="http://gateway") as client:
            yield Shop(client, deps.pool)
