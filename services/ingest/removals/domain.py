"""The removal of items: which scans can be removed, and the events (§2.5).

A scan stays in the log for ever; its removal is another fact. So a removed item stays removed,
even if its device sends it again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from contracts.ingest import ItemRemoved, RemovalRecorded, ScanRecorded
from services.ingest.scans.domain.scan import ITEM

Kind: TypeAlias = Literal["REMOVE", "BULK_REMOVE"]

DEFAULT_REASON: Final[dict[Kind, str]] = {
    "REMOVE": "Удалено через dashboard",
    "BULK_REMOVE": "Массовое удаление через dashboard",
}

LONGEST_REASON: Final = 1000
"""In characters. The fact of every removed item repeats the reason within the limits of Kafka."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedScan:
    """A scan in the log, its event id, and whether its removal is in the log."""

    scan: ScanRecorded
    recording: UUID
    removed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveItems:
    """The command to remove items; a repeat with the same `removal_id` gets the first result.

    An empty `reason` means the default of the kind.
    """

    removal_id: UUID
    kind: Kind
    operator: str
    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """The events of a removal: the audit, and one fact for each item."""

    audit: RemovalRecorded
    items: tuple[ItemRemoved, ...]


def decide(logged: Iterable[LoggedScan], command: RemoveItems) -> Removal | None:
    """The removal of the scans that are items and not removed yet, in their order; else None."""
    scans = [one.scan for one in logged if one.scan.kind == ITEM and not one.removed]
    if not scans:
        return None
    reason = command.reason or DEFAULT_REASON[command.kind]
    single = command.kind == "REMOVE"
    audit = RemovalRecorded(
        removal_id=command.removal_id,
        kind=command.kind,
        operator=command.operator,
        client=_shared(scan.client for scan in scans),
        city=_shared(scan.city for scan in scans),
        box=_shared(scan.box for scan in scans),
        code=scans[0].code if single else f"Удалено {len(scans)} товаров",
        reason=reason,
        removed=tuple(scan.scan_id for scan in scans),
        removed_at=command.at,
    )
    return Removal(audit=audit, items=tuple(_item(scan, audit) for scan in scans))


def latest(logged: Iterable[LoggedScan], *, box: str, code: str) -> Sequence[LoggedScan]:
    """The item of a code in a box that was scanned last and is not removed; none or one.

    Equal barcodes in one box are separate items.
    """
    items = [
        one
        for one in logged
        if (one.scan.kind, one.scan.box, one.scan.code) == (ITEM, box, code) and not one.removed
    ]
    return sorted(items, key=_scan_order)[-1:]


def _scan_order(one: LoggedScan) -> tuple[datetime, datetime, datetime, UUID]:
    scan = one.scan
    return scan.effective_at, scan.received_at, scan.scanned_at, scan.scan_id


def _shared(names: Iterable[str]) -> str:
    """The name that all scans share, or `""`."""
    first, *others = set(names)
    return "" if others else first


def _item(scan: ScanRecorded, audit: RemovalRecorded) -> ItemRemoved:
    return ItemRemoved(
        scan=scan,
        removal_id=audit.removal_id,
        removed_at=audit.removed_at,
        removed_by=audit.operator,
        reason=audit.reason,
    )
