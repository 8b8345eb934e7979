"""Pages of the staff that listen to an API process of the shop on a real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from libs.process.lifecycle import serve
from libs.testing.callers import bearer
from libs.testing.polling import PATIENCE_SECONDS
from tests.services.shop.kit import ShopKit


@dataclass
class Page:
    """A page that is connected."""

    socket: aiohttp.ClientWebSocketResponse

    async def next(self) -> Any:
        """The next message, or the code with which the socket was closed."""
        message = await self.socket.receive(PATIENCE_SECONDS)
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        return self.socket.close_code

    async def send(self, message: Any) -> None:
        """Send JSON."""
        await self.socket.send_str(json.dumps(message))


@dataclass
class Process:
    """An API process on a server of its own."""

    url: str

    @asynccontextmanager
    async def page(
        self,
        path: str = "/ws/orders/7",
        *,
        tenant: str = "shop-7",
        scopes: Sequence[str] = ShopKit.SCOPES,
    ) -> AsyncIterator[Page]:
        """A page of a member of the shop `tenant`."""
        token = bearer("shop", subject=str(ShopKit.SUBJECT), tenant=tenant, scopes=scopes)
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{self.url}{path}", headers=token) as socket,
        ):
            yield Page(socket)

    @asynccontextmanager
    async def listening(self, path: str = "/ws/orders/7") -> AsyncIterator[tuple[Page, Any]]:
        """A page that was greeted, and the greeting."""
        async with self.page(path) as page:
            yield page, await page.next()


@asynccontextmanager
async def serving(shop: ShopKit) -> AsyncIterator[Process]:
    """The process of a kit."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve(shop.app, "127.0.0.1", 0, stop=stop, on_listening=port.set_result)
    )
    try:
        yield Process(f"http://127.0.0.1:{await asyncio.wait_for(port, PATIENCE_SECONDS)}")
    finally:
        stop.set()
        await asyncio.wait_for(server, PATIENCE_SECONDS)
