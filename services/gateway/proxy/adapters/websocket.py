"""WebSockets of the services behind the doors."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import aiohttp
from yarl import URL

from services.gateway.proxy.adapters.upstream import (
    ADDED_BY_AIOHTTP,
    UpstreamAway,
    UpstreamBroke,
    UpstreamSlow,
)

Socket: TypeAlias = aiohttp.ClientWebSocketResponse

CLOSE_SECONDS: Final = 2.0
HANDSHAKE_HEADERS: Final = "sec-websocket-"
"""The prefix of handshake headers, which apply to the client's connection only."""


class UpstreamRefused(Exception):
    """The service refused the WebSocket with an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class _Redirected(aiohttp.ClientError):
    """The service answered with a redirect, which is not followed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SocketLimits:
    """Seconds to connect, for the handshake and between pings; the maximal bytes of a message."""

    connect: float
    handshake: float
    ping: float
    most: int


@asynccontextmanager
async def connect(
    url: str, *, headers: Sequence[tuple[str, str]], protocols: Sequence[str], limits: SocketLimits
) -> AsyncIterator[Socket]:
    """A WebSocket to a service, closed at exit.

    `url` is http or https. The service is pinged, and gone if it does not answer. Raises
    UpstreamAway, UpstreamSlow, UpstreamBroke, UpstreamRefused.
    """
    # A session of its own, so that sockets do not use up the connections of requests.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect),
        skip_auto_headers=ADDED_BY_AIOHTTP,
        middlewares=(_no_redirects,),
    ) as session:
        socket = await _handshake(session, url, headers, protocols, limits)
        try:
            yield socket
        finally:
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)


async def _handshake(
    session: aiohttp.ClientSession,
    url: str,
    headers: Sequence[tuple[str, str]],
    protocols: Sequence[str],
    limits: SocketLimits,
) -> Socket:
    try:
        async with asyncio.timeout(limits.handshake):
            return await session.ws_connect(
                URL(url, encoded=True),
                headers=[
                    header
                    for header in headers
                    if not header[0].lower().startswith(HANDSHAKE_HEADERS)
                ],
                protocols=protocols,
                heartbeat=limits.ping,
                max_msg_size=limits.most + 1,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
    except aiohttp.WSServerHandshakeError as error:
        if error.status >= 400:
            raise UpstreamRefused(error.status) from error
        raise UpstreamBroke(type(error).__name__) from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise UpstreamAway(1.0) from error
    except TimeoutError as error:
        raise UpstreamSlow from error
    except aiohttp.ClientError as error:
        raise UpstreamBroke(type(error).__name__) from error


async def _no_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    answer = await handler(request)
    if 300 <= answer.status < 400:
        answer.close()
        raise _Redirected
    return answer
