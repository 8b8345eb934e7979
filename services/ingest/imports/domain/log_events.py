"""What the log holds of a row of the full export, as JSON in the last of its cells, there and back.

The other cells are for people, and round times to seconds. This one makes the same log again.
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
from services.ingest.scans.domain.scan import ITEM, SKEW, Fault, Reading, as_scan, judge

COLUMN: Final = "log_events"

_FORMULA: Final = re.compile(r"[=@+＝＠＋－]|(?<![0-9A-Za-z])-")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
BAD: Final = Fault(code="bad_log_events", reason=f"{COLUMN} is not what an export wrote")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What one row makes the log hold: a scan that may have been removed, or an audit."""

    scan: ScanRecorded | None = None
    removed: ItemRemoved | None = None
    audit: RemovalRecorded | None = None

    @property
    def row(self) -> ScanRecorded:
        """What the row's other cells say. Raises ValueError of an empty entry."""
        if self.audit is not None:
            return as_scan(self.audit)
        if self.scan is None:
            raise ValueError("neither a scan nor an audit")
        return self.scan


def written(events: Iterable[tuple[str, int, bytes]]) -> str:
    """A cell with the names, schema versions and JSON of events. No spreadsheet alters it."""
    cell = ",".join(
        f'{{"type":"{name}","version":{version},"data":{data.decode()}}}'
        for name, version, data in events
    )
    # Signs of formulas stand only in texts, where JSON may spell them otherwise.
    return _FORMULA.sub(lambda sign: f"\\u{ord(sign[0]):04x}", f"[{cell}]")


def parse(cell: str) -> Sequence[tuple[str, int, bytes]]:
    """The same from a cell. Raises ValueError."""
    try:
        return [_event(**given) for given in json.loads(cell)]
    except (TypeError, ValueError, RecursionError):
        raise ValueError(BAD.reason) from None


def entry(events: Sequence[IngestEvent], *, now: datetime, not_before: datetime) -> Entry | Fault:
    """The entry that events make up, or what is wrong with them: only what could have been written
    by `written`, and within the limits of a device's scans, comes into a log.
    """
    match events:
        case [ScanRecorded() as scan]:
            found = Entry(scan=scan)
        case [ScanRecorded(kind=kind) as scan, ItemRemoved() as gone] if kind == ITEM:
            found = Entry(scan=scan, removed=gone)
            if gone.scan != scan:
                return BAD
        case [RemovalRecorded() as audit] if audit.kind in AUDIT and (
            audit.request is None or _DIGEST.fullmatch(audit.request)
        ):
            found = Entry(audit=audit)
        case _:
            return BAD
    if not all(_has_zone(event) for event in events):
        return BAD
    if found.row.received_at > now + SKEW:
        return Fault(code="from_the_future", reason="it was received later than now")
    return _unfit(found, not_before) or found


def _event(*, type: object, version: object, data: dict[str, Any]) -> tuple[str, int, bytes]:
    if not isinstance(type, str) or not isinstance(version, int):
        raise TypeError
    return type, version, json.dumps(data).encode()


def _has_zone(event: object) -> bool:
    moments = (getattr(event, name) for name in getattr(event, "__slots__", ()))
    return all(moment.tzinfo for moment in moments if isinstance(moment, datetime))


def _unfit(found: Entry, not_before: datetime) -> Fault | None:
    scan, gone = found.row, found.removed
    if scan.effective_at != (scan.received_at if scan.skewed else scan.scanned_at):
        return BAD
    texts = [(scan.operator, scan.details, scan.scanned_at)]
    if gone is not None:
        texts.append((gone.removed_by, gone.reason, gone.removed_at))
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
        judged = judge(reading, received_at=scan.received_at, not_before=not_before)
        if isinstance(judged, Fault):
            return judged
    return None
