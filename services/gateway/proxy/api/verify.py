"""Forward-auth: verdicts for a proxy that forwards requests by itself."""

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
from services.gateway.proxy.api.head import by_name
from services.gateway.proxy.api.upstream_errors import door_fault

PATH: Final = "/auth/verify"
ROUTE: Final = Rule(("GET",), PATH, None, Limit.NONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a client asked of the proxy. `path` is percent-encoded, without query."""

    method: str
    path: str
    host: str | None


def is_verification(scope: Scope, deps: Deps) -> bool:
    """Whether one of our proxies asks; for everybody else there is nothing here."""
    path = scope["path"]
    if path != PATH and not path.startswith(f"{PATH}/"):
        return False
    client = scope.get("client")
    return is_in(client[0] if client else "", deps.settings.verify_networks)


def question(scope: Scope, headers: Mapping[bytes, bytes]) -> Question:
    """As Caddy and Traefik put it, in `X-Forwarded-…`, or Envoy, behind our own path."""

    def header(name: bytes) -> str:
        return headers.get(name, b"").decode("latin-1")

    target = header(b"x-forwarded-uri") or raw_path(scope).removeprefix(PATH)
    return Question(
        method=header(b"x-forwarded-method") or scope["method"],
        path=target.partition("?")[0] or "/",
        host=header(b"x-forwarded-host") or header(b"host") or None,
    )


async def answer(deps: Deps, scope: Scope, send: Send) -> None:
    """200 with who is calling, in headers for the service, or what the client should read."""
    scope["route"] = ROUTE
    headers = by_name(scope["headers"])
    target = question(scope, headers)
    try:
        found = _find(deps, target)
    except NoDoor:
        return await fault.answer(send, Shape.DETAIL, fault.not_found())
    except Closed as no:
        return await fault.answer(send, no.shape, door_fault(no, b""))
    peer = peer_of(scope, headers, deps.settings.trusted_proxies)
    try:
        caller = await authenticate(deps, found, headers, peer)
    except fault.Fault as why:
        return await fault.answer(send, found.door.shape, why)
    return await _let_in(send, _verdict(deps, found, caller))


def _find(deps: Deps, target: Question) -> RouteMatch:
    try:
        return match_route(deps.doors, target.method, target.path, target.host)
    except WebSocketOnly:
        # Proxies keep to themselves that the client wants to upgrade.
        return match_route(deps.doors, WEBSOCKET, target.path, target.host)


async def _let_in(send: Send, headers: Sequence[tuple[bytes, bytes]]) -> None:
    told = [*headers, (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": told})
    await send({"type": "http.response.body", "body": b""})


def _verdict(deps: Deps, found: RouteMatch, caller: Caller | None) -> Sequence[tuple[bytes, bytes]]:
    service = found.door.service
    told = [(b"x-service", service.encode())]
    if caller is None:
        return told
    return [
        *told,
        (b"authorization", deps.internal_tokens.bearer(caller, service).encode()),
        (b"x-tenant", caller.tenant.encode()),
        (b"x-subject", str(caller.subject).encode()),
        (b"x-scopes", " ".join(sorted(caller.scopes)).encode()),
    ]
