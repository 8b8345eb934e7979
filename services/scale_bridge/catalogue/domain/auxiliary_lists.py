"""Auxiliary lists (messages, categories, templates): what to send, and what the scale lacks.

Messages are many and long, and scales merge them one by one (§3); the other lists are short and
sent as a whole. Lists the service does not edit (lots, rates, unknown ones) are sent if they
differ, but do not make an upload fail.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, TypeAlias

from services.scale_bridge.catalogue.domain.difference import (
    CATEGORIES,
    MESSAGES,
    TEMPLATES,
    WHOLE,
    Difference,
    by_id,
    difference,
)
from services.scale_bridge.driver.domain.document import Document, products, text_of

DISPLAYED: Final[Mapping[str, tuple[str, ...]]] = {
    MESSAGES: ("value",),
    CATEGORIES: ("name", "number"),
    TEMPLATES: ("name", "width", "height"),
}
"""The fields of an entry that are compared, by list."""

Entry: TypeAlias = Mapping[str, Any]
EntryKey: TypeAlias = tuple[str, str]
"""The name of a list, and the id of an entry in it."""


def with_messages(patch: Document, changes: Difference) -> Document:
    """The patch with only the messages that changed, or that its products refer to."""
    entries, changed = patch.get(MESSAGES), changes.lists.get(MESSAGES, {})
    if by_id(MESSAGES, entries) is None or WHOLE in changed:
        return patch
    needed = {text_of(product.get("message")) for product in products(patch)} | changed.keys()
    sent = [entry for entry in entries or () if text_of(entry.get("id")) in needed]
    deletions = [_deleted(one.before) for one in changed.values() if one.after is None]
    if not sent and not deletions:
        return {name: value for name, value in patch.items() if name != MESSAGES}
    return {**patch, MESSAGES: [*sent, *deletions]}


def missing_entries(
    desired: Mapping[str, Any],
    read: Mapping[str, Any],
    *,
    known: Mapping[str, Any] | None = None,
    gone: Collection[str] = (),
) -> frozenset[EntryKey]:
    """The entries that the scale, in the catalogue just `read`, does not hold as desired.

    For lists other than messages, only entries we changed since `known` are compared. `gone` are
    the ids of messages that the scale must not hold.
    """
    changed = {} if known is None else difference(known, desired).lists
    bad = {
        (name, key)
        for name, fields in DISPLAYED.items()
        for key, entry, held in _pairs(name, desired, read)
        if name == MESSAGES or key in changed.get(name, ())
        if not _displays(held, entry, fields)
    }
    present = by_id(MESSAGES, read.get(MESSAGES)) or {}
    return frozenset(bad | {(MESSAGES, key) for key in gone if not _is_deleted(present.get(key))})


def deleted_messages(patch: Mapping[str, Any] | None) -> frozenset[str]:
    """The ids of the messages that a patch deletes."""
    entries = by_id(MESSAGES, (patch or {}).get(MESSAGES)) or {}
    return frozenset(key for key, entry in entries.items() if entry.get("deleted") is True)


def with_deletions(patch: Document, read: Mapping[str, Any], bad: Collection[EntryKey]) -> Document:
    """The patch, with deletions of the bad messages that only the scale holds."""
    ours = by_id(MESSAGES, patch.get(MESSAGES)) or {}
    theirs = by_id(MESSAGES, read.get(MESSAGES)) or {}
    deletions = [
        _deleted(entry)
        for key, entry in theirs.items()
        if (MESSAGES, key) in bad and key not in ours
    ]
    return {**patch, MESSAGES: [*(patch.get(MESSAGES) or ()), *deletions]} if deletions else patch


def _pairs(
    name: str, desired: Mapping[str, Any], read: Mapping[str, Any]
) -> Iterator[tuple[str, Entry, Entry | None]]:
    """The entries of a list, each with the one on the scale; nothing if one has no id."""
    ours, theirs = by_id(name, desired.get(name)), by_id(name, read.get(name))
    if ours is not None and theirs is not None:
        yield from ((key, entry, theirs.get(key)) for key, entry in ours.items())


def _displays(held: Entry | None, desired: Entry, fields: Collection[str]) -> bool:
    if _is_deleted(desired) or held is None or _is_deleted(held):
        return _is_deleted(desired) and _is_deleted(held)
    return all(_same(held.get(name), desired[name]) for name in fields if name in desired)


def _same(one: object, other: object) -> bool:
    """Whether a label looks the same: an empty text, null and an absent field do."""
    return one == other or (one in (None, "") and other in (None, ""))


def _is_deleted(entry: Entry | None) -> bool:
    return entry is None or entry.get("deleted") is True


def _deleted(entry: Entry) -> Entry:
    return {**entry, "deleted": True}
