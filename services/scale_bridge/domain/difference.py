"""What makes one catalogue out of another, product by product."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.scale_bridge.domain.catalogue import Product, key_of, products, text_of

DERIVED: Final = frozenset({"shelfLifeInDays"})
"""What the scale computes by itself: no word of its about these counts (§3)."""
_TEXTUAL: Final = frozenset({"pluNumber", "code", "id"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One field of a product, before and after; None where there was or is none."""

    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What makes one catalogue out of another, by the products' keys (see `key_of`)."""

    added: Mapping[str, Product] = field(default_factory=dict)
    removed: Mapping[str, Product] = field(default_factory=dict)
    changed: Mapping[str, Mapping[str, Change]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def keys(self) -> frozenset[str]:
        """Every product that differs."""
        return frozenset({*self.added, *self.removed, *self.changed})


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any], *, ignored: Collection[str] = ()
) -> Difference:
    """What changed per product. Pass `DERIVED` as `ignored` to compare with what a scale says.

    PLU, code and id are compared as text, numbers by value: some firmware turns 1 into "1".
    """
    old = {key_of(product): product for product in products(before)}
    new = {key_of(product): product for product in products(after)}
    changed = {
        key: fields
        for key in old.keys() & new.keys()
        if (fields := _changes(old[key], new[key], ignored))
    }
    return Difference(
        added={key: product for key, product in new.items() if key not in old},
        removed={key: product for key, product in old.items() if key not in new},
        changed=changed,
    )


def _changes(old: Product, new: Product, ignored: Collection[str]) -> dict[str, Change]:
    return {
        name: Change(before=old.get(name), after=new.get(name))
        for name in (*old, *(name for name in new if name not in old))
        if name not in ignored and not _same(name, old.get(name), new.get(name))
    }


def _same(name: str, one: object, other: object) -> bool:
    if name in _TEXTUAL:
        return text_of(one) == text_of(other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)
