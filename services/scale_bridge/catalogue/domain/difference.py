"""What makes one catalogue out of another: product by product, and what is beside the products."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.scale_bridge.driver.domain.document import Product, by_key, text_of

IDS: Final[Mapping[str, str]] = {
    "categories": "idCategory",
    "labelTemplates": "id",
    "lotsOfProduct": "id",
    "messages": "id",
}
"""By which of their keys entries of the lists beside the products are told apart (§3)."""
WHOLE: Final = ""
"""Instead of an entry's id, where entries cannot be told apart: all of it differs."""

DERIVED: Final = frozenset({"shelfLifeInDays"})
"""What the scale computes by itself: no word of its about these counts (§3)."""
_TEXTUAL: Final = frozenset({"pluNumber", "code", "id", "idCategory", "productCode"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One field of a product, or an entry, before and after; None where there was or is none."""

    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What makes one catalogue out of another, by the products' keys (see `key_of`).

    `beside` is by the name of the list and the entry's id, or `WHOLE`.
    """

    added: Mapping[str, Product] = field(default_factory=dict)
    removed: Mapping[str, Product] = field(default_factory=dict)
    changed: Mapping[str, Mapping[str, Change]] = field(default_factory=dict)
    beside: Mapping[str, Mapping[str, Change]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.beside)

    @property
    def keys(self) -> frozenset[str]:
        """Every product that differs."""
        return frozenset({*self.added, *self.removed, *self.changed})


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any], *, ignored: Collection[str] = ()
) -> Difference:
    """What changed. Pass `DERIVED` as `ignored` to compare with what a scale says.

    PLU, code and id are compared as text, numbers by value: some firmware turns 1 into "1". In
    which order entries stand does not matter.
    """
    old, new = by_key(before), by_key(after)
    changed = {
        key: fields
        for key in old.keys() & new.keys()
        if (fields := _changes(old[key], new[key], ignored))
    }
    return Difference(
        added={key: product for key, product in new.items() if key not in old},
        removed={key: product for key, product in old.items() if key not in new},
        changed=changed,
        beside=_beside(before, after),
    )


def by_id(name: str, entries: object) -> Mapping[str, Mapping[str, Any]] | None:
    """A list beside the products by its entries' ids; None if they cannot be told apart."""
    if entries is None:
        return {}
    if name not in IDS or not isinstance(entries, list):
        return None
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        key = text_of(entry.get(IDS[name])) if isinstance(entry, Mapping) else None
        if key is None:
            return None
        found[key] = entry
    return found


def _beside(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Mapping[str, Mapping[str, Change]]:
    names = (*before, *(name for name in after if name not in before))
    found = {
        name: _apart(name, before.get(name), after.get(name))
        for name in names
        if name != "products"
    }
    return {name: changes for name, changes in found.items() if changes}


def _apart(name: str, old: object, new: object) -> Mapping[str, Change]:
    was, now = by_id(name, old), by_id(name, new)
    if was is None or now is None:
        return {} if old == new else {WHOLE: Change(before=old, after=new)}
    return {
        key: Change(before=was.get(key), after=now.get(key))
        for key in (*was, *(key for key in now if key not in was))
        if key not in was or key not in now or _changes(was[key], now[key], ())
    }


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
