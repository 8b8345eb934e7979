"""Forward-auth: another proxy asks for the verdict on a request that it forwards itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.gateway.context import Deps
from services.gateway.doors.api import fault
from services.gateway.doors.api.cors import Scope, Send
from services.gateway.doors.api.peer import is_in, peer_of
from services.gateway.doors.api.target import raw_path
from services.gateway.doors.domain.caller import Caller
from services.gateway.doors.domain.door import (
    WEBSOCKET,
    Closed,
    Limit,
    NoDoor,
    RouteMatch,
    Rule,
    Shape,
    WebSocketOnly,
    match_route,
)
from services.gateway.proxy.api.admission import authenticate
from services.gateway.proxy.api.head import by_name, with_query_token
from services.gateway.proxy.api.upstream_errors import door_fault

PATH: Final = "/auth/verify"
ROUTE: Final = Rule(("GET",), PATH, None, Limit.NONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginalRequest:
    """The client's request to the other proxy. `path` and `query` are percent-encoded."""

    method: str
    path: str
    query: bytes
    host: str | None


def is_verification(scope: Scope, deps: Deps) -> bool:
    """Whether the request is a verification, from a proxy in `verify_networks`."""
    path = scope["path"]
    if path != PATH and not path.startswith(f"{PATH}/"):
        return False
    client = scope.get("client")
    return is_in(client[0] if client else "", deps.settings.verify_networks)


def original_request(scope: Scope, headers: Mapping[bytes, bytes]) -> OriginalRequest:
    """The original request: in `X-Forwarded-…` (Caddy, Traefik) or below PATH (Envoy)."""

    def header(name: bytes) -> str:
        return headers.get(name, b"").decode("latin-1")

    path, _, query = header(b"x-forwarded-uri").partition("?")
    return OriginalRequest(
        method=header(b"x-forwarded-method") or scope["method"],
        path=path or raw_path(scope).removeprefix(PATH) or "/",
        query=query.encode("latin-1") or scope["query_string"],
        host=header(b"x-forwarded-host") or header(b"host") or None,
    )


async def answer(deps: Deps, scope: Scope, send: Send) -> None:
    """Send 200 with the headers for the service, or the refusal for the client."""
    scope["route"] = ROUTE
    headers = by_name(scope["headers"])
    original = original_request(scope, headers)
    try:
        route_match = _match(deps, original)
    except NoDoor:
        return await fault.answer(send, Shape.DETAIL, fault.not_found())
    except Closed as error:
        return await fault.answer(send, error.shape, door_fault(error))
    peer = peer_of(scope, headers, deps.settings.trusted_proxies)
    credentials: Mapping[bytes, bytes] = headers
    if WEBSOCKET in route_match.rule.methods:
        credentials = with_query_token(headers, original.query)
    try:
        caller = await authenticate(deps, route_match, credentials, peer)
    except fault.Fault as refusal:
        return await fault.answer(send, route_match.door.shape, refusal)
    return await _send_headers(send, _identity_headers(deps, route_match, caller))


def _match(deps: Deps, original: OriginalRequest) -> RouteMatch:
    try:
        return match_route(deps.doors, original.method, original.path, original.host)
    except WebSocketOnly:
        # Proxies do not forward that the client asks for a WebSocket.
        return match_route(deps.doors, WEBSOCKET, original.path, original.host)


async def _send_headers(send: Send, headers: Sequence[tuple[bytes, bytes]]) -> None:
    complete = [*headers, (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": complete})
    await send({"type": "http.response.body", "body": b""})


def _identity_headers(
    deps: Deps, route_match: RouteMatch, caller: Caller | None
) -> Sequence[tuple[bytes, bytes]]:
    service = route_match.door.service
    headers = [(b"x-service", service.encode())]
    if caller is None:
        return headers
    return [
        *headers,
        (b"authorization", deps.internal_tokens.bearer(caller, service).encode()),
        (b"x-tenant", caller.tenant.encode()),
        (b"x-subject", str(caller.subject).encode()),
        (b"x-scopes", " ".join(sorted(caller.scopes)).encode()),
    ]
