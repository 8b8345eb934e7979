"""Taking items back: which scans may go, and what is told of it (§2.5).

A scan stays in the log for ever; that it was removed is a fact behind it. So a removed item never
comes back, however often its device sends it again.
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
"""In characters. Every removed item repeats the reason, and must stay within what Kafka carries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedScan:
    """A scan as the log has it, its event there, and whether its removal is there too."""

    scan: ScanRecorded
    recording: UUID
    removed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Removing:
    """The command to remove scans. An empty `reason` stands for the usual one of the kind.

    `request` is a digest of the request, where it may be repeated.
    """

    removal_id: UUID
    kind: Kind
    operator: str
    reason: str
    at: datetime
    request: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """What is told: the audit, and one fact per item."""

    audit: RemovalRecorded
    items: tuple[ItemRemoved, ...]


def decide(found: Iterable[LoggedScan], wanted: Removing) -> Removal | None:
    """Remove whatever of `found` is an item and still there, in that order; None if nothing is."""
    scans = [one.scan for one in found if one.scan.kind == ITEM and not one.removed]
    if not scans:
        return None
    reason = wanted.reason or DEFAULT_REASON[wanted.kind]
    single = wanted.kind == "REMOVE"
    audit = RemovalRecorded(
        removal_id=wanted.removal_id,
        kind=wanted.kind,
        operator=wanted.operator,
        client=_shared(scan.client for scan in scans),
        city=_shared(scan.city for scan in scans),
        box=_shared(scan.box for scan in scans),
        code=scans[0].code if single else f"Удалено {len(scans)} товаров",
        reason=reason,
        removed=tuple(scan.scan_id for scan in scans),
        removed_at=wanted.at,
        request=wanted.request,
    )
    return Removal(audit=audit, items=tuple(_item(scan, audit) for scan in scans))


def latest(found: Iterable[LoggedScan], *, box: str, code: str) -> Sequence[LoggedScan]:
    """The one unit to remove of a code in a box: the latest scanned of those still there.

    Equal barcodes in one box are separate units, so there may be several. None or one comes back.
    """
    there = [
        one
        for one in found
        if (one.scan.kind, one.scan.box, one.scan.code) == (ITEM, box, code) and not one.removed
    ]
    return sorted(there, key=_lateness)[-1:]


def _lateness(one: LoggedScan) -> tuple[datetime, datetime, datetime, UUID]:
    scan = one.scan
    return scan.effective_at, scan.received_at, scan.scanned_at, scan.scan_id


def _shared(names: Iterable[str]) -> str:
    """The name, if it is the same everywhere."""
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
