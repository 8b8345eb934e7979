"""A service that speaks WebSocket, a door to it, and clients who come through that."""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from libs.testing.polling import PATIENCE_SECONDS
from services.gateway.doors.domain.door import WEBSOCKET, AuthScheme, Limit, Rule, Shape
from tests.services.gateway.app import KEY, Keys, Service, open_app
from tests.services.gateway.doorstep import door
from tests.services.gateway.test_bootstrap import served

PATIENCE: Final = PATIENCE_SECONDS
LIVE: Final = "/live/boxes"
WITH_KEY: Final = {"X-API-Key": KEY}
ROOM: Final = door(
    "room",
    AuthScheme.API_KEY,
    Shape.DETAIL,
    root=("/live", "/plain"),
    rules=(
        Rule((WEBSOCKET,), LIVE, "scan:write", Limit.DASHBOARD),
        Rule((WEBSOCKET,), "/live/lobby", None, Limit.NONE),
        Rule(("GET",), "/plain", None, Limit.NONE),
    ),
)


BALCONY: Final = door(
    "balcony",
    AuthScheme.CHALLENGE,
    Shape.DETAIL,
    root=("/live",),
    rules=(Rule((WEBSOCKET,), LIVE, "scan:read", Limit.DASHBOARD),),
    refuses_by_close=True,
)


class Live:
    """The service's side: answers every message in capitals, and does what some of them say."""

    def __init__(self) -> None:
        self.closed_with: int | None = None
        self.over = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v2", "v1"), max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data[::-1])
            elif message.data.startswith("close "):
                await socket.close(code=int(message.data.split()[1]), message=b"as you wish")
            elif message.data == "flood":
                await socket.send_str("x" * 2_000_000)
            elif message.data == "ping":
                await socket.ping()
                await socket.send_str("pinged")
            else:
                await socket.send_str(message.data.upper())
        self.closed_with = socket.close_code
        self.over.set()
        return socket

    async def closed(self) -> int | None:
        """The code with which the last socket was closed, once it is."""
        await asyncio.wait_for(self.over.wait(), PATIENCE)
        return self.closed_with


@asynccontextmanager
async def connected(
    url: str, headers: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            URL(url, encoded=True),
            headers=WITH_KEY if headers is None else headers,
            max_msg_size=0,
            **options,
        ) as socket,
    ):
        yield socket


@dataclass(frozen=True)
class Room:
    """Opens gateways with the room for their only door."""

    service: Service
    keys: Keys

    @asynccontextmanager
    async def open(self, **different: Any) -> AsyncIterator[str]:
        async with (
            open_app(self.service, self.keys, doors=(ROOM,), **different) as app,
            served(app) as url,
        ):
            yield url

    @asynccontextmanager
    async def socket(
        self, query: str = "", **different: Any
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.open(**different) as url, connected(f"{url}{LIVE}{query}") as socket:
            yield socket


async def refused(url: str, headers: dict[str, str], **options: Any) -> int:
    """The HTTP status by which a handshake was refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as no:
        async with connected(url, headers, **options):
            pass
    return no.value.status


async def shaken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Do a service's handshake by hand (RFC 6455 §4.2.2), to misbehave afterwards."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = [line.partition(": ") for line in head.split("\r\n")]
    key = next(value for name, _, value in lines if name.lower() == "sec-websocket-key")
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + b64encode(digest) + b"\r\n\r\n"
    )
    await writer.drain()
