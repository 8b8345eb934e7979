"""Realms, roles, and the scopes of each role."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, Self

from libs.errors import Refused
from services.gateway.accounts.domain.shop_role import DEFAULTS, parse_shop_role

PLATFORM: Final = "platform"
"""The tenant of accounts, addresses and sessions in the log: an account may have roles in several
tenants. API keys are stored under their own tenant."""

SUPERADMIN: Final = "superadmin"
"""The highest role of the kiosks and the platform."""

KIOSK_ITSELF: Final = "kiosk"
"""The role of a kiosk itself. Its sessions last longer than those of people."""

BRIDGE: Final = "bridge"
"""The role of a scale bridge, the program that runs next to scales. Its sessions last as long as
those of a kiosk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RealmEntry:
    """The data of a realm.

    `roles` are the scopes by role. The last account with the `chief` role in a workspace cannot be
    removed or deactivated: only such an account can grant the role. `devices` are the roles of
    devices, with the kind by which settings name the lifetime of their access tokens.

    `session_days` and `access_minutes` are the defaults of the settings `session_days_<realm>` and
    `access_minutes_<realm>`; `most_access_minutes` is the largest value of the latter.

    The clients log in at `door`. `shares_paths`: another realm of this kind has routes at the same
    paths at the root, where the caller's token decides.
    """

    roles: Mapping[str, Iterable[str]] = field(default_factory=dict)
    chief: str | None = None
    devices: Mapping[str, str] = field(default_factory=dict)
    door: str = ""
    shares_paths: bool = False
    session_days: float = 1
    access_minutes: float = 30
    most_access_minutes: float = 60


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


NO_ROLES: Final = RealmEntry()


class Realm(StrEnum):
    """A product with logins of its own: one row each.

    What its clients send and read is in `services.gateway.realms`, in the package of its name. Of
    realms that share paths the first answers requests that name none.
    """

    entry: RealmEntry

    def __new__(cls, name: str, entry: RealmEntry = NO_ROLES) -> Self:
        """The realm of this name; `Realm(name)` looks it up."""
        realm = str.__new__(cls, name)
        realm._value_ = name
        realm.entry = entry
        return realm

    SHOP = (
        "shop",
        # spec shop §2.5; each scope is `shop:` and a key of the clients' permissions
        RealmEntry(
            roles={role: tuple(f"shop:{key}" for key in keys) for role, keys in DEFAULTS.items()},
            door="shop",
        ),
    )
    KIOSK = (
        "kiosk",
        RealmEntry(
            # spec kiosk §2.2; each member of staff has `kiosk:staff`, a kiosk itself `kiosk:device`
            roles={
                SUPERADMIN: _KIOSK_SUPERADMIN,
                "admin": _KIOSK_ADMIN,
                "staff": ("kiosk:staff",),
                "customer": ("kiosk:staff",),
                "externalKitchen": ("kiosk:staff", "kiosk:can_manage_kitchen"),
                "externalPostBox": ("kiosk:staff", "kiosk:can_verify_pickup"),
                KIOSK_ITSELF: ("kiosk:device",),
            },
            chief=SUPERADMIN,
            devices={KIOSK_ITSELF: "device"},
            door="kiosk",
            shares_paths=True,
            session_days=7,
        ),
    )
    CRM = (
        "crm",
        RealmEntry(
            # spec crm §10; supervisors also read the warehouse's scans, administrators correct them
            roles={
                "ADMIN": (
                    *(*_CRM_SUPERVISOR, "admin:*", "users:write", "audit:read"),
                    *("scan:read", "scan:remove"),
                ),
                "SUPERVISOR": (*_CRM_SUPERVISOR, "scan:read"),
                "ENGINEER": _CRM_ENGINEER,
            },
            chief="ADMIN",
            door="crm",
            shares_paths=True,
            session_days=14,
        ),
    )
    SCALES = (
        "scales",
        RealmEntry(
            roles={"user": ("scales:read", "scales:write"), BRIDGE: ("scales:bridge",)},
            devices={BRIDGE: "bridge"},
            door="scales",
            # The clients know no refresh: they log in for a day, as they always did.
            access_minutes=1440,
            most_access_minutes=10_080,
        ),
    )
    PLATFORM = (
        "platform",
        RealmEntry(
            roles={SUPERADMIN: ("accounts:*", "keys:*")}, chief=SUPERADMIN, access_minutes=10
        ),
    )


SCOPES: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    (realm, role): frozenset(scopes)
    for realm in Realm
    for role, scopes in realm.entry.roles.items()
}
"""The scopes of each role, by realm and role. A role that is missing does not exist."""


CHIEFS: Final[Mapping[str, str]] = {
    realm: realm.entry.chief for realm in Realm if realm.entry.chief is not None
}
"""The highest role by realm, for realms that protect the last account with it."""

DEVICES: Final[Mapping[tuple[str, str], str]] = {
    (realm, role): kind for realm in Realm for role, kind in realm.entry.devices.items()
}
"""The kind of device by realm and role."""


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


def scopes_of(realm: str, role: str) -> frozenset[str]:
    """The scopes of a role; empty if the realm has no such role (any more)."""
    if realm == Realm.SHOP:
        shop_role = parse_shop_role(role)
        return frozenset(f"shop:{key}" for key in (shop_role.allowed if shop_role else ()))
    return SCOPES.get((realm, role), frozenset())


def is_role(realm: str, role: str) -> bool:
    """Whether the realm has the role. A shop's role may list permissions: see `ShopRole.name`."""
    return (realm, role) in SCOPES or (realm == Realm.SHOP and parse_shop_role(role) is not None)


def roles_of(realm: Realm) -> frozenset[str]:
    """The names of a realm's roles."""
    return frozenset(role for at, role in SCOPES if at == realm)
