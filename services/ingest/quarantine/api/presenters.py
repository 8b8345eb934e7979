"""Quarantined events as people and programs read them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import msgspec

from contracts.ingest import QuarantineMended
from libs.postgres.query import Row
from services.ingest.quarantine.domain import Decision
from services.ingest.quarantine.handlers.quarantine import Inspected, Mended
from services.ingest.scans.domain.day import unix_ms, written
from services.ingest.scans.domain.filter import display_name, named
from services.ingest.scans.domain.scan import Fault


class DecisionSummary(msgspec.Struct, rename="camel"):
    """What became of an event; all but `status` is null while it is open."""

    status: str
    decided_at: str | None = None
    decided_by: str | None = None
    decision: str | None = None
    scan_id: str | None = None


class EventSummary(msgspec.Struct, rename="camel"):
    """An event in a list. `raw` is only its beginning if it is shorter than `raw_length`."""

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
    """A page of them, how many there are on all pages, and how many of each code."""

    events: list[EventSummary]
    total: int
    counts: Mapping[str, int]


class Wrong(msgspec.Struct):
    """A field no scan could have, by the rules of today."""

    field: str
    code: str
    reason: str


class Moment(msgspec.Struct, rename="camel"):
    """One thing that happened to an event."""

    what: str
    at: str
    at_ms: int
    by: str | None
    reason: str | None = None
    scan_id: str | None = None


class Inspection(msgspec.Struct, rename="camel"):
    """Everything about an event. `value` is `raw` as JSON, null if it is none or was cut.

    `whole` says whether all of it was kept, `acceptable` whether it would be a scan today.
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
    """An event is decided about; `duplicate` if its scan was known before."""

    ok: bool
    status: str
    scan_id: str | None = None
    duplicate: bool = False


class Replayed(msgspec.Struct, rename="camel"):
    """What became of many; `next` is what to go on after, null when all were tried."""

    ok: bool
    mended: int
    duplicates: int
    still_wrong: int
    cut_short: int
    already_decided: int
    next: str | None


class Refusal(msgspec.Struct, omit_defaults=True):
    """Why nothing was changed, with what is wrong or what was decided before."""

    detail: str
    code: str
    wrong: list[Wrong] | None = None
    decision: DecisionSummary | None = None


def summary(row: Row, zone: ZoneInfo) -> EventSummary:
    """A row of the read model."""
    return EventSummary(
        id=str(row["quarantine_id"]),
        uuid=_text(row["scan_id"]),
        code=row["code"],
        reason=row["reason"],
        raw=row["raw"],
        received_at=written(row["received_at"], zone),
        received_at_ms=unix_ms(row["received_at"]),
        raw_length=row["raw_length"],
        status=row["status"],
        decided_at=written(row["decided_at"], zone) if row["decided_at"] else None,
        decided_by=_by(row["decided_by"]),
        decision=row["decision"],
        scan_id=_text(row["mended_as"]),
    )


def inspected(found: Inspected, zone: ZoneInfo) -> Inspection:
    """An event as the log knows it."""
    kept, recorded, decision = found.kept, found.recorded, found.decision
    arrived = _moment(
        "quarantined", recorded.recorded_at, zone, recorded.metadata.actor, kept.reason
    )
    return Inspection(
        id=str(recorded.event_id),
        uuid=_text(kept.scan_id),
        code=kept.code,
        reason=kept.reason,
        raw=kept.raw,
        value=_json(kept.raw),
        whole=found.is_whole,
        acceptable=found.is_whole and found.fault is None,
        wrong=wrong(found.wrong),
        received_at=written(kept.received_at, zone),
        received_at_ms=unix_ms(kept.received_at),
        status=present_decision(decision, zone).status if decision else "open",
        history=[arrived, *([_decided_then(decision, zone)] if decision else [])],
    )


def present_decision(decision: Decision, zone: ZoneInfo) -> DecisionSummary:
    """What was decided, when and by whom."""
    moment = _decided_then(decision, zone)
    return DecisionSummary(moment.what, moment.at, moment.by, moment.reason, moment.scan_id)


def mended(done: Mended) -> Done:
    """An event that is a scan now."""
    return Done(True, "mended", str(done.scan_id), done.duplicate)


def wrong(faults: Mapping[str, Fault]) -> list[Wrong]:
    """Fields and what is wrong with them."""
    return [Wrong(name, fault.code, fault.reason) for name, fault in faults.items()]


def _decided_then(decision: Decision, zone: ZoneInfo) -> Moment:
    if isinstance(decision, QuarantineMended):
        made = _moment("mended", decision.mended_at, zone, decision.mended_by, None)
        made.scan_id = str(decision.scan_id)
        return made
    return _moment("dropped", decision.dropped_at, zone, decision.dropped_by, decision.reason)


def _moment(what: str, at: datetime, zone: ZoneInfo, by: str | None, reason: str | None) -> Moment:
    return Moment(what, written(at, zone), unix_ms(at), _by(by), reason)


def _by(actor: str | None) -> str | None:
    return None if actor is None else display_name(named(actor))


def _json(raw: str) -> msgspec.Raw:
    """The text itself where it is JSON to everybody: without NaN and without an end cut off."""
    try:
        json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return msgspec.Raw(b"null")
    return msgspec.Raw(raw.encode())


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
