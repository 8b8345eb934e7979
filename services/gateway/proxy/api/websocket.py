"""WebSockets through a door: authenticated first, then relayed both ways."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Gauge
from uuid_utils import uuid7

from services.gateway.context import Deps
from services.gateway.doors.api import fault
from services.gateway.doors.api.cors import Receive, Scope, Send
from services.gateway.doors.api.peer import Peer, peer_of
from services.gateway.doors.api.target import target_of
from services.gateway.doors.domain.door import RouteMatch, Shape
from services.gateway.proxy.adapters.upstream import UpstreamAway, UpstreamBroke, UpstreamSlow
from services.gateway.proxy.adapters.websocket import Socket, Terms, UpstreamRefused, connect
from services.gateway.proxy.api.admission import authenticate, forwarded_headers, identify
from services.gateway.proxy.api.head import by_name
from services.gateway.proxy.api.upstream_errors import upstream_fault

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
REFUSED: Final = 1008
TOO_BIG: Final = 1009
BROKEN: Final = 1011
REASON_BYTES: Final = 123
UNTAKEN_SECONDS: Final = 60.0
"""How long a message may wait for whoever should take it."""

OPEN: Final = Gauge(
    "tillstream_gateway_websockets",
    "WebSockets open through the doors.",
    ["door"],
    multiprocess_mode="livesum",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class End:
    """Why it is over: the codes each side is told, None for a side that is gone already."""

    client: int | None
    service: int | None
    reason: str = ""


class WebSockets:
    """All that are open at once, so that there is an end to them."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._open = 0

    async def forward(
        self, route_match: RouteMatch, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Take a WebSocket from its handshake to its end."""
        await receive()
        if self._open >= self._deps.settings.websocket_connections:
            return await refuse(scope, send, route_match.door.shape, fault.unavailable(5))
        self._open += 1
        try:
            with (
                OPEN.labels(route_match.door.name).track_inprogress(),
                structlog.contextvars.bound_contextvars(request_id=str(uuid7())),
            ):
                await _Passage(self._deps, route_match, scope, receive, send).forward()
        except fault.Fault as why:
            await refuse(scope, send, route_match.door.shape, why)
        finally:
            self._open -= 1


async def refuse(scope: Scope, send: Send, shape: Shape, why: fault.Fault) -> None:
    """Say no before the handshake is done: as HTTP, where the server lets us."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        return await send({"type": "websocket.close", "code": REFUSED})

    async def as_handshake(message: Any) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return await fault.answer(as_handshake, shape, why)


class _Passage:
    """One WebSocket on its way through."""

    def __init__(
        self, deps: Deps, route_match: RouteMatch, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._deps = deps
        self._found = route_match
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers = by_name(scope["headers"])
        self._most = deps.settings.websocket_max_bytes

    async def forward(self) -> None:
        """Until one side closes. Raises Fault as long as nothing was accepted."""
        peer = peer_of(self._scope, self._headers, self._deps.settings.trusted_proxies)
        self._check_origin(peer)
        outgoing = await self._forwarded(peer)
        settings = self._deps.settings
        terms = Terms(
            connect=settings.connect_seconds,
            handshake=settings.websocket_handshake_seconds,
            ping=settings.websocket_ping_seconds,
            most=self._most,
        )
        try:
            async with connect(
                self._url(), headers=outgoing, protocols=self._scope["subprotocols"], terms=terms
            ) as socket:
                await self._send({"type": "websocket.accept", "subprotocol": socket.protocol})
                await self._join(socket)
        except UpstreamRefused as error:
            raise fault.websocket_refused(error.status) from error
        except (UpstreamAway, UpstreamBroke, UpstreamSlow) as error:
            raise upstream_fault(error) from error

    def _check_origin(self, peer: Peer) -> None:
        """A page is held to what CORS would allow it: browsers do not ask for WebSockets."""
        origin = self._headers.get(b"origin", b"").decode("latin-1")
        allowed = self._deps.settings.pages_at([self._found.door])
        ours = origin.partition("://")[2] == peer.host
        if origin and not ours and allowed.isdisjoint({origin, "*"}):
            raise fault.foreign_page()

    async def _forwarded(self, peer: Peer) -> list[tuple[str, str]]:
        caller = await authenticate(self._deps, self._found, self._headers, peer)
        parent = self._headers.get(b"traceparent", b"").decode("latin-1")
        name = f"WEBSOCKET {self._found.rule.path}"
        with self._deps.telemetry.span(name, parent=parent, kind=SpanKind.SERVER):
            return forwarded_headers(self._deps, self._found, self._scope["headers"], caller, peer)

    def _url(self) -> str:
        origin = self._deps.upstreams[self._found.door.service].origin
        query = self._scope["query_string"]
        return target_of(f"{origin}{self._found.path}", query)

    async def _join(self, socket: Socket) -> None:
        end = await _first(
            self._to_service(socket), self._to_client(socket), self._while_admitted()
        )
        if end.client is not None:
            message = {"type": "websocket.close", "code": end.client, "reason": end.reason}
            await _quietly(self._send(message))
        if end.service is not None:
            await _quietly(socket.close(code=end.service))
        log.info(
            "websocket ended",
            door=self._found.door.name,
            told_client=end.client,
            told_service=end.service,
        )

    async def _to_service(self, socket: Socket) -> End:
        while (message := await self._receive())["type"] != "websocket.disconnect":
            text, data = message.get("text"), message.get("bytes")
            size = len(data) if text is None else len(text.encode())
            if size > self._most:
                return End(TOO_BIG, GOING_AWAY)
            try:
                async with asyncio.timeout(UNTAKEN_SECONDS):
                    await (socket.send_bytes(data) if text is None else socket.send_str(text))
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                return End(BROKEN, None)
        return End(None, _close_code(message.get("code"), otherwise=GOING_AWAY))

    async def _to_client(self, socket: Socket) -> End:
        while (message := await socket.receive()).type in (
            aiohttp.WSMsgType.TEXT,
            aiohttp.WSMsgType.BINARY,
        ):
            kind = "text" if message.type is aiohttp.WSMsgType.TEXT else "bytes"
            try:
                async with asyncio.timeout(UNTAKEN_SECONDS):
                    await self._send({"type": "websocket.send", kind: message.data})
            except (RuntimeError, OSError, TimeoutError):
                return End(None, GOING_AWAY)
        if message.type is aiohttp.WSMsgType.CLOSE:
            reason = (message.extra or "").encode()[:REASON_BYTES].decode(errors="ignore")
            return End(_close_code(message.data, otherwise=NORMAL), None, reason)
        return End(BROKEN, None)

    async def _while_admitted(self) -> End:
        """Until the caller's key or token is good no more. Whoever cannot tell lets it go on."""
        while True:
            await asyncio.sleep(self._deps.settings.websocket_recheck_seconds)
            try:
                await identify(self._deps, self._found, self._headers)
            except fault.Fault as no:
                if no.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                    return End(REFUSED, GOING_AWAY)


async def _first(*ways: Coroutine[Any, Any, End]) -> End:
    """What the first of them says; the others are told to stop, and have stopped."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task.result() for task in tasks if task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _quietly(closing: Any) -> None:
    """Close a side that may have gone in this moment."""
    try:
        async with asyncio.timeout(UNTAKEN_SECONDS):
            await closing
    except (RuntimeError, OSError, TimeoutError, aiohttp.ClientError):
        log.info("websocket was gone")


def _close_code(code: int | None, *, otherwise: int) -> int:
    """The code, if it is one that may be said; some only stand for what was not said at all."""
    if code is None or not (1000 <= code <= 1014 or 3000 <= code <= 4999):
        return otherwise
    return otherwise if code in (1004, 1005, 1006) else code
