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
OURS: Final = "sec-websocket-"
"""What is agreed upon with the client holds for its connection only."""


class UpstreamRefused(Exception):
    """The service does not take the WebSocket, and said so by an HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class _Elsewhere(aiohttp.ClientError):
    """The service answered with a redirect, which nobody here follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Seconds to connect, to shake hands, between two pings; bytes of a message."""

    connect: float
    handshake: float
    ping: float
    most: int


@asynccontextmanager
async def connect(
    url: str, *, headers: Sequence[tuple[str, str]], protocols: Sequence[str], terms: Terms
) -> AsyncIterator[Socket]:
    """A WebSocket to a service, closed at the end if it still is open.

    `url` is http or https. Its pings are answered, and it is pinged: a service that does not answer
    counts as gone. Raises UpstreamAway, UpstreamSlow, UpstreamBroke, UpstreamRefused.
    """
    # A session of its own: however many sockets stay open, requests find their connections.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=terms.connect),
        skip_auto_headers=ADDED_BY_AIOHTTP,
        middlewares=(_no_redirects,),
    ) as session:
        socket = await _shaken(session, url, headers, protocols, terms)
        try:
            yield socket
        finally:
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)


async def _shaken(
    session: aiohttp.ClientSession,
    url: str,
    headers: Sequence[tuple[str, str]],
    protocols: Sequence[str],
    terms: Terms,
) -> Socket:
    try:
        async with asyncio.timeout(terms.handshake):
            return await session.ws_connect(
                URL(url, encoded=True),
                headers=[header for header in headers if not header[0].lower().startswith(OURS)],
                protocols=protocols,
                heartbeat=terms.ping,
                max_msg_size=terms.most + 1,
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
        raise _Elsewhere
    return answer
