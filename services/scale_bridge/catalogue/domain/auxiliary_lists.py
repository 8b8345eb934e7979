"""Auxiliary lists (messages, categories, templates): what to send, and what is still missing.

Messages are many and long, and scales merge them one by one (§3). The other lists are short. What a
scale keeps by itself (lots, rates, and what we do not know) is sent if it differs, but is no reason
to say that an upload failed: it is not changed here.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, TypeAlias

from services.scale_bridge.catalogue.domain.difference import WHOLE, Difference, by_id, difference
from services.scale_bridge.driver.domain.document import Document, products, text_of

MESSAGES: Final = "messages"
DISPLAYED: Final[Mapping[str, tuple[str, ...]]] = {
    MESSAGES: ("value",),
    "categories": ("name", "number"),
    "labelTemplates": ("name", "width", "height"),
}
"""What counts of an entry."""

Entry: TypeAlias = Mapping[str, Any]
EntryKey: TypeAlias = tuple[str, str]
"""The name of a list, and the id of an entry in it."""


def with_messages(patch: Document, found: Difference) -> Document:
    """The same, but of the messages only those that a scale needs; see `showing.differing`."""
    entries, changed = patch.get(MESSAGES), found.beside.get(MESSAGES, {})
    if by_id(MESSAGES, entries) is None or WHOLE in changed:
        return patch
    needed = {text_of(product.get("message")) for product in products(patch)} | changed.keys()
    some = [entry for entry in entries or () if text_of(entry.get("id")) in needed]
    gone = [_deleted(one.before) for one in changed.values() if one.after is None]
    if not some and not gone:
        return {name: value for name, value in patch.items() if name != MESSAGES}
    return {**patch, MESSAGES: [*some, *gone]}


def missing_entries(
    wanted: Mapping[str, Any],
    read: Mapping[str, Any],
    *,
    known: Mapping[str, Any] | None = None,
    gone: Collection[str] = (),
) -> frozenset[EntryKey]:
    """The entries that the scale, read just now, does not show as they are wanted.

    Of lists other than messages only what is wanted otherwise than the scale had it: `known`.
    `gone` are the messages that it must not show at all.
    """
    changed = {} if known is None else difference(known, wanted).beside
    bad = {
        (name, key)
        for name, counts in DISPLAYED.items()
        for key, entry, shown in _pairs(name, wanted, read)
        if name == MESSAGES or key in changed.get(name, ())
        if not _shows(shown, entry, counts)
    }
    there = by_id(MESSAGES, read.get(MESSAGES)) or {}
    return frozenset(bad | {(MESSAGES, key) for key in gone if not _is_deleted(there.get(key))})


def deleted_messages(patch: Mapping[str, Any] | None) -> frozenset[str]:
    """The ids of the messages that are sent to be forgotten."""
    entries = by_id(MESSAGES, (patch or {}).get(MESSAGES)) or {}
    return frozenset(key for key, entry in entries.items() if entry.get("deleted") is True)


def with_deletions(patch: Document, read: Mapping[str, Any], bad: Collection[EntryKey]) -> Document:
    """The same with messages to be forgotten that only the scale has."""
    mine = by_id(MESSAGES, patch.get(MESSAGES))
    theirs = by_id(MESSAGES, read.get(MESSAGES)) or {}
    left = [
        _deleted(entry)
        for key, entry in theirs.items()
        if (MESSAGES, key) in bad and key not in (mine or {})
    ]
    return {**patch, MESSAGES: [*(patch.get(MESSAGES) or ()), *left]} if left else patch


def _pairs(
    name: str, wanted: Mapping[str, Any], read: Mapping[str, Any]
) -> Iterator[tuple[str, Entry, Entry | None]]:
    """The entries of a list with what the scale shows; none if they cannot be told apart."""
    ours, theirs = by_id(name, wanted.get(name)), by_id(name, read.get(name))
    if ours is not None and theirs is not None:
        yield from ((key, entry, theirs.get(key)) for key, entry in ours.items())


def _shows(shown: Entry | None, wanted: Entry, counts: Collection[str]) -> bool:
    if _is_deleted(wanted) or shown is None or _is_deleted(shown):
        return _is_deleted(wanted) and _is_deleted(shown)
    return all(_same(shown.get(name), wanted[name]) for name in counts if name in wanted)


def _same(shown: object, wanted: object) -> bool:
    """No text, null and nothing at all are the same on a label."""
    return shown == wanted or (shown in (None, "") and wanted in (None, ""))


def _is_deleted(entry: Entry | None) -> bool:
    return entry is None or entry.get("deleted") is True


def _deleted(entry: Entry) -> Entry:
    return {**entry, "deleted": True}
