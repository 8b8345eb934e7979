"""Events of ingest: scans, events in quarantine, and removals."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType, TypeAlias
from uuid import UUID

SCANS: Final = "ingest.scan"
QUARANTINE: Final = "ingest.quarantine"
REMOVALS: Final = "ingest.removal"

ScanId = NewType("ScanId", UUID)
"""The id that the device gave the scan, or the one derived from its content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanRecorded:
    """A device recorded a scan, a closed box, a change of city, or an error.

    `kind` is the device's own word (ITEM, BOX, CLOSE, …), unknown ones included. Texts that the
    device left out are empty. `scanned_at` is by the device's clock, `received_at` by ours. Readers
    use `effective_at`: `scanned_at`, or `received_at` if the device's clock is more than a minute
    ahead (then `skewed`).
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
    """An event of a batch could not be accepted and was stored unchanged, to be corrected later.

    `raw` is its JSON in ASCII, so that texts survive that a database cannot store. `scan_id` is the
    device's id, if it could be read. `code` is stable, `reason` is for people.
    """

    scan_id: ScanId | None
    raw: str
    code: str
    reason: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRemoved:
    """A scanned item was removed for ever and no longer counts.

    The event is in the scan's stream, after it, and contains the whole scan, so that counters can
    subtract it. `RemovalRecorded` with the same `removal_id` has the details of the removal.
    """

    scan: ScanRecorded
    removal_id: UUID
    removed_at: datetime
    removed_by: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalRecorded:
    """Items were removed: the audit record of one removal, with the items it removed.

    `kind` is REMOVE (one item) or BULK_REMOVE. `client`, `city` and `box` are those of all removed
    items, empty where they differ; `code` and `reason` are for people. `operator` is empty if no
    name was given. `request` is, in earlier events, the digest of a request with an idempotency
    key; None otherwise.
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
    """A quarantined event was corrected and recorded as the scan `scan_id`, if that is new."""

    quarantine_id: UUID
    scan_id: ScanId
    mended_by: str
    mended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineDropped:
    """A quarantined event was dropped and will never be a scan."""

    quarantine_id: UUID
    reason: str
    dropped_by: str
    dropped_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportUndone:
    """An import was undone: its scans no longer count, as if they had never been sent.

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
