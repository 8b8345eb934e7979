"""Realms, roles, and the scopes of each role."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from libs.errors import Refused
from services.gateway.accounts.domain.shop_role import DEFAULTS, parse_shop_role

PLATFORM: Final = "platform"
"""The tenant that accounts, addresses and sessions stand under in the log: one person may act in
several tenants. API keys stand under their own."""

SUPERADMIN: Final = "superadmin"
"""The role that no place may be left without, once somebody held it there."""

DEVICE: Final = "kiosk"
"""The role of a kiosk itself, which stays in for longer than people do."""

BRIDGE: Final = "bridge"
"""The role of the program beside some scales, which stays in as long as a kiosk."""


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
class Place:
    """Where a role counts: a realm of one tenant. In the realm `platform` that is `PLATFORM`."""

    realm: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Role:
    """What somebody is somewhere; one role per place."""

    place: Place
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """How long a session lasts without a refresh, and how long an answer may have been lost."""

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
        # spec crm §10; and supervisors watch the warehouse's boxes fill up, administrators mend
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
        # spec kiosk §2.2; `kiosk:staff` is what every member of staff may, `kiosk:device` a kiosk
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
"""What each role of a realm may do, and thereby which roles there are."""


CHIEFS: Final[Mapping[str, str]] = {
    Realm.CRM: "ADMIN",
    Realm.KIOSK: SUPERADMIN,
    Realm.PLATFORM: SUPERADMIN,
}
"""The role of a realm that no place is left without, for only its holders can give it to others."""


def scopes_of(realm: str, role: str) -> frozenset[str]:
    """What a role may do in its realm; nothing, if the realm has no such role (any more)."""
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
