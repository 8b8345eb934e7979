"""Read-back comparison: what a scale must be sent, and whether it displays a catalogue."""

from collections.abc import Collection, Mapping
from typing import Any

from services.scale_bridge.catalogue.domain.auxiliary_lists import missing_entries, with_messages
from services.scale_bridge.catalogue.domain.difference import DERIVED, difference
from services.scale_bridge.catalogue.domain.displayed_fields import (
    DISPLAYED_FIELDS,
    displayed_fields,
)
from services.scale_bridge.driver.domain.document import (
    Document,
    Product,
    by_key,
    is_deleted,
    products,
    select,
)


def differing(known: Mapping[str, Any] | None, desired: Document) -> Document | None:
    """The patch for a scale that holds `known`; None if nothing differs.

    If it is unknown what the scale holds, the patch is the whole catalogue. Removed products are
    sent marked as deleted (§3). Of the messages only those that changed, or that the sent products
    refer to, are included; other lists as a whole.
    """
    if known is None:
        return desired
    changes = difference(known, desired, ignored=DERIVED)
    if not changes:
        return None
    deletions = [{**product, "deleted": True} for product in changes.removed.values()]
    patch = select(desired, changes.added.keys() | changes.changed.keys())
    return with_messages({**patch, "products": [*products(patch), *deletions]}, changes)


def wrong(
    desired: Mapping[str, Any], read: Mapping[str, Any], *, gone: Collection[str] = ()
) -> frozenset[str]:
    """The keys of products that the scale, in the catalogue just `read`, does not show as desired.

    `gone` are the keys of products that it must not have. Fields that are absent in the desired
    product are not compared.
    """
    held = by_key(read)
    bad = {key for key, item in by_key(desired).items() if not _displays(held.get(key), item)}
    return frozenset(bad | (held.keys() & set(gone)))


def shows(desired: Mapping[str, Any], read: Mapping[str, Any]) -> bool:
    """Whether the catalogue just `read` displays the desired products and auxiliary lists."""
    return not wrong(desired, read) and not missing_entries(desired, read)


def extra(desired: Mapping[str, Any], read: Mapping[str, Any]) -> frozenset[str]:
    """The keys of products that only the scale has."""
    return frozenset(by_key(read).keys() - by_key(desired).keys())


def _displays(held: Product | None, desired: Product) -> bool:
    if is_deleted(desired):
        return held is None or is_deleted(held)
    if held is None or is_deleted(held):
        return False
    now, then = displayed_fields(held), displayed_fields(desired)
    return all(now.get(name) == then.get(name) for name in DISPLAYED_FIELDS if name in desired)
