"""Who stands at a door, whether they may pass, and how the service behind is told of them."""

from collections.abc import Mapping
from typing import Final

import structlog

from libs.http.client import trace_headers
from libs.security.api_keys import hash_key
from services.gateway.adapters.headers import RawHeaders, forwarded
from services.gateway.adapters.known_keys import KeysUnavailable
from services.gateway.api import fault
from services.gateway.api.peer import Peer
from services.gateway.deps import Deps
from services.gateway.domain.caller import Caller
from services.gateway.domain.door import Found

MAX_KEY_LENGTH: Final = 512

log = structlog.get_logger(__name__)


async def admitted(
    deps: Deps, found: Found, headers: Mapping[bytes, bytes], peer: Peer
) -> Caller | None:
    """Who may pass, counted against the limit of the route; None where everybody may.

    Raises Fault. Nothing of the body is needed: what is refused here was not stored, not even in
    part.
    """
    caller = await identified(deps, found, headers)
    if caller is not None:
        limit, key = found.rule.limit, str(caller.subject)
        if over := await deps.limits.hit(limit, key=key, address=peer.address):
            policy = f'"{over.name}";q={over.quota};w={over.window_seconds}'
            raise fault.too_many(policy, over.retry_after)
    return caller


async def identified(deps: Deps, found: Found, headers: Mapping[bytes, bytes]) -> Caller | None:
    """Who may pass, or None where everybody may. Raises Fault."""
    scope = found.rule.scope
    if scope is None:
        return None
    caller = await _caller(deps, headers.get(b"x-api-key", b""))
    if scope not in caller.scopes:
        raise fault.forbidden()
    return caller


def introduced(
    deps: Deps, found: Found, headers: RawHeaders, caller: Caller | None, peer: Peer
) -> list[tuple[str, str]]:
    """What the service is told: the client's own headers, and what we know of the client."""
    told = forwarded(headers)
    told += [
        ("X-Forwarded-For", peer.chain),
        ("X-Forwarded-Proto", peer.proto),
        ("X-Forwarded-Host", peer.host),
    ]
    if caller is not None:
        told.append(("Authorization", deps.passes.bearer(caller, found.door.service)))
    return told + list(trace_headers().items())


async def _caller(deps: Deps, key: bytes) -> Caller:
    if not key or len(key) > MAX_KEY_LENGTH:
        raise fault.bad_key()
    try:
        # By its hash, in a lookup that no timing can turn into a hint about the key.
        caller = await deps.keys.caller(hash_key(key.decode("latin-1")))
    except KeysUnavailable as unknown:
        log.warning("keys unavailable", reason=type(unknown.__cause__).__name__)
        raise fault.unavailable(2) from unknown
    if caller is None:
        raise fault.bad_key()
    deps.key_uses.seen(caller)
    return caller
