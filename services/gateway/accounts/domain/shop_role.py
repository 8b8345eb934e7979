"""A role in a shop: permissions other than the usual ones, and whether it is switched off.

A role's name in the realm `shop` says it all, so that every change of it is told and ends the
sessions it changed: `florist`, `florist orders,customers`, `florist off`, `courier - off`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from libs.errors import Refused

KEYS: Final = ("orders", "warehouse", "customers", "production", "settings", "users")
"""What the clients call permissions (spec shop §2.5)."""
ADMIN: Final = "admin"
FLORIST: Final = "florist"
DEFAULTS: Final[Mapping[str, frozenset[str]]] = {
    ADMIN: frozenset(KEYS),
    "manager": frozenset(KEYS) - {"users"},
    FLORIST: frozenset({"orders", "production"}),
    "courier": frozenset({"orders"}),
}
"""What each role may do, unless they are told otherwise; the first is the most."""
OFF: Final = "off"
NOTHING: Final = "-"


class PermissionUnknown(Refused):
    """The shop has no such permission."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopRole:
    """A role in a shop. `keys` are None as long as they are the role's own."""

    role: str
    keys: frozenset[str] | None = None
    active: bool = True

    @property
    def permissions(self) -> Mapping[str, bool]:
        """Every key, and whether it is theirs."""
        held = DEFAULTS[self.role] if self.keys is None else self.keys
        return {key: key in held for key in KEYS}

    @property
    def allowed(self) -> frozenset[str]:
        """What they may do now."""
        return frozenset(key for key, may in self.permissions.items() if may and self.active)

    @property
    def name(self) -> str:
        """As the name of a role: the same for the same standing."""
        words = [self.role]
        if self.keys is not None and self.keys != DEFAULTS[self.role]:
            words.append(",".join(key for key in KEYS if key in self.keys) or NOTHING)
        return " ".join(words if self.active else [*words, OFF])


def parse_shop_role(name: str) -> ShopRole | None:
    """What a role's name says; None if it is not one that `ShopRole.name` makes."""
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


def allowed_after(shop_role: ShopRole, said: Mapping[str, bool]) -> ShopRole:
    """The standing with these permissions given or taken. Raises PermissionUnknown."""
    if not said.keys() <= DEFAULTS[ADMIN]:
        raise PermissionUnknown
    permissions = {**shop_role.permissions, **said}
    keys = frozenset(key for key, may in permissions.items() if may)
    return ShopRole(role=shop_role.role, keys=keys, active=shop_role.active)


def rank(shop_role: ShopRole) -> int:
    """0 for who may do the most."""
    return list(DEFAULTS).index(shop_role.role)


def within(shop_role: ShopRole, keys: Collection[str]) -> bool:
    """Whether all that somebody of this standing may do, were they active, is among `keys`."""
    return all(key in keys for key, may in shop_role.permissions.items() if may)
