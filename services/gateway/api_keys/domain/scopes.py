"""The scopes that a key may be granted: no more than its issuer holds.

The command line is not held to it: whoever stands there reads the database anyhow.
"""

from collections.abc import Iterable
from typing import Final

from libs.errors import Refused
from services.gateway.accounts.domain.realm import PLATFORM, SCOPES, Realm, scopes_of
from services.gateway.doors.domain.doors import DOORS

KEYS: Final = "keys:*"
"""Who may give out keys and take them back."""

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
    """Raise ScopeUnfit for what nobody, or not this caller, may give.

    `kind` is the caller's realm, `own` their scopes: but for the platform's administrators nobody
    gives what they do not have.
    """
    allowed = GRANTABLE if kind == Realm.PLATFORM else GRANTABLE & own
    if not allowed.issuperset(scopes):
        raise ScopeUnfit


def tenant_for(*, kind: str, own: str, asked: str | None, default: str) -> str:
    """Whose keys are meant: the caller's own tenant's; the platform's administrators say whose.

    Raises TenantUnfit.
    """
    if kind == Realm.PLATFORM:
        # Under the platform's own name stand accounts, which no key belongs to.
        if asked == PLATFORM:
            raise TenantUnfit
        return asked or default
    if asked not in (None, own):
        raise TenantUnfit
    return own
