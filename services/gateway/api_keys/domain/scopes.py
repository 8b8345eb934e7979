"""The scopes that a key may be granted: no more than its issuer holds.

The command line may grant any scope: its user has the database anyway.
"""

from collections.abc import Iterable
from typing import Final

from libs.errors import Refused
from services.gateway.accounts.domain.realm import PLATFORM, SCOPES, Realm, scopes_of
from services.gateway.doors.domain.doors import DOORS

KEYS: Final = "keys:*"
"""The scope to issue and revoke keys."""

GRANTABLE: Final = frozenset(
    {rule.scope for door in DOORS for rule in door.rules if rule.scope is not None}
    | {
        scope
        for realm, role in SCOPES
        if realm != Realm.PLATFORM
        for scope in scopes_of(realm, role)
    }
)


class ScopeUnfit(Refused):
    """A key cannot be given one of these scopes."""


class TenantUnfit(Refused):
    """Keys of another tenant are not yours to manage."""


def check_scopes(scopes: Iterable[str], *, kind: str, own: frozenset[str]) -> None:
    """Raise ScopeUnfit for a scope that is not grantable, or that the caller does not hold.

    `kind` is the caller's realm, `own` their scopes. The platform's administrators may grant every
    grantable scope.
    """
    allowed = GRANTABLE if kind == Realm.PLATFORM else GRANTABLE & own
    if not allowed.issuperset(scopes):
        raise ScopeUnfit


def tenant_for(*, kind: str, own: str, requested: str | None, default: str) -> str:
    """The tenant whose keys a caller manages: their own one.

    The platform's administrators may request any tenant, by default `default`. Raises TenantUnfit.
    """
    if kind == Realm.PLATFORM:
        # The tenant `platform` holds accounts, and no keys.
        if requested == PLATFORM:
            raise TenantUnfit
        return requested or default
    if requested not in (None, own):
        raise TenantUnfit
    return own
