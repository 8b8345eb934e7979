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
from services.gateway.proxy.adapters.websocket import Socket, SocketLimits, UpstreamRefused, connect
from services.gateway.proxy.api.admission import authenticate, forwarded_headers, identify
from services.gateway.proxy.api.head import by_name, with_query_token, without_token
from services.gateway.proxy.api.upstream_errors import upstream_fault

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
REFUSED: Final = 1008
TOO_BIG: Final = 1009
BROKEN: Final = 1011
REASON_BYTES: Final = 123
NOT_ALLOWED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
SEND_SECONDS: Final = 60.0
"""How long sending one message may take."""

OPEN: Final = Gauge(
    "tillstream_gateway_websockets",
    "WebSockets open through the doors.",
    ["door"],
    multiprocess_mode="livesum",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a WebSocket: the close code for each side, None for a side that is gone."""

    client: int | None
    service: int | None
    reason: str = ""


class WebSockets:
    """All WebSockets of this process, limited in number."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._open = 0

    async def forward(
        self, route_match: RouteMatch, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Forward a WebSocket from its handshake to its end."""
        await receive()
        if self._open >= self._deps.settings.websocket_connections:
            return await refuse(scope, send, route_match.door.shape, fault.unavailable(5))
        self._open += 1
        try:
            with (
                OPEN.labels(route_match.door.name).track_inprogress(),
                structlog.contextvars.bound_contextvars(request_id=str(uuid7())),
            ):
                await _Relay(self._deps, route_match, scope, receive, send).forward()
        except fault.Fault as refusal:
            if route_match.door.refuses_by_close and refusal.status in NOT_ALLOWED:
                await refuse_by_close(send, refusal)
            else:
                await refuse(scope, send, route_match.door.shape, refusal)
        finally:
            self._open -= 1


async def refuse(scope: Scope, send: Send, shape: Shape, refusal: fault.Fault) -> None:
    """Refuse the handshake, with an HTTP status if the server supports it."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        return await send({"type": "websocket.close", "code": REFUSED})

    async def as_handshake(message: Any) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return await fault.answer(as_handshake, shape, refusal)


async def refuse_by_close(send: Send, refusal: fault.Fault) -> None:
    """Complete the handshake only to close the WebSocket."""
    await send({"type": "websocket.accept"})
    await _quietly(send({"type": "websocket.close", "code": REFUSED, "reason": refusal.code}))


class _Relay:
    """One WebSocket between client and service."""

    def __init__(
        self, deps: Deps, route_match: RouteMatch, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._deps = deps
        self._route_match = route_match
        self._scope = scope
        self._receive = receive
        self._send = send
        self._query = scope["query_string"]
        self._headers = with_query_token(by_name(scope["headers"]), self._query)
        self._most = deps.settings.websocket_max_bytes

    async def forward(self) -> None:
        """Relay until one side closes. Raises Fault before the handshake is accepted."""
        peer = peer_of(self._scope, self._headers, self._deps.settings.trusted_proxies)
        self._check_origin(peer)
        outgoing = await self._authenticated_headers(peer)
        settings = self._deps.settings
        limits = SocketLimits(
            connect=settings.connect_seconds,
            handshake=settings.websocket_handshake_seconds,
            ping=settings.websocket_ping_seconds,
            most=self._most,
        )
        try:
            async with connect(
                self._url(), headers=outgoing, protocols=self._scope["subprotocols"], limits=limits
            ) as socket:
                await self._send({"type": "websocket.accept", "subprotocol": socket.protocol})
                await self._relay_until_closed(socket)
        except UpstreamRefused as error:
            raise fault.websocket_refused(error.status) from error
        except (UpstreamAway, UpstreamBroke, UpstreamSlow) as error:
            raise upstream_fault(error) from error

    def _check_origin(self, peer: Peer) -> None:
        """Apply the CORS rules: browsers do not send preflights for WebSockets."""
        origin = self._headers.get(b"origin", b"").decode("latin-1")
        allowed = self._deps.settings.pages_at([self._route_match.door])
        ours = origin.partition("://")[2] == peer.host
        if origin and not ours and allowed.isdisjoint({origin, "*"}):
            raise fault.foreign_page()

    async def _authenticated_headers(self, peer: Peer) -> list[tuple[str, str]]:
        caller = await authenticate(self._deps, self._route_match, self._headers, peer)
        parent = self._headers.get(b"traceparent", b"").decode("latin-1")
        name = f"WEBSOCKET {self._route_match.rule.path}"
        with self._deps.telemetry.span(name, parent=parent, kind=SpanKind.SERVER):
            return forwarded_headers(
                self._deps, self._route_match, self._scope["headers"], caller, peer
            )

    def _url(self) -> str:
        origin = self._deps.upstreams[self._route_match.door.service].origin
        return target_of(f"{origin}{self._route_match.path}", without_token(self._query))

    async def _relay_until_closed(self, socket: Socket) -> None:
        closing = await _first_closing(
            self._to_service(socket), self._to_client(socket), self._until_unauthorized()
        )
        if closing.client is not None:
            message = {"type": "websocket.close", "code": closing.client, "reason": closing.reason}
            await _quietly(self._send(message))
        if closing.service is not None:
            await _quietly(socket.close(code=closing.service))
        log.info(
            "websocket ended",
            door=self._route_match.door.name,
            client_code=closing.client,
            service_code=closing.service,
        )

    async def _to_service(self, socket: Socket) -> Closing:
        while (message := await self._receive())["type"] != "websocket.disconnect":
            text, data = message.get("text"), message.get("bytes")
            size = len(data) if text is None else len(text.encode())
            if size > self._most:
                return Closing(TOO_BIG, GOING_AWAY)
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await (socket.send_bytes(data) if text is None else socket.send_str(text))
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                return Closing(BROKEN, None)
        return Closing(None, _close_code(message.get("code"), otherwise=GOING_AWAY))

    async def _to_client(self, socket: Socket) -> Closing:
        while (message := await socket.receive()).type in (
            aiohttp.WSMsgType.TEXT,
            aiohttp.WSMsgType.BINARY,
        ):
            kind = "text" if message.type is aiohttp.WSMsgType.TEXT else "bytes"
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._send({"type": "websocket.send", kind: message.data})
            except (RuntimeError, OSError, TimeoutError):
                return Closing(None, GOING_AWAY)
        if message.type is aiohttp.WSMsgType.CLOSE:
            reason = (message.extra or "").encode()[:REASON_BYTES].decode(errors="ignore")
            return Closing(_close_code(message.data, otherwise=NORMAL), None, reason)
        return Closing(BROKEN, None)

    async def _until_unauthorized(self) -> Closing:
        """Wait until the caller's key or token becomes invalid; other failures do not count."""
        while True:
            await asyncio.sleep(self._deps.settings.websocket_recheck_seconds)
            try:
                await identify(self._deps, self._route_match, self._headers)
            except fault.Fault as error:
                if error.status in NOT_ALLOWED:
                    return Closing(REFUSED, GOING_AWAY)


async def _first_closing(*directions: Coroutine[Any, Any, Closing]) -> Closing:
    """The closing of the first direction to end; the others are cancelled."""
    tasks = [asyncio.create_task(direction) for direction in directions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task.result() for task in tasks if task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _quietly(closing: Any) -> None:
    """Close a side that may be gone already."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await closing
    except (RuntimeError, OSError, TimeoutError, aiohttp.ClientError):
        log.info("websocket was gone")


def _close_code(code: int | None, *, otherwise: int) -> int:
    """The close code, or `otherwise` for one that must not be sent (RFC 6455 §7.4)."""
    if code is None or not (1000 <= code <= 1014 or 3000 <= code <= 4999):
        return otherwise
    return otherwise if code in (1004, 1005, 1006) else code
