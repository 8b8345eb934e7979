"""What to send so that a scale shows a catalogue, and whether it does by now."""

from collections.abc import Collection, Mapping
from typing import Any

from services.scale_bridge.domain.beside import with_messages
from services.scale_bridge.domain.catalogue import Document, Product, key_of, only, products
from services.scale_bridge.domain.difference import DERIVED, difference
from services.scale_bridge.domain.shown import COUNTS, shown_of


def differing(known: Mapping[str, Any] | None, wanted: Document) -> Document | None:
    """What a scale that holds `known` must be sent, None if nothing; all of it if nobody knows.

    What is wanted no more goes along, marked as deleted (§3); of messages go those that differ and
    those that the products refer to, and what else stands beside the products goes as a whole.
    """
    if known is None:
        return wanted
    found = difference(known, wanted, ignored=DERIVED)
    if not found:
        return None
    gone = [{**product, "deleted": True} for product in found.removed.values()]
    some = only(wanted, found.added.keys() | found.changed.keys())
    return with_messages({**some, "products": [*products(some), *gone]}, found)


def wrong(
    wanted: Mapping[str, Any], read: Mapping[str, Any], *, gone: Collection[str] = ()
) -> frozenset[str]:
    """The keys of products that the scale, read just now, does not show as they are wanted.

    `gone` are those that it must not show at all. A field that is not wanted may be anything.
    """
    shown = {key_of(product): product for product in products(read)}
    bad = {key_of(p) for p in products(wanted) if not _shows(shown.get(key_of(p)), p)}
    return frozenset(bad | (shown.keys() & set(gone)))


def extra(wanted: Mapping[str, Any], read: Mapping[str, Any]) -> frozenset[str]:
    """The keys of products that only the scale has."""
    keys = {key_of(product) for product in products(wanted)}
    return frozenset(key for product in products(read) if (key := key_of(product)) not in keys)


def _shows(shown: Product | None, wanted: Product) -> bool:
    if shown is None:
        return False
    now, then = shown_of(shown), shown_of(wanted)
    return all(now.get(name) == then.get(name) for name in COUNTS if name in wanted)
