"""Authentication at a door, and the headers forwarded to the service."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog

from libs.errors import Unauthenticated
from libs.http.client import trace_headers
from libs.security.api_keys import hash_key
from services.gateway.api_keys.stores.known_keys import KeysUnavailable
from services.gateway.context import Deps
from services.gateway.doors.adapters import RawHeaders, forwarded
from services.gateway.doors.api import fault
from services.gateway.doors.api.peer import Peer
from services.gateway.doors.domain.caller import API_KEY, Caller
from services.gateway.doors.domain.door import AuthScheme, RouteMatch

MAX_KEY_LENGTH: Final = 512

log = structlog.get_logger(__name__)


async def authenticate(
    deps: Deps, route_match: RouteMatch, headers: Mapping[bytes, bytes], peer: Peer
) -> Caller | None:
    """The caller, counted against the limit of the route; None on a public route.

    Requests of public routes are counted by address. Raises Fault, before the body is read: a
    refused request stores nothing.
    """
    caller = await identify(deps, route_match, headers)
    over = await deps.limits.hit(
        route_match.rule.limit,
        key=peer.address if caller is None else str(caller.subject),
        address=peer.address,
        tenant=None if caller is None else caller.tenant,
    )
    if over is None and caller is not None:
        per_minute = caller.requests_per_minute
        over = await deps.limits.hit_own(per_minute, key=str(caller.subject))
    if over is not None:
        raise fault.too_many(over)
    return caller


async def identify(
    deps: Deps, route_match: RouteMatch, headers: Mapping[bytes, bytes]
) -> Caller | None:
    """The caller by API key, else by access token; None on a public route. Raises Fault."""
    scope = route_match.rule.scope
    if scope is None:
        return None
    if b"x-api-key" in headers or b"authorization" not in headers:
        caller = await _holder(deps, route_match.door.auth_scheme, headers.get(b"x-api-key", b""))
    else:
        caller = await _member(deps, route_match.door.auth_scheme, headers[b"authorization"])
    if scope not in caller.scopes:
        is_key = caller.kind == API_KEY
        text = "This API key may not do this" if is_key else route_match.door.forbidden
        raise fault.forbidden(text)
    return caller


def forwarded_headers(
    deps: Deps,
    route_match: RouteMatch,
    headers: RawHeaders,
    caller: Caller | None,
    peer: Peer,
    request_id: str | None = None,
) -> list[tuple[str, str]]:
    """The headers for the service: the client's, the forwarding ones and the internal token."""
    outgoing = forwarded(headers)
    outgoing += [
        ("X-Forwarded-For", peer.chain),
        ("X-Forwarded-Proto", peer.proto),
        ("X-Forwarded-Host", peer.host),
    ]
    if caller is not None:
        outgoing.append(
            ("Authorization", deps.internal_tokens.bearer(caller, route_match.door.service))
        )
    return outgoing + list(trace_headers(request_id).items())


async def _member(deps: Deps, auth_scheme: AuthScheme, authorization: bytes) -> Caller:
    """The caller of an access token."""
    bearer = authorization.decode("latin-1")
    if not bearer.lower().startswith("bearer "):
        raise _no_credentials(auth_scheme)
    try:
        principal = await deps.verifier.principal(bearer)
        subject = UUID(principal.subject)
    except (Unauthenticated, ValueError) as error:
        raise _refused(auth_scheme) from error
    return Caller(
        tenant=principal.tenant,
        subject=subject,
        scopes=principal.scopes,
        kind=principal.kind,
        session=principal.session,
    )


def _no_credentials(auth_scheme: AuthScheme) -> fault.Fault:
    return fault.bad_key() if auth_scheme is AuthScheme.API_KEY else fault.NotLoggedIn()


def _refused(auth_scheme: AuthScheme) -> fault.Fault:
    match auth_scheme:
        case AuthScheme.API_KEY:
            return fault.bad_key()
        case AuthScheme.BEARER:
            return fault.bad_token(challenge=False)
        case AuthScheme.CHALLENGE:
            return fault.bad_token(challenge=True)


async def _holder(deps: Deps, auth_scheme: AuthScheme, key: bytes) -> Caller:
    """The caller of an API key."""
    if not key:
        raise _no_credentials(auth_scheme)
    if len(key) > MAX_KEY_LENGTH:
        raise fault.bad_key()
    try:
        # Looked up by its hash, so that timing reveals nothing about the key.
        caller = await deps.keys.caller(hash_key(key.decode("latin-1")))
    except KeysUnavailable as error:
        log.warning("keys unavailable", reason=type(error.__cause__).__name__)
        raise fault.unavailable(2) from error
    if caller is None:
        raise fault.bad_key()
    deps.key_uses.seen(caller)
    return caller
