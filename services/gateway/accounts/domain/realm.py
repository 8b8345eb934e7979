"""Realms, roles, and the scopes of each role."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from libs.errors import Refused
from services.gateway.accounts.domain.shop_role import DEFAULTS, parse_shop_role

PLATFORM: Final = "platform"
"""The tenant of accounts, addresses and sessions in the log: an account may have roles in several
tenants. API keys are stored under their own tenant."""

SUPERADMIN: Final = "superadmin"
"""The highest role of the kiosks and the platform: see `CHIEFS`."""

DEVICE: Final = "kiosk"
"""The role of a kiosk itself. Its sessions last longer than those of people."""

BRIDGE: Final = "bridge"
"""The role of a scale bridge, the program that runs next to scales. Its sessions last as long as
those of a kiosk."""


class Realm(StrEnum):
    """A product with logins of its own."""

    SCALES = "scales"
    CRM = "crm"
    SHOP = "shop"
    KIOSK = "kiosk"
    PLATFORM = "platform"


class RoleUnknown(Refused):
    """The realm has no such role."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """One realm of one tenant: accounts have roles, sessions and offers in a workspace.

    In the realm `platform` the tenant is `PLATFORM`.
    """

    realm: str
    tenant: str


PLATFORM_WORKSPACE: Final = Workspace(Realm.PLATFORM, PLATFORM)
"""The workspace of the platform's administrators."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role in a workspace. An account has one role per workspace at most."""

    workspace: Workspace
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """The `lifetime` of a session without a refresh, and the `grace` in which a refresh token that
    was used may be used again."""

    lifetime: timedelta
    grace: timedelta


_CRM_ENGINEER: Final = (
    "objects:read",
    "visits:read",
    "visits:write",
    "customers:read",
    "customers:write",
)
_CRM_SUPERVISOR: Final = (
    *_CRM_ENGINEER,
    "objects:write",
    "users:read",
    "reports:read",
    "reports:write",
)
_KIOSK_ADMIN: Final = (
    "kiosk:staff",
    "kiosk:can_manage_inventory",
    "kiosk:can_manage_devices",
    "kiosk:can_view_reports",
    "kiosk:can_view_orders",
    "kiosk:can_manage_kitchen",
)
_KIOSK_SUPERADMIN: Final = (
    *_KIOSK_ADMIN,
    "kiosk:can_create_users",
    "kiosk:can_manage_users",
    "kiosk:can_delete_users",
    "kiosk:can_manage_roles",
    "kiosk:can_manage_settings",
    "kiosk:can_manage_branches",
    "kiosk:can_refund",
    "kiosk:full_system_access",
)


def _shop_scopes(keys: Iterable[str]) -> frozenset[str]:
    return frozenset(f"shop:{key}" for key in keys)


SCOPES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    (realm, role): frozenset(scopes)
    for realm, role, scopes in (
        (Realm.SCALES, "user", ("scales:read", "scales:write")),
        (Realm.SCALES, BRIDGE, ("scales:bridge",)),
        # spec crm §10; supervisors also read the warehouse's scans, administrators correct them
        (
            Realm.CRM,
            "ADMIN",
            (
                *(*_CRM_SUPERVISOR, "admin:*", "users:write", "audit:read"),
                *("scan:read", "scan:remove"),
            ),
        ),
        (Realm.CRM, "SUPERVISOR", (*_CRM_SUPERVISOR, "scan:read")),
        (Realm.CRM, "ENGINEER", _CRM_ENGINEER),
        # spec shop §2.5; each scope is `shop:` and a key of the clients' permissions
        *((Realm.SHOP, role, _shop_scopes(keys)) for role, keys in DEFAULTS.items()),
        # spec kiosk §2.2; every member of staff has `kiosk:staff`, a kiosk itself `kiosk:device`
        (Realm.KIOSK, SUPERADMIN, _KIOSK_SUPERADMIN),
        (Realm.KIOSK, "admin", _KIOSK_ADMIN),
        (Realm.KIOSK, "staff", ("kiosk:staff",)),
        (Realm.KIOSK, "customer", ("kiosk:staff",)),
        (Realm.KIOSK, "externalKitchen", ("kiosk:staff", "kiosk:can_manage_kitchen")),
        (Realm.KIOSK, "externalPostBox", ("kiosk:staff", "kiosk:can_verify_pickup")),
        (Realm.KIOSK, DEVICE, ("kiosk:device",)),
        (Realm.PLATFORM, SUPERADMIN, ("accounts:*", "keys:*")),
    )
}
"""The scopes of each role, by realm and role. A role that is missing does not exist."""


CHIEFS: Final[Mapping[str, str]] = {
    Realm.CRM: "ADMIN",
    Realm.KIOSK: SUPERADMIN,
    Realm.PLATFORM: SUPERADMIN,
}
"""The highest role by realm. The last account with it in a workspace cannot be removed or
deactivated: only such an account can grant the role."""


def scopes_of(realm: str, role: str) -> frozenset[str]:
    """The scopes of a role; empty if the realm has no such role (any more)."""
    if realm == Realm.SHOP:
        shop_role = parse_shop_role(role)
        return _shop_scopes(shop_role.allowed if shop_role else ())
    return SCOPES.get((realm, role), frozenset())


def is_role(realm: str, role: str) -> bool:
    """Whether the realm has the role. A shop's role may list permissions: see `ShopRole.name`."""
    return (realm, role) in SCOPES or (realm == Realm.SHOP and parse_shop_role(role) is not None)


def roles_of(realm: Realm) -> frozenset[str]:
    """The names of a realm's roles."""
    return frozenset(role for at, role in SCOPES if at == realm)
