"""The doors, in raw ASGI: match the route, authenticate the caller, forward the request."""

from functools import lru_cache, partial
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware

from services.gateway.context import Deps
from services.gateway.doors.api import fault
from services.gateway.doors.api.cors import App, Cors, Receive, Scope, Send
from services.gateway.doors.api.local_routes import LocalRoutes, door_of
from services.gateway.doors.api.peer import Peer, is_in, peer_of
from services.gateway.doors.api.target import raw_path, target_of
from services.gateway.doors.domain.caller import Caller
from services.gateway.doors.domain.door import (
    WEBSOCKET,
    BadPath,
    Closed,
    NoDoor,
    RouteMatch,
    Shape,
    WebSocketOnly,
    enter,
    match_route,
)
from services.gateway.proxy.adapters.upstream import (
    UpstreamAway,
    UpstreamBroke,
    UpstreamRequest,
    UpstreamSlow,
)
from services.gateway.proxy.api import body, verify
from services.gateway.proxy.api.admission import authenticate, forwarded_headers
from services.gateway.proxy.api.documents import Documents
from services.gateway.proxy.api.head import by_name, overlong
from services.gateway.proxy.api.upstream_errors import door_fault, upstream_fault
from services.gateway.proxy.api.websocket import WebSockets, refuse
from services.gateway.settings import Settings

DRAINED_BODIES: Final = 4
"""The multiple of the largest body that is read of a refused client before it is cut off."""

REMEMBERED_PATHS: Final = 256

INTERNAL_PATHS: Final = frozenset({"/metrics"})
INTERNAL: Final = "/internal/"
FORWARDED: Final = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})

log = structlog.get_logger(__name__)


class Doors:
    """ASGI middleware that forwards requests at the doors and leaves all others to `app`.

    A path without a rule at the door may be one of `local_routes`. The rule is the request's route
    in metrics and traces.
    """

    def __init__(self, app: App, *, deps: Deps, local_routes: LocalRoutes) -> None:
        self._app = app
        self._deps = deps
        self._local_routes = local_routes
        self._websockets = WebSockets(deps)
        self._bound = any(door.hosts for door in deps.doors)
        self._verifies = bool(deps.settings.verify_networks)
        # The most frequent requests are matched once.
        self._matched = lru_cache(maxsize=REMEMBERED_PATHS)(partial(match_route, deps.doors))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self._connect(scope, receive, send)
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if (refusal := overlong(scope, self._deps.settings)) is not None:
            return await self._refuse(
                self._body_reader(scope, receive), send, Shape.DETAIL, refusal
            )
        try:
            if self._verifies and verify.is_verification(scope, self._deps):
                return await verify.answer(self._deps, scope, send)
            route_match = self._find(scope, scope["method"])
        except NoDoor:
            return await self._app(scope, receive, send)
        except Closed as error:
            if self._routed_locally(scope, error):
                return await self._app(scope, receive, send)
            refusal = door_fault(error)
            return await self._refuse(self._body_reader(scope, receive), send, error.shape, refusal)
        scope["route"] = route_match.rule
        return await self._forward(route_match, scope, receive, send)

    async def _forward(
        self, route_match: RouteMatch, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body_reader = self._body_reader(scope, receive)
        door_request = _DoorRequest(self._deps, route_match, scope, receive, send, body_reader)
        try:
            await door_request.forward()
        except fault.Fault as refusal:
            await self._refuse(body_reader, send, route_match.door.shape, refusal)
        except body.ClientGone:
            # The server reports a malformed chunk like a disconnect, but that client still waits.
            log.info("body broke off", door=route_match.door.name)
            await fault.answer(send, route_match.door.shape, fault.broken_body())

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (refusal := overlong(scope, self._deps.settings)) is not None:
            return await refuse(scope, send, Shape.DETAIL, refusal)
        try:
            route_match = self._find(scope, WEBSOCKET)
        except NoDoor:
            return await refuse(scope, send, Shape.DETAIL, fault.not_found())
        except Closed as error:
            return await refuse(scope, send, error.shape, door_fault(error))
        return await self._websockets.forward(route_match, scope, receive, send)

    def _find(self, scope: Scope, method: str) -> RouteMatch:
        return self._matched(method, raw_path(scope), self._host(scope))

    def _routed_locally(self, scope: Scope, error: Closed) -> bool:
        """Whether the request is for a local route at the door; if so, `scope` is rewritten."""
        if isinstance(error, BadPath | WebSocketOnly):
            return False
        entry = enter(self._deps.doors, raw_path(scope), self._host(scope))
        return self._local_routes.route_to(scope, entry)

    def _host(self, scope: Scope) -> str | None:
        if not self._bound:
            return None
        trusted = self._deps.settings.trusted_proxies
        return peer_of(scope, dict(scope["headers"]), trusted).host

    def _body_reader(self, scope: Scope, receive: Receive) -> body.BodyReader:
        return body.BodyReader(scope["method"], scope["headers"], receive)

    async def _refuse(
        self, body_reader: body.BodyReader, send: Send, shape: Shape, refusal: fault.Fault
    ) -> None:
        # A client that was too slow is not waited for again.
        if not isinstance(refusal, fault.TooSlow):
            await body_reader.drain(DRAINED_BODIES * self._deps.settings.max_body_bytes)
        await fault.answer(send, shape, refusal)


class InternalOnly:
    """ASGI middleware: internal routes answer 404 to callers outside of `metrics_networks`.

    It runs after `Doors`: a door's route of the same path is for the door's clients. A request
    through a proxy that is not trusted is rejected, whatever the proxy's address.
    """

    def __init__(self, app: App, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_local = scope["type"] == "http" and door_of(scope) is None
        path: str = scope["path"]
        internal = is_local and (path.rstrip("/") in INTERNAL_PATHS or path.startswith(INTERNAL))
        if internal and not self._is_internal_client(scope):
            return await fault.answer(send, Shape.DETAIL, fault.not_found())
        return await self._app(scope, receive, send)

    def _is_internal_client(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        trusted = self._settings.trusted_proxies
        client = scope.get("client")
        if not FORWARDED.isdisjoint(headers) and not is_in(client[0] if client else "", trusted):
            return False
        return is_in(peer_of(scope, headers, trusted).address, self._settings.metrics_networks)


def add_doors(app: FastAPI, deps: Deps) -> None:
    """Put the doors in front of the local routes of an app, and CORS in front of everything."""
    local_routes, settings = LocalRoutes(app.routes), deps.settings
    app.state.documents = Documents(deps, local_routes)
    app.user_middleware[:] = [
        Middleware(
            Cors, pages=settings.pages_at, doors=deps.doors, trusted=settings.trusted_proxies
        ),
        *app.user_middleware,
        Middleware(Doors, deps=deps, local_routes=local_routes),
        Middleware(InternalOnly, settings=settings),
    ]


class _DoorRequest:
    """One request at a door."""

    def __init__(
        self,
        deps: Deps,
        route_match: RouteMatch,
        scope: Scope,
        receive: Receive,
        send: Send,
        body_reader: body.BodyReader,
    ) -> None:
        self.deps = deps
        self.route_match = route_match
        self.scope = scope
        self.receive = receive
        self.send = send
        self.body_reader = body_reader

    async def forward(self) -> None:
        """Authenticate the caller and forward the request. Raises Fault."""
        headers = by_name(self.scope["headers"])
        peer = peer_of(self.scope, headers, self.deps.settings.trusted_proxies)
        try:
            caller = await authenticate(self.deps, self.route_match, headers, peer)
        except fault.BadKey:
            # As the scan logger did: a body that is not JSON is a 422, also without a key.
            if await body.is_invalid_json(self.body_reader, headers):
                raise fault.not_json() from None
            raise
        if caller is not None:
            self.send = await self._with_rate_limit(caller, peer)
        outgoing = forwarded_headers(
            self.deps,
            self.route_match,
            self.scope["headers"],
            caller,
            peer,
            request_id=self.scope.get("request_id"),
        )
        content = await body.read(self.body_reader, limit=self.deps.settings.max_body_bytes)
        if isinstance(content, body.Body) and b"content-length" in headers:
            outgoing.append(("Content-Length", headers[b"content-length"].decode("latin-1")))
        return await self._relay(outgoing, content, self.send)

    async def _with_rate_limit(self, caller: Caller, peer: Peer) -> Send:
        """The `send` that adds `RateLimit` and `RateLimit-Policy` to the answer."""
        remaining = await self.deps.limits.remaining(
            self.route_match.rule.limit,
            key=str(caller.subject),
            address=peer.address,
            tenant=caller.tenant,
        )
        if remaining is None:
            return self.send
        headers = [(n.lower().encode(), v.encode()) for n, v in fault.rate_limit(remaining).items()]
        send = self.send

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        return with_headers

    async def _relay(
        self, outgoing: list[tuple[str, str]], content: bytes | body.Body | None, send: Send
    ) -> None:
        upstream_request = UpstreamRequest(
            method=self.scope["method"],
            target=target_of(self.route_match.path, self.scope["query_string"]),
            headers=outgoing,
            body=content.parts() if isinstance(content, body.Body) else content,
            seconds=self.deps.settings.slow_answer_seconds if self.route_match.rule.slow else None,
        )
        upstream = self.deps.upstreams[self.route_match.door.service]
        try:
            await upstream.relay(upstream_request, self.receive, send)
        except (UpstreamAway, UpstreamBroke, UpstreamSlow) as error:
            if isinstance(content, body.Body) and content.failure is not None:
                raise content.failure from error
            raise upstream_fault(error) from error
