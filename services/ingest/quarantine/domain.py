"""A quarantined event: its faults, and the one decision about it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, assert_never
from uuid import UUID

from contracts.ingest import (
    ImportUndone,
    IngestEvent,
    ItemRemoved,
    QuarantineDropped,
    QuarantineMended,
    RemovalRecorded,
    ScanId,
    ScanQuarantined,
    ScanRecorded,
)
from libs.errors import NotFound, Refused
from libs.eventsourcing.decider import Decider
from services.ingest.scans.domain.scan import Fault, Reading, parse_event, validate

LONGEST_REASON: Final = 500

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS: Final = tuple(field.name for field in fields(Reading))


@dataclass(frozen=True, kw_only=True, slots=True)
class Mend:
    """Mend the event: corrected or replayed it is the scan `scan_id`."""

    quarantine_id: UUID
    scan_id: ScanId
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """Drop the event: it will never be a scan."""

    quarantine_id: UUID
    reason: str
    by: str
    now: datetime


QuarantineCommand: TypeAlias = Mend | Drop
Decision: TypeAlias = QuarantineMended | QuarantineDropped


class NotInQuarantine(NotFound):
    """No such event is in quarantine."""


class CutShort(Refused):
    """Only the start of this event was kept, so it must be corrected as a whole."""


class ReasonNeeded(Refused):
    """The reason must be 1 to 500 printable characters."""


class AlreadyDecided(Refused):
    """It was decided before what becomes of this event."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.decision = decision


class StillWrong(Refused):
    """The event is still not a valid scan; nothing was changed."""

    def __init__(self, fault: Fault, wrong: Mapping[str, Fault]) -> None:
        super().__init__(fault.reason)
        self.fault = fault
        self.wrong = wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """The first decision, if there is one."""

    decision: Decision | None = None


def decide(state: Quarantined, command: QuarantineCommand) -> list[IngestEvent]:
    """See `Decider`. A second decision is refused with the first one."""
    if state.decision is not None:
        raise AlreadyDecided(state.decision)
    match command:
        case Mend(quarantine_id=quarantine_id, scan_id=scan_id, by=by, now=now):
            return [
                QuarantineMended(
                    quarantine_id=quarantine_id, scan_id=scan_id, mended_by=by, mended_at=now
                )
            ]
        case Drop(quarantine_id=quarantine_id, by=by, now=now):
            return [
                QuarantineDropped(
                    quarantine_id=quarantine_id,
                    reason=_reason(command.reason),
                    dropped_by=by,
                    dropped_at=now,
                )
            ]
        case _:
            assert_never(command)


def evolve(state: Quarantined, event: IngestEvent) -> Quarantined:
    """See `Decider`. The first decision in the stream is final."""
    match event:
        case QuarantineMended() | QuarantineDropped():
            return Quarantined(decision=state.decision or event)
        case ScanRecorded() | ScanQuarantined() | ItemRemoved() | RemovalRecorded():
            return state
        case ImportUndone():
            return state
        case _:
            assert_never(event)


QUARANTINE: Final = Decider(
    category="quarantine", initial=Quarantined(), decide=decide, evolve=evolve
)


def revalidate(
    event: ScanQuarantined, value: object, *, not_before: datetime
) -> ScanRecorded | Fault:
    """Validate `value` by today's rules, as of when the event was received.

    A readable id stays the id of the scan: the device knows it and may ask `verify` for it.
    """
    reading = parse_event(value)
    if isinstance(reading, Fault):
        return reading
    if event.scan_id is not None:
        if reading.uuid not in (None, event.scan_id):
            reason = "uuid must stay what it was, or be left out"
            return Fault(code="uuid_changed", reason=reason, scan_id=event.scan_id)
        reading = replace(reading, uuid=event.scan_id)
    return validate(reading, received_at=event.received_at, not_before=not_before)


def wrong_fields(
    event: ScanQuarantined, value: object, *, not_before: datetime
) -> Mapping[str, Fault]:
    """The faults of `value` by field; each field is validated in an otherwise valid event.

    Empty if `value` would be a scan today, or is no JSON object.
    """
    if not isinstance(value, Mapping):
        return {}
    fine = {
        "ts": (event.received_at - _EPOCH) // timedelta(milliseconds=1),
        "type": "ITEM",
        "operator": "",
    }
    faults: dict[str, Fault] = {}
    for name in _FIELDS:
        given = {key: value[key] for key in _spellings(name) if key in value}
        others = {key: fine[key] for key in fine if key != name}
        scan = revalidate(event, others | given, not_before=not_before)
        if isinstance(scan, Fault):
            faults[name] = scan
    return faults


def patched(value: object, patch: object) -> object:
    """Apply a JSON merge patch (RFC 7396): null removes a member."""
    if not isinstance(patch, dict):
        return patch
    changed: dict[str, Any] = dict(value) if isinstance(value, dict) else {}
    for name, new in patch.items():
        if new is None:
            changed.pop(name, None)
        else:
            changed[name] = patched(changed.get(name), new)
    return changed


def _spellings(name: str) -> tuple[str, ...]:
    return ("ts", "timestamp") if name == "ts" else (name,)


def _reason(reason: str) -> str:
    """The reason on one line. Raises ReasonNeeded."""
    line = " ".join(reason.split())
    if not 1 <= len(line) <= LONGEST_REASON or not line.isprintable():
        raise ReasonNeeded
    return line
