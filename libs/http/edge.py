"""The outermost middleware: request ids, traces, metrics, body limits and unexpected errors."""

import re
from collections.abc import Iterable, Mapping, MutableMapping
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, NamedTuple

import structlog
from opentelemetry.trace import Span, SpanKind, StatusCode
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from libs.http.body_limit import limited
from libs.http.body_timeout import BodyTimeout, TimedBody
from libs.http.shapes import ErrorShape, answer
from libs.postgres.pool import is_connection_lost
from libs.telemetry.traces import Telemetry

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
EDGE_HEADERS = frozenset({b"x-request-id", b"x-process-time"})
CLIENT_GONE = 499
POLICY_VIOLATION = 1008
"""The close code of a WebSocket that is not accepted (RFC 6455 §7.4.1); the server answers 403."""

SINGLE_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
"""Headers that must occur once, so that no program sees another caller than the next one does."""
HOST: Final = b"host"

RawHeaders = list[tuple[bytes, bytes]]

REQUESTS = Counter(
    "tillstream_http_requests_total",
    "Requests answered.",
    ["service", "method", "route", "status"],
)
DURATION = Histogram(
    "tillstream_http_request_duration_seconds",
    "From the first byte of the request's head to the last byte of the answer.",
    ["service", "method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

log = structlog.get_logger(__name__)


class HostRepeated(HTTPException):
    """400 for several `Host` lines (RFC 9112 §3.2)."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, "The Host must be named once")


class Head(NamedTuple):
    """A request's headers, in order, and the first value of each name."""

    headers: RawHeaders
    first: Mapping[bytes, bytes]
    names_several_hosts: bool

    def text(self, name: bytes) -> str | None:
        """The first value of a header (in lower case), or None."""
        value = self.first.get(name)
        return None if value is None else value.decode("latin-1")


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """The head of a request (names in lower case); repeated credentials are made invalid."""
    pairs = list(headers)
    first = dict(reversed(pairs))
    if len(first) == len(pairs):
        return Head(pairs, first, names_several_hosts=False)
    pairs = with_single_credentials(pairs)
    return Head(pairs, dict(reversed(pairs)), names_several_hosts(pairs))


def with_single_credentials(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers (names in lower case), in which repeated credentials are joined (RFC 9110 §5.3).

    Joined credentials are invalid.
    """
    pairs = list(headers)
    for name in SINGLE_CREDENTIALS:
        values = [value for header, value in pairs if header == name]
        if len(values) > 1:
            pairs = [pair for pair in pairs if pair[0] != name]
            pairs.append((name, b", ".join(values)))
    return pairs


def names_several_hosts(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether there are several `Host` lines, even equal ones."""
    return sum(name == HOST for name, _ in headers) > 1


class Edge:
    """ASGI middleware around a whole app.

    A valid `X-Request-Id` is kept, otherwise one is generated. It is bound to the log lines and
    returned in the response, beside `X-Process-Time` (milliseconds until the response started). The
    request's span continues `traceparent`. A WebSocket has a request id as well.

    A repeated `Host` is refused with 400; repeated credentials are invalid. A body longer than
    `max_body_bytes`, or than `longer_bodies` has for its path (such as `/orders/{id}/photos`),
    declared or sent, is refused with 413, one that exceeds `body_timeout` with 408, and one that
    breaks off with 400. An unexpected exception is logged once and answered with 500.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        telemetry: Telemetry,
        shape: ErrorShape,
        max_body_bytes: int,
        body_timeout: BodyTimeout,
        longer_bodies: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.service = service
        self.telemetry = telemetry
        self.shape = shape
        self.max_body_bytes = max_body_bytes
        self.longer_bodies = [
            (compile_path(path)[0], limit) for path, limit in (longer_bodies or {}).items()
        ]
        self.body_timeout = body_timeout
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            scope["headers"] = with_single_credentials(scope["headers"])
            await self._connect(scope, receive, send)
            return
        head = read_head(scope["headers"])
        scope["headers"] = head.headers
        request_id = scope["request_id"] = _request_id(head.text(b"x-request-id"))
        reply = _Reply(send, request_id)
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        parent = head.text(b"traceparent")
        try:
            with self.telemetry.span(method, parent=parent, kind=SpanKind.SERVER) as span:
                try:
                    await self._answer(scope, head, receive, reply)
                finally:
                    self._record(scope, method, reply, span)
        finally:
            structlog.contextvars.reset_contextvars(**bound)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        if names_several_hosts(scope["headers"]):
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        request_id = read_head(scope["headers"]).text(b"x-request-id")
        scope["request_id"] = _request_id(request_id)
        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"]):
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, head: Head, receive: Receive, reply: "_Reply") -> None:
        try:
            if head.names_several_hosts:
                raise HostRepeated
            timed = TimedBody(receive, self.body_timeout)
            limit = self._body_limit(scope["path"].rstrip("/"))
            receive_limited = limited(timed, head.text(b"content-length"), limit)
            await self.app(scope, receive_limited, reply.send)
        except Exception as raised:
            error = BodyBroken() if isinstance(raised, ClientDisconnect) else raised
            if not isinstance(error, HTTPException) and not is_connection_lost(error):
                log.exception("request failed", method=scope["method"], route=route_of(scope))
            if reply.status is not None:
                # The response has started; the server must cut the connection.
                raise
            response = answer(self.shape, error, scope)
            await response(scope, receive, reply.send)

    def _body_limit(self, path: str) -> int:
        limits = (limit for pattern, limit in self.longer_bodies if pattern.match(path))
        return next(limits, self.max_body_bytes)

    def _record(self, scope: Scope, method: str, reply: "_Reply", span: Span) -> None:
        route = route_of(scope)
        status = reply.status or CLIENT_GONE
        counter, histogram = self._metrics(method, route, status)
        counter.inc()
        histogram.observe(perf_counter() - reply.started_at)
        if span.is_recording():
            span.update_name(f"{method} {route}")
            span.set_attribute("http.request.method", method)
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.set_status(StatusCode.ERROR)

    def _metrics(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """The metrics with these labels, cached, since their look-up costs more than counting.

        Routes are templates, and methods and statuses are few, so the cache stays small.
        """
        labels = method, route, status
        if (metrics := self._children.get(labels)) is None:
            metrics = self._children[labels] = (
                REQUESTS.labels(self.service, method, route, status),
                DURATION.labels(self.service, method, route),
            )
        return metrics


def route_of(scope: MutableMapping[str, Any]) -> str:
    """The template of the matched path with its prefixes, so that ids do not become labels."""
    # `route` holds the route as declared; this one has the prefixes of its inclusion.
    included = scope.get("fastapi", {}).get("effective_route_context")
    route = included or scope.get("route")
    return getattr(route, "path_format", None) or getattr(route, "path", None) or "unmatched"


class BodyBroken(HTTPException):
    """400: the body ended before it was complete, or a chunk of it has no size.

    Servers report a client that disconnected in the same way; then the response is not delivered.
    """

    def __init__(self) -> None:
        text = "The request body broke off or is framed badly"
        super().__init__(HTTPStatus.BAD_REQUEST, text, headers={"Connection": "close"})


class _Reply:
    """Sends the response, and records whether it has started and with which status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.started_at = perf_counter()
        self.status: int | None = None
        self._send = send
        self._request_id = request_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            milliseconds = (perf_counter() - self.started_at) * 1000
            message["headers"] = [
                *[pair for pair in message.get("headers", ()) if pair[0] not in EDGE_HEADERS],
                (b"x-request-id", self._request_id.encode()),
                (b"x-process-time", f"{milliseconds:.2f}ms".encode()),
            ]
        await self._send(message)


def _request_id(given: str | None) -> str:
    return given if given is not None and REQUEST_ID.fullmatch(given) else str(uuid7())
