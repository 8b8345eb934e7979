"""The daemon's side of the WebSocket, and the one question it asks besides."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp

from services.scale_bridge.bridges.adapters import wire as bridge_wire
from services.scale_bridge.bridges.adapters.login import EXCHANGE, GatewayAway
from services.scale_bridge.bridges.adapters.wire import Misunderstood
from services.scale_bridge.bridges.domain import PART_BYTES, SILENT_SECONDS, Message

PING_SECONDS: Final = 20.0
OPEN_SECONDS: Final = 15.0
"""From the first packet until a WebSocket is open: the library itself would wait five minutes."""
SEND_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 2.0
MOST_BYTES: Final = 8 * PART_BYTES
AUTHORIZED: Final = "Authorization"


class TokenWorn(Exception):
    """The gateway does not take the token any more; a fresh one may do."""


class KeyRefused(Exception):
    """The service knows this daemon by another key: it must enrol anew."""


class LinkLost(Exception):
    """The connection is over; the text says why."""


class Link:
    """An open connection to the service."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: Message) -> None:
        """Raises LinkLost."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_str(bridge_wire.written(message))
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise LinkLost(type(error).__name__) from None

    async def receive(self) -> Message:
        """The next message. Raises LinkLost, also after a long silence or for nonsense."""
        try:
            said = await self._socket.receive(SILENT_SECONDS)
        except TimeoutError:
            raise LinkLost("silence") from None
        if said.type is not aiohttp.WSMsgType.TEXT:
            raise LinkLost(f"closed with {self._socket.close_code}")
        try:
            return bridge_wire.read(said.data)
        except Misunderstood as error:
            raise LinkLost(str(error)) from None


@asynccontextmanager
async def open_link(
    client: aiohttp.ClientSession, gateway: str, access: str
) -> AsyncIterator[Link]:
    """Connect through the gateway. Raises TokenWorn, GatewayAway."""
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            socket = await client.ws_connect(
                f"{gateway}/scales/bridge",
                headers={AUTHORIZED: f"Bearer {access}"},
                heartbeat=PING_SECONDS,
                max_msg_size=MOST_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise TokenWorn from None
        raise GatewayAway(f"answered {error.status}") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise GatewayAway(type(error).__name__) from None
    try:
        yield Link(socket)
    finally:
        await socket.close()


async def show_key(
    client: aiohttp.ClientSession, gateway: str, access: str, public_key: bytes, name: str
) -> None:
    """Tell the service what to seal passwords with. Safe to repeat.

    Raises TokenWorn, KeyRefused, GatewayAway.
    """
    posting = client.post(
        f"{gateway}/scales/bridges/key",
        json={"public_key": b64encode(public_key).decode(), "name": name},
        headers={AUTHORIZED: f"Bearer {access}"},
        allow_redirects=False,
        timeout=EXCHANGE,
    )
    try:
        async with posting as answer:
            status = answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GatewayAway(type(error).__name__) from None
    match status:
        case HTTPStatus.NO_CONTENT:
            return
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            raise TokenWorn
        case HTTPStatus.CONFLICT:
            raise KeyRefused
        case _:
            raise GatewayAway(f"answered {status}")
