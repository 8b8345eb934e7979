"""The agent's side of the WebSocket, and the request that registers its key."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp

from services.scale_bridge.bridges.adapters import wire
from services.scale_bridge.bridges.adapters.login import EXCHANGE, GatewayUnavailable
from services.scale_bridge.bridges.adapters.wire import Misunderstood
from services.scale_bridge.bridges.domain import PART_BYTES, SILENT_SECONDS, Message

PING_SECONDS: Final = 20.0
OPEN_SECONDS: Final = 15.0
"""The time limit for opening a WebSocket; the library's own is five minutes."""
SEND_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 2.0
MOST_BYTES: Final = 8 * PART_BYTES
AUTHORIZED: Final = "Authorization"


class TokenRejected(Exception):
    """The gateway rejects the access token; a new one may be accepted."""


class KeyRefused(Exception):
    """The service knows this agent by another key: it has to be enrolled again."""


class LinkLost(Exception):
    """The connection is closed; the text names the reason."""


class Link:
    """An open connection to the service."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: Message) -> None:
        """Send a message. Raises LinkLost."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_str(wire.written(message))
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise LinkLost(type(error).__name__) from None

    async def receive(self) -> Message:
        """The next message. Raises LinkLost, also after a long silence or an invalid message."""
        try:
            frame = await self._socket.receive(SILENT_SECONDS)
        except TimeoutError:
            raise LinkLost("silence") from None
        if frame.type is not aiohttp.WSMsgType.TEXT:
            raise LinkLost(f"closed with {self._socket.close_code}")
        try:
            return wire.read(frame.data)
        except Misunderstood as error:
            raise LinkLost(str(error)) from None


@asynccontextmanager
async def open_link(
    client: aiohttp.ClientSession, gateway: str, access: str
) -> AsyncIterator[Link]:
    """Connect through the gateway. Raises TokenRejected, GatewayUnavailable."""
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
            raise TokenRejected from None
        raise GatewayUnavailable(f"answered {error.status}") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise GatewayUnavailable(type(error).__name__) from None
    try:
        yield Link(socket)
    finally:
        await socket.close()


async def register_key(
    client: aiohttp.ClientSession, gateway: str, access: str, public_key: bytes, name: str
) -> None:
    """Send the service the key to seal passwords with. Safe to repeat.

    Raises TokenRejected, KeyRefused, GatewayUnavailable.
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
        raise GatewayUnavailable(type(error).__name__) from None
    match status:
        case HTTPStatus.NO_CONTENT:
            return
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            raise TokenRejected
        case HTTPStatus.CONFLICT:
            raise KeyRefused
        case _:
            raise GatewayUnavailable(f"answered {status}")
