"""CORS, security headers and cache control of every answer.

The outermost layer, in raw ASGI, so that errors of all inner layers get the headers too. CORS
headers of inner layers are dropped: browsers reject duplicates.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

from services.gateway.doors.adapters import CORS
from services.gateway.doors.api.peer import Networks, peer_of
from services.gateway.doors.api.target import raw_path
from services.gateway.doors.domain.door import Closed, Door, NoDoor, enter

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]
RawHeaders: TypeAlias = list[Header]

EXPOSED: Final = b", ".join(
    (
        b"X-Request-Id",
        b"X-Process-Time",
        b"X-Consistency-Token",
        b"X-Stale",
        b"X-Kept-Since",
        b"Idempotent-Replayed",
        b"Content-Disposition",
        b"ETag",
        b"Link",
        b"RateLimit",
        b"RateLimit-Policy",
        b"Retry-After",
    )
)
METHODS: Final = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
MAX_AGE: Final = b"600"
SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
"""Sent over https only: browsers ignore it otherwise, and a proxy in front may serve both."""
PAGE: Final = (
    b"content-security-policy",
    b"base-uri 'none'; frame-ancestors 'none'; object-src 'none'",
)
"""For pages without a policy of their own. It does not restrict what they load."""


class Cors:
    """ASGI middleware. `pages` gives the allowed origins of doors; `*` allows all.

    Paths of no single door, such as a login at the root, allow the origins of every door. A page of
    another origin gets the answer without the headers that let it read it. `trusted` proxies may
    declare that the client uses https.
    """

    def __init__(
        self,
        app: App,
        *,
        pages: Callable[[Sequence[Door]], Iterable[str]],
        doors: Sequence[Door] = (),
        trusted: Networks = (),
    ) -> None:
        self._app = app
        self._doors = doors
        self._trusted = trusted
        self._all_origins = _encoded(pages(doors))
        self._origins_by_door = {door.name: _encoded(pages([door])) for door in doors}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        origin, requested = _origin_and_method(scope)
        cors = _allowed(origin, self._origins(scope)) if origin is not None else []
        if origin is not None and requested is not None and scope["method"] == "OPTIONS":
            return await _preflight(send, scope, cors, requested)
        security = (*SECURITY, HSTS) if self._is_secure(scope) else SECURITY

        async def finish(message: Any) -> None:
            if message["type"] == "http.response.start":
                safe = _safe(list(message.get("headers", ())), security)
                headers = _finished(safe, cors, scope["method"])
                message = {**message, "headers": headers}
            await send(message)

        return await self._app(scope, receive, finish)

    def _is_secure(self, scope: Scope) -> bool:
        if not self._trusted:
            return bool(scope.get("scheme") == "https")
        return peer_of(scope, dict(scope["headers"]), self._trusted).proto == "https"

    def _origins(self, scope: Scope) -> frozenset[bytes]:
        peer = peer_of(scope, dict(scope["headers"]), self._trusted)
        try:
            entry = enter(self._doors, raw_path(scope), peer.host)
        except (NoDoor, Closed):
            return self._all_origins
        return self._origins_by_door[entry.door.name]


def _encoded(origins: Iterable[str]) -> frozenset[bytes]:
    return frozenset(origin.encode() for origin in origins)


def _allowed(origin: bytes, origins: frozenset[bytes]) -> RawHeaders:
    if origin in origins:
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED),
        ]
    if b"*" in origins:
        return [
            (b"access-control-allow-origin", b"*"),
            (b"access-control-expose-headers", EXPOSED),
        ]
    return []


def _origin_and_method(scope: Scope) -> tuple[bytes | None, bytes | None]:
    """The page's origin, and the method that a preflight requests."""
    origin = requested = None
    for name, value in scope["headers"]:
        if name == b"origin":
            origin = value
        elif name == b"access-control-request-method":
            requested = value
    return origin, requested


def _safe(headers: Sequence[Header], security: Iterable[Header]) -> RawHeaders:
    """The headers, with those of `security` that are missing."""
    by_name = dict(headers)
    is_page = by_name.get(b"content-type", b"").startswith(b"text/html")
    missing = [header for header in security if header[0] not in by_name]
    missing += [PAGE] if is_page and PAGE[0] not in by_name else []
    return [*headers, *missing]


def _finished(headers: Iterable[tuple[bytes, bytes]], cors: RawHeaders, method: str) -> RawHeaders:
    kept = [(name, value) for name, value in headers if not name.startswith(CORS)]
    names = {name for name, _ in kept}
    if method in ("GET", "HEAD") and not any(_is_cacheable(*header) for header in kept):
        # The scanner's service worker stores every GET answer for ever. `Vary: *` makes it fail.
        kept = [(name, value) for name, value in kept if name != b"vary"] + [(b"vary", b"*")]
        kept += [] if b"cache-control" in names else [(b"cache-control", b"no-store")]
    elif not any(name == b"vary" and b"*" in value for name, value in kept):
        kept.append((b"vary", b"Origin"))
    return kept + cors


def _is_cacheable(name: bytes, value: bytes) -> bool:
    return name == b"cache-control" and (b"max-age" in value or b"public" in value)


async def _preflight(send: Send, scope: Scope, cors: RawHeaders, requested: bytes) -> None:
    """Answer a browser's preflight request; the requested headers are echoed."""
    text = b"OK" if cors else b"Disallowed CORS origin"
    if cors and requested not in METHODS.split(b", "):
        text = b"Disallowed CORS method"
    headers: RawHeaders = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", MAX_AGE),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
        *SECURITY,
        *cors,
    ]
    request_headers = b"access-control-request-headers"
    echoed = [value for name, value in scope["headers"] if name == request_headers]
    headers += [(b"access-control-allow-headers", value) for value in echoed[:1]]
    status = 200 if text == b"OK" else 400
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
