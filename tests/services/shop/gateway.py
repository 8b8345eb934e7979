"""The gateway as the shop's service sees it: a server with its keys and its internal route."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from libs.security.tokens import jwks
from libs.testing.callers import KEY

ANNA: Final = {
    "account_id": "00000000-0000-0000-0000-000000000001",
    "number": 3,
    "name": "Анна",
    "phone": "+77010000001",
    "role": "florist",
    "active": True,
}
"""A florist, and the usual caller of `ShopKit`."""
ROSES: Final = {"name": "Розы", "city": "Алматы", "phone": "+77010000002", "staff": [ANNA]}


@dataclass
class Gateway:
    """`answers` has a directory, or the status of a failure, by tenant; `asked` all tenants."""

    answers: dict[str, Any] = field(default_factory=lambda: {"shop-7": ROSES})
    asked: list[str] = field(default_factory=list)
    jwks_url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """A directory."""
        tenant = request.match_info["tenant"]
        self.asked.append(tenant)
        given = self.answers.get(tenant)
        return web.Response(status=given) if type(given) is int else web.json_response(given)


async def publish(_: web.Request) -> web.Response:
    """The keys that sign the tokens of tests."""
    return web.json_response(jwks([KEY]))


@asynccontextmanager
async def open_gateway() -> AsyncIterator[Gateway]:
    """The server, at work."""
    made = Gateway()
    app = web.Application()
    app.router.add_get("/internal/shops/{tenant}", made.answer)
    app.router.add_get("/.well-known/jwks.json", publish)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        made.jwks_url = f"http://{host}:{port}/.well-known/jwks.json"
        yield made
    finally:
        await runner.cleanup()
