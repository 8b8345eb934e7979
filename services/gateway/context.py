"""The dependencies of the gateway's routes and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from fastapi import Depends, Request

from contracts.gateway import GatewayEvent
from libs.eventsourcing.store import EventStore
from libs.http.auth import TokenVerifier
from libs.http.revocations import Revocations
from libs.postgres.pool import Pool
from libs.projections.consistency import Consistency
from libs.security.tokens import KeyRing
from libs.telemetry.traces import Telemetry

if TYPE_CHECKING:
    from services.gateway.accounts.handlers.identity import Identity
    from services.gateway.api_keys.stores.key_uses import KeyUses
    from services.gateway.api_keys.stores.known_keys import KnownKeys
    from services.gateway.doors.domain.door import Door
    from services.gateway.doors.stores import Limits
    from services.gateway.proxy.adapters.internal_tokens import InternalTokenIssuer
    from services.gateway.proxy.adapters.upstream import Upstream
    from services.gateway.sessions.adapters.access_tokens import AccessTokens
    from services.gateway.settings import Settings
    from services.gateway.telegram.handlers.one_time_code import CodeContext


@dataclass(frozen=True, kw_only=True, slots=True)
class Deps:
    """What routes and commands need. `pool` is in system scope: a key determines its tenant.

    `upstreams` are by service. `verifier` checks access tokens, of local routes and at the doors.
    """

    settings: Settings
    pool: Pool
    store: EventStore[GatewayEvent]
    consistency: Consistency
    doors: tuple[Door, ...]
    keys: KnownKeys
    key_uses: KeyUses
    internal_tokens: InternalTokenIssuer
    access_tokens: AccessTokens
    limits: Limits
    upstreams: Mapping[str, Upstream]
    signing_keys: KeyRing
    verifier: TokenVerifier
    revocations: Revocations
    identity: Identity
    code_context: CodeContext
    webhook_secret: str | None
    telemetry: Telemetry


async def running(request: Request) -> Deps:
    """The dependencies of the running app."""
    deps: Deps = request.app.state.deps
    return deps


Gateway = Annotated[Deps, Depends(running)]
OpenDeps: TypeAlias = Callable[[], AbstractAsyncContextManager[Deps]]
