"""The difference between two catalogues: product by product, and list by list (§3)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.scale_bridge.driver.domain.document import Product, by_key, text_of

MESSAGES: Final = "messages"
CATEGORIES: Final = "categories"
TEMPLATES: Final = "labelTemplates"
IDS: Final[Mapping[str, str]] = {
    CATEGORIES: "idCategory",
    TEMPLATES: "id",
    "lotsOfProduct": "id",
    MESSAGES: "id",
}
"""The field that identifies an entry, by the name of an auxiliary list (§3)."""
WHOLE: Final = ""
"""Instead of the id of an entry, where entries have no ids: the whole list differs."""

DERIVED: Final = frozenset({"shelfLifeInDays"})
"""Fields that scales compute (§3)."""
_TEXTUAL: Final = frozenset({"pluNumber", "code", "id", "idCategory", "productCode"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldChange:
    """A field of a product, or an entry of a list, before and after; None where it is absent."""

    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The changes from one catalogue to another, by the products' keys (see `key_of`).

    `lists` holds the changes of auxiliary lists, by list and then by the entry's id, or `WHOLE`.
    """

    added: Mapping[str, Product] = field(default_factory=dict)
    removed: Mapping[str, Product] = field(default_factory=dict)
    changed: Mapping[str, Mapping[str, FieldChange]] = field(default_factory=dict)
    lists: Mapping[str, Mapping[str, FieldChange]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.lists)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all products that differ."""
        return frozenset({*self.added, *self.removed, *self.changed})


def difference(
    before: Mapping[str, Any], after: Mapping[str, Any], *, ignored: Collection[str] = ()
) -> Difference:
    """The changes between two valid catalogues. Pass `DERIVED` as `ignored` for one of a scale.

    PLU, code and id are compared as text, numbers by value: some firmware turns 1 into "1". The
    order of entries is ignored.
    """
    old, new = by_key(before), by_key(after)
    changed = {
        key: fields
        for key in old.keys() & new.keys()
        if (fields := _field_changes(old[key], new[key], ignored))
    }
    return Difference(
        added={key: product for key, product in new.items() if key not in old},
        removed={key: product for key, product in old.items() if key not in new},
        changed=changed,
        lists=_list_changes(before, after),
    )


def by_id(name: str, entries: object) -> Mapping[str, Mapping[str, Any]] | None:
    """The entries of an auxiliary list by their ids; None if one has no id."""
    if entries is None:
        return {}
    if name not in IDS or not isinstance(entries, list):
        return None
    known: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        key = text_of(entry.get(IDS[name])) if isinstance(entry, Mapping) else None
        if key is None:
            return None
        known[key] = entry
    return known


def has_id(entry: object, message: str) -> bool:
    """Whether an entry of the messages has this id, as text."""
    return isinstance(entry, dict) and text_of(entry.get(IDS[MESSAGES])) == message


def _list_changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Mapping[str, Mapping[str, FieldChange]]:
    names = (*before, *(name for name in after if name not in before))
    changes = {
        name: _entry_changes(name, before.get(name), after.get(name))
        for name in names
        if name != "products"
    }
    return {name: entries for name, entries in changes.items() if entries}


def _entry_changes(name: str, old: object, new: object) -> Mapping[str, FieldChange]:
    was, now = by_id(name, old), by_id(name, new)
    if was is None or now is None:
        return {} if old == new else {WHOLE: FieldChange(before=old, after=new)}
    return {
        key: FieldChange(before=was.get(key), after=now.get(key))
        for key in (*was, *(key for key in now if key not in was))
        if key not in was or key not in now or _field_changes(was[key], now[key], ())
    }


def _field_changes(old: Product, new: Product, ignored: Collection[str]) -> dict[str, FieldChange]:
    return {
        name: FieldChange(before=old.get(name), after=new.get(name))
        for name in (*old, *(name for name in new if name not in old))
        if name not in ignored and not _same(name, old.get(name), new.get(name))
    }


def _same(name: str, one: object, other: object) -> bool:
    if name in _TEXTUAL:
        return text_of(one) == text_of(other)
    return one == other and isinstance(one, bool) == isinstance(other, bool)
