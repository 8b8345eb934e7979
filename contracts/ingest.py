"""Facts ingest announces: what was scanned, and what arrived but could not be understood."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType, TypeAlias
from uuid import UUID

SCANS: Final = "ingest.scan"
QUARANTINE: Final = "ingest.quarantine"
REMOVALS: Final = "ingest.removal"

ScanId = NewType("ScanId", UUID)
"""The id the device gave the scan, or the one that follows from its content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanRecorded:
    """A device scanned, closed a box, changed city, or met an error.

    `kind` is the device's own word (ITEM, BOX, CLOSE, …), unknown ones included. Texts that the
    device left out are empty. `scanned_at` is the device's clock, `received_at` ours, and
    `effective_at` the one that counts: the earlier of both if the device runs more than a minute
    ahead (then `skewed`), the device's otherwise.
    """

    scan_id: ScanId
    kind: str
    operator: str
    client: str
    city: str
    box: str
    code: str
    details: str | None
    source: str
    scanned_at: datetime
    received_at: datetime
    effective_at: datetime
    skewed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanQuarantined:
    """An event of a batch that could not be accepted, kept word for word to be mended later.

    `raw` is its JSON in ASCII, so that even what no database can store survives. `scan_id` is
    the device's id, if that much could be read. `code` is stable, `reason` is for people.
    """

    scan_id: ScanId | None
    raw: str
    code: str
    reason: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRemoved:
    """A scanned item was taken back: it counts no longer, and never comes back.

    Tells the whole scan again, so that a counter can subtract it, and stands in the scan's own
    stream, behind it. `RemovalRecorded` of the same `removal_id` says why.
    """

    scan: ScanRecorded
    removal_id: UUID
    removed_at: datetime
    removed_by: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalRecorded:
    """Somebody took items back: the audit of one removal, with exactly the items it took.

    `kind` is REMOVE (one item) or BULK_REMOVE. `client`, `city` and `box` are what all removed
    items have in common, empty where they differ; `code` and `reason` are for people. `operator` is
    empty where no name was given. `request` is a digest of what was asked for under an idempotency
    key, None without one.
    """

    removal_id: UUID
    kind: str
    operator: str
    client: str
    city: str
    box: str
    code: str
    reason: str
    removed: tuple[ScanId, ...]
    removed_at: datetime
    request: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineMended:
    """A quarantined event was corrected and is now the scan `scan_id`, unless that was known."""

    quarantine_id: UUID
    scan_id: ScanId
    mended_by: str
    mended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineDropped:
    """Somebody decided that a quarantined event will never be a scan."""

    quarantine_id: UUID
    reason: str
    dropped_by: str
    dropped_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportUndone:
    """An import was taken back: its scans count no longer, as if they had never been sent.

    `run_id` is the correlation id of the import. Each of its scans may be recorded once more.
    """

    run_id: str
    undone_by: str
    undone_at: datetime


IngestEvent: TypeAlias = (
    ScanRecorded
    | ScanQuarantined
    | ItemRemoved
    | RemovalRecorded
    | QuarantineMended
    | QuarantineDropped
    | ImportUndone
)
EVENTS: Final = (
    ScanRecorded,
    ScanQuarantined,
    ItemRemoved,
    RemovalRecorded,
    QuarantineMended,
    QuarantineDropped,
    ImportUndone,
)
