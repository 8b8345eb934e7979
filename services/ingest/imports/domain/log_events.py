"""The events of a row of the full export, as JSON in its last cell: serialized, and parsed.

The other cells are for people and round times to seconds; an import of this one gives the same log.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from contracts.ingest import IngestEvent, ItemRemoved, RemovalRecorded, ScanRecorded
from services.ingest.scans.domain.box import AUDIT
from services.ingest.scans.domain.day import unix_ms
from services.ingest.scans.domain.scan import ITEM, SKEW, Fault, Reading, as_scan, validate

COLUMN: Final = "log_events"

_FORMULA: Final = re.compile(r"[=@+＝＠＋－]|(?<![0-9A-Za-z])-")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
BAD: Final = Fault(code="bad_log_events", reason=f"{COLUMN} is not what an export wrote")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The events of one row: a scan and possibly its removal, or an audit."""

    scan: ScanRecorded | None = None
    removed: ItemRemoved | None = None
    audit: RemovalRecorded | None = None

    @property
    def row(self) -> ScanRecorded:
        """The scan of the row's other cells. Raises ValueError for an empty entry."""
        if self.audit is not None:
            return as_scan(self.audit)
        if self.scan is None:
            raise ValueError("neither a scan nor an audit")
        return self.scan


def serialize(events: Iterable[tuple[str, int, bytes]]) -> str:
    """A cell with types, schema versions and JSON of events, which no spreadsheet alters."""
    cell = ",".join(
        f'{{"type":"{name}","version":{version},"data":{data.decode()}}}'
        for name, version, data in events
    )
    # Signs of formulas occur only in JSON strings, where they can be escaped.
    return _FORMULA.sub(lambda sign: f"\\u{ord(sign[0]):04x}", f"[{cell}]")


def parse(cell: str) -> Sequence[tuple[str, int, bytes]]:
    """The events of a cell. Raises ValueError."""
    try:
        return [_event(**given) for given in json.loads(cell)]
    except (TypeError, ValueError, RecursionError):
        raise ValueError(BAD.reason) from None


def entry(events: Sequence[IngestEvent], *, now: datetime, not_before: datetime) -> Entry | Fault:
    """The entry of the events, or their fault.

    Only events that an export could have written, within the limits of a scan, are accepted.
    """
    match events:
        case [ScanRecorded() as scan]:
            row_entry = Entry(scan=scan)
        case [ScanRecorded(kind=kind) as scan, ItemRemoved() as removal] if kind == ITEM:
            row_entry = Entry(scan=scan, removed=removal)
            if removal.scan != scan:
                return BAD
        case [RemovalRecorded() as audit] if audit.kind in AUDIT and (
            audit.request is None or _DIGEST.fullmatch(audit.request)
        ):
            row_entry = Entry(audit=audit)
        case _:
            return BAD
    if not all(_has_zone(event) for event in events):
        return BAD
    if row_entry.row.received_at > now + SKEW:
        return Fault(code="from_the_future", reason="it was received later than now")
    return _fault(row_entry, not_before) or row_entry


def _event(*, type: object, version: object, data: dict[str, Any]) -> tuple[str, int, bytes]:
    if not isinstance(type, str) or not isinstance(version, int):
        raise TypeError
    return type, version, json.dumps(data).encode()


def _has_zone(event: object) -> bool:
    moments = (getattr(event, name) for name in getattr(event, "__slots__", ()))
    return all(moment.tzinfo for moment in moments if isinstance(moment, datetime))


def _fault(row_entry: Entry, not_before: datetime) -> Fault | None:
    scan, removal = row_entry.row, row_entry.removed
    if scan.effective_at != (scan.received_at if scan.skewed else scan.scanned_at):
        return BAD
    texts = [(scan.operator, scan.details, scan.scanned_at)]
    if removal is not None:
        texts.append((removal.removed_by, removal.reason, removal.removed_at))
    for operator, details, moment in texts:
        reading = Reading(
            uuid=scan.scan_id,
            ts=unix_ms(moment),
            type=scan.kind,
            operator=operator,
            client=scan.client,
            city=scan.city,
            box=scan.box,
            code=scan.code,
            details=details,
            source=scan.source,
        )
        validated = validate(reading, received_at=scan.received_at, not_before=not_before)
        if isinstance(validated, Fault):
            return validated
    return None
