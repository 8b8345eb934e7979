"""The responses about quarantined events."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NoReturn
from zoneinfo import ZoneInfo

import msgspec

from contracts.ingest import QuarantineMended
from libs.postgres.query import Row
from services.ingest.quarantine.domain import Decision
from services.ingest.quarantine.handlers.quarantine import Inspected, Mended
from services.ingest.scans.domain.day import format_time, unix_ms
from services.ingest.scans.domain.filter import display_name
from services.ingest.scans.domain.scan import Fault

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class DecisionSummary(msgspec.Struct, rename="camel"):
    """The decision about an event; all fields but `status` are null while it is open."""

    status: str
    decided_at: str | None = None
    decided_by: str | None = None
    decision: str | None = None
    scan_id: str | None = None


class EventSummary(msgspec.Struct, rename="camel"):
    """An event in a list. `raw` is truncated if it is shorter than `raw_length`."""

    id: str
    uuid: str | None
    code: str
    reason: str
    raw: str
    received_at: str
    received_at_ms: int
    raw_length: int
    status: str
    decided_at: str | None
    decided_by: str | None
    decision: str | None
    scan_id: str | None


class Page(msgspec.Struct):
    """A page of events, their number on all pages, and the numbers by code."""

    events: list[EventSummary]
    total: int
    counts: Mapping[str, int]


class Wrong(msgspec.Struct):
    """A field that is no valid field of a scan, by today's rules."""

    field: str
    code: str
    reason: str


class Moment(msgspec.Struct, rename="camel"):
    """A step in the history of an event."""

    what: str
    at: str
    at_ms: int
    by: str | None
    reason: str | None = None
    scan_id: str | None = None


class Inspection(msgspec.Struct, rename="camel"):
    """An event in full. `value` is `raw` as JSON, null if it is invalid or truncated.

    `whole` says whether the whole event is stored, `acceptable` whether it would be a scan today.
    """

    id: str
    uuid: str | None
    code: str
    reason: str
    raw: str
    value: msgspec.Raw
    whole: bool
    acceptable: bool
    wrong: list[Wrong]
    received_at: str
    received_at_ms: int
    status: str
    history: list[Moment]


class Done(msgspec.Struct, rename="camel"):
    """The decision was stored; `duplicate` if the scan was stored before."""

    ok: bool
    status: str
    scan_id: str | None = None
    duplicate: bool = False


class Replayed(msgspec.Struct, rename="camel"):
    """The results of many events; `next` is the `after` of the next request, null at the end."""

    ok: bool
    mended: int
    duplicates: int
    still_wrong: int
    cut_short: int
    already_decided: int
    next: str | None


def summary(row: Row, zone: ZoneInfo) -> EventSummary:
    """A row of the read model."""
    return EventSummary(
        id=str(row["quarantine_id"]),
        uuid=_text(row["scan_id"]),
        code=row["code"],
        reason=row["reason"],
        raw=row["raw"],
        received_at=format_time(row["received_at"], zone),
        received_at_ms=unix_ms(row["received_at"]),
        raw_length=row["raw_length"],
        status=row["status"],
        decided_at=format_time(row["decided_at"], zone) if row["decided_at"] else None,
        decided_by=_by(row["decided_by"]),
        decision=row["decision"],
        scan_id=_text(row["mended_as"]),
    )


def inspection(inspected: Inspected, zone: ZoneInfo) -> Inspection:
    """An event in full, from the log."""
    event, recorded, decision = inspected.event, inspected.recorded, inspected.decision
    arrived = _moment(
        "quarantined", recorded.recorded_at, zone, recorded.metadata.actor, event.reason
    )
    return Inspection(
        id=str(recorded.event_id),
        uuid=_text(event.scan_id),
        code=event.code,
        reason=event.reason,
        raw=event.raw,
        value=_json(event.raw),
        whole=inspected.is_whole,
        acceptable=inspected.is_whole and inspected.fault is None,
        wrong=wrong(inspected.wrong),
        received_at=format_time(event.received_at, zone),
        received_at_ms=unix_ms(event.received_at),
        status=present_decision(decision, zone).status if decision else "open",
        history=[arrived, *([_decision_moment(decision, zone)] if decision else [])],
    )


def present_decision(decision: Decision, zone: ZoneInfo) -> DecisionSummary:
    """The decision: what, when and by whom."""
    moment = _decision_moment(decision, zone)
    return DecisionSummary(moment.what, moment.at, moment.by, moment.reason, moment.scan_id)


def mended(result: Mended) -> Done:
    """The response to a mended event."""
    return Done(True, "mended", str(result.scan_id), result.duplicate)


def wrong(faults: Mapping[str, Fault]) -> list[Wrong]:
    """The faults by field."""
    return [Wrong(name, fault.code, fault.reason) for name, fault in faults.items()]


def _decision_moment(decision: Decision, zone: ZoneInfo) -> Moment:
    if isinstance(decision, QuarantineMended):
        moment = _moment("mended", decision.mended_at, zone, decision.mended_by, None)
        moment.scan_id = str(decision.scan_id)
        return moment
    return _moment("dropped", decision.dropped_at, zone, decision.dropped_by, decision.reason)


def _moment(what: str, at: datetime, zone: ZoneInfo, by: str | None, reason: str | None) -> Moment:
    return Moment(what, format_time(at, zone), unix_ms(at), _by(by), reason)


def _by(actor: str | None) -> str | None:
    # A caller without a name acts by an id, which is not shown.
    return None if actor is None else display_name("" if _ID.fullmatch(actor) else actor)


def _json(raw: str) -> msgspec.Raw:
    """The text itself if it is strict JSON (complete, without NaN), else null."""
    try:
        json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return msgspec.Raw(b"null")
    return msgspec.Raw(raw.encode())


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
