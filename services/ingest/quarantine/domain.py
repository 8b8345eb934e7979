"""A quarantined event: what is wrong with it, and the one decision about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from services.ingest.scans.domain.scan import Fault, judge, read

LONGEST_REASON: Final = 500

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS: Final = (
    "uuid",
    "ts",
    "type",
    "operator",
    "client",
    "city",
    "box",
    "code",
    "details",
    "source",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mend:
    """The event, corrected or tried again, is the scan `scan_id`."""

    quarantine_id: UUID
    scan_id: ScanId
    by: str
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """The event will never be a scan."""

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
    """What later decisions need: the first one, if there was one."""

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
    """See `Decider`. Only decisions have a version in this stream, and the first stands."""
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


def retried(kept: ScanQuarantined, value: object, *, not_before: datetime) -> ScanRecorded | Fault:
    """The scan `value` is, judged by the rules of today as of when the event was received.

    An id that could be read stays the scan's: the device knows it, and `verify` was asked for it.
    """
    reading = read(value)
    if isinstance(reading, Fault):
        return reading
    if kept.scan_id is not None:
        if reading.uuid not in (None, kept.scan_id):
            reason = "uuid must stay what it was, or be left out"
            return Fault(code="uuid_changed", reason=reason, scan_id=kept.scan_id)
        reading = replace(reading, uuid=kept.scan_id)
    return judge(reading, received_at=kept.received_at, not_before=not_before)


def wrong_fields(
    kept: ScanQuarantined, value: object, *, not_before: datetime
) -> Mapping[str, Fault]:
    """Every field of `value` that no scan could have, each tried in an event fine otherwise.

    Empty if `value` would be a scan today, or is no JSON object at all.
    """
    if not isinstance(value, Mapping):
        return {}
    fine = {
        "ts": (kept.received_at - _EPOCH) // timedelta(milliseconds=1),
        "type": "ITEM",
        "operator": "",
    }
    faults: dict[str, Fault] = {}
    for name in _FIELDS:
        given = {key: value[key] for key in _spellings(name) if key in value}
        others = {key: fine[key] for key in fine if key != name}
        found = retried(kept, others | given, not_before=not_before)
        if isinstance(found, Fault):
            faults[name] = found
    return faults


def patched(value: object, patch: object) -> object:
    """`value` changed by a JSON merge patch (RFC 7396): null takes a member away."""
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
    said = " ".join(reason.split())
    if not 1 <= len(said) <= LONGEST_REASON or not said.isprintable():
        raise ReasonNeeded
    return said
