"""Read-back comparison: what a scale must be sent, and whether it shows a catalogue."""

from collections.abc import Collection, Mapping
from typing import Any

from services.scale_bridge.catalogue.domain.auxiliary_lists import missing_entries, with_messages
from services.scale_bridge.catalogue.domain.difference import DERIVED, difference
from services.scale_bridge.catalogue.domain.displayed_fields import COUNTS, displayed_fields
from services.scale_bridge.driver.domain.document import (
    Document,
    Product,
    by_key,
    is_deleted,
    products,
    select,
)


def differing(known: Mapping[str, Any] | None, wanted: Document) -> Document | None:
    """What a scale that holds `known` must be sent, None if nothing; all of it if that is unknown.

    What is wanted no more goes along, marked as deleted (§3); of messages go those that differ and
    those that the products refer to, and what else stands beside the products goes as a whole.
    """
    if known is None:
        return wanted
    found = difference(known, wanted, ignored=DERIVED)
    if not found:
        return None
    gone = [{**product, "deleted": True} for product in found.removed.values()]
    some = select(wanted, found.added.keys() | found.changed.keys())
    return with_messages({**some, "products": [*products(some), *gone]}, found)


def wrong(
    wanted: Mapping[str, Any], read: Mapping[str, Any], *, gone: Collection[str] = ()
) -> frozenset[str]:
    """The keys of products that the scale, read just now, does not show as they are wanted.

    `gone` are those that it must not show at all. A field that is not wanted may be anything.
    """
    shown = by_key(read)
    bad = {key for key, item in by_key(wanted).items() if not _shows(shown.get(key), item)}
    return frozenset(bad | (shown.keys() & set(gone)))


def shows(wanted: Mapping[str, Any], read: Mapping[str, Any]) -> bool:
    """Whether a scale, read just now, shows a catalogue with everything that is beside it."""
    return not wrong(wanted, read) and not missing_entries(wanted, read)


def extra(wanted: Mapping[str, Any], read: Mapping[str, Any]) -> frozenset[str]:
    """The keys of products that only the scale has."""
    return frozenset(by_key(read).keys() - by_key(wanted).keys())


def _shows(shown: Product | None, wanted: Product) -> bool:
    if is_deleted(wanted):
        return shown is None or is_deleted(shown)
    if shown is None or is_deleted(shown):
        return False
    now, then = displayed_fields(shown), displayed_fields(wanted)
    return all(now.get(name) == then.get(name) for name in COUNTS if name in wanted)
