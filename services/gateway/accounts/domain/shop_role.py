"""A role in a shop: the role itself, its permissions, and whether it is active.

The name of a role in the realm `shop` encodes all three, so that every change is a `RoleGranted`
and ends sessions: `florist`, `florist orders,customers`, `florist off`, `courier - off`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from libs.errors import Refused

KEYS: Final = ("orders", "warehouse", "customers", "production", "settings", "users")
"""The permissions, as clients name them (spec shop §2.5)."""
ADMIN: Final = "admin"
FLORIST: Final = "florist"
DEFAULTS: Final[Mapping[str, frozenset[str]]] = {
    ADMIN: frozenset(KEYS),
    "manager": frozenset(KEYS) - {"users"},
    FLORIST: frozenset({"orders", "production"}),
    "courier": frozenset({"orders"}),
}
"""The default permissions by role, highest role first."""
OFF: Final = "off"
NOTHING: Final = "-"


class PermissionUnknown(Refused):
    """The shop has no such permission."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopRole:
    """A role in a shop. `keys` are its permissions; None for the role's defaults."""

    role: str
    keys: frozenset[str] | None = None
    active: bool = True

    @property
    def permissions(self) -> Mapping[str, bool]:
        """Every permission, and whether the role has it."""
        held = DEFAULTS[self.role] if self.keys is None else self.keys
        return {key: key in held for key in KEYS}

    @property
    def allowed(self) -> frozenset[str]:
        """The permissions that apply; none if the role is not active."""
        return frozenset(key for key, may in self.permissions.items() if may and self.active)

    @property
    def name(self) -> str:
        """The name of the role in events; equal roles have equal names."""
        words = [self.role]
        if self.keys is not None and self.keys != DEFAULTS[self.role]:
            words.append(",".join(key for key in KEYS if key in self.keys) or NOTHING)
        return " ".join(words if self.active else [*words, OFF])


def parse_shop_role(name: str) -> ShopRole | None:
    """Parse a role's name; None unless `ShopRole.name` gives that name."""
    role, *words = name.split(" ")
    active = words[-1:] != [OFF]
    more = words if active else words[:-1]
    if role not in DEFAULTS or len(more) > 1:
        return None
    keys = frozenset() if more == [NOTHING] else frozenset(more[0].split(",")) if more else None
    if keys is not None and not keys <= DEFAULTS[ADMIN]:
        return None
    shop_role = ShopRole(role=role, keys=keys, active=active)
    return shop_role if shop_role.name == name else None


def allowed_after(shop_role: ShopRole, changes: Mapping[str, bool]) -> ShopRole:
    """The role with permissions granted (True) or revoked (False). Raises PermissionUnknown."""
    if not changes.keys() <= DEFAULTS[ADMIN]:
        raise PermissionUnknown
    permissions = {**shop_role.permissions, **changes}
    keys = frozenset(key for key, may in permissions.items() if may)
    return ShopRole(role=shop_role.role, keys=keys, active=shop_role.active)


def rank(shop_role: ShopRole) -> int:
    """The position of the role, 0 for the highest."""
    return list(DEFAULTS).index(shop_role.role)


def within(shop_role: ShopRole, keys: Collection[str]) -> bool:
    """Whether `keys` include all permissions of the role, even if it is not active."""
    return all(key in keys for key, may in shop_role.permissions.items() if may)
