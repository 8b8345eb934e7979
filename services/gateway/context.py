"""What the gateway's routes and commands work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends

from contracts.gateway import GatewayEvent
from libs.process.context import ApiContext, running

if TYPE_CHECKING:
    from libs.security.tokens import KeyRing
    from services.gateway.accounts.handlers.identity import Identity
    from services.gateway.api_keys.stores.key_uses import KeyUses
    from services.gateway.api_keys.stores.known_keys import KnownKeys
    from services.gateway.doors.domain.door import Door
    from services.gateway.doors.stores import Limits
    from services.gateway.proxy.adapters.internal_tokens import InternalTokenIssuer
    from services.gateway.proxy.adapters.upstream import Upstream
    from services.gateway.sessions.adapters.access_tokens import AccessTokens
    from services.gateway.settings import Settings  # noqa: F401 -- named in the base class
    from services.gateway.telegram.handlers.one_time_code import CodeContext


@dataclass(frozen=True, kw_only=True)
class Deps(ApiContext["Settings", GatewayEvent]):
    """What routes and commands need. All queries see all tenants: a key determines its tenant.

    `upstreams` are by service. `verifier` checks access tokens, of local routes and at the doors.
    """

    doors: tuple[Door, ...]
    keys: KnownKeys
    key_uses: KeyUses
    internal_tokens: InternalTokenIssuer
    access_tokens: AccessTokens
    limits: Limits
    upstreams: Mapping[str, Upstream]
    signing_keys: KeyRing
    identity: Identity
    code_context: CodeContext


Gateway = Annotated[Deps, Depends(running)]
