"""Records a batch of events, and verifies which events are stored."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

import msgspec
import structlog
from msgspec import Meta
from prometheus_client import Counter, Histogram

from contracts.ingest import IngestEvent, ScanId, ScanQuarantined, ScanRecorded
from libs.eventsourcing.log import FactsAppended, Metadata, NewFact, RecordedEvent
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import (
    EPOCH,
    LAST_MS,
    LIMITS,
    RAW_LIMIT,
    SKEW,
    Fault,
    Reading,
    milliseconds,
    parse_uuid,
    same_content,
    validate,
)
from services.ingest.scans.handlers.body import (
    LARGE_BODY,
    LONGEST_BATCH,
    Event,
    evidence_of,
    not_json,
    read_batch,
    reading_of,
    split_batch,
)
from services.ingest.scans.handlers.recordings import current_recordings, scan_fact

ACCEPTED: Final = Counter("ingest_scans_accepted", "Scans stored for the first time")
DUPLICATE: Final = Counter("ingest_scans_duplicate", "Scans that were known already")
QUARANTINED: Final = Counter("ingest_scans_quarantined", "Events set aside, repeats too", ["code"])
CONFLICTING: Final = Counter("ingest_scans_conflicting", "Known ids sent with other content")
BATCH_SIZE: Final = Histogram(
    "ingest_batch_events", "Events in a batch", buckets=(1, 2, 5, 10, 20, 40, 60, 80, 100)
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """The result of a batch: `inserted`, `duplicates` and `errors` add up to its length."""

    inserted: int
    duplicates: tuple[str, ...]
    errors: tuple[str, ...]
    token: str


@dataclass(slots=True)
class _ParsedBatch:
    """The events of a batch by event id. `repeats` have an id that came before in the batch."""

    scans: dict[UUID, ScanRecorded] = field(default_factory=dict)
    repeats: list[ScanRecorded] = field(default_factory=list)
    quarantined: dict[UUID, ScanQuarantined] = field(default_factory=dict)
    faults: list[tuple[int, Fault]] = field(default_factory=list)


async def record_batch(
    store: EventStore[IngestEvent],
    body: bytes,
    *,
    metadata: Metadata,
    received_at: datetime,
    not_before: datetime,
) -> Recorded:
    """Store every event of a batch in one append; safe to repeat.

    An event that is no scan goes to quarantine and is named in `errors` each time it is sent.
    Raises `BadRequest` if the body is no batch, `LogUnavailable`.
    """
    namespace = identity.namespace(metadata.tenant)
    moments = received_at, not_before
    facts = fast_path_facts(body, namespace, *moments) if len(body) <= LARGE_BODY else None
    appended = await store.record_encoded(facts, metadata=metadata) if facts else None
    if facts and appended and len(appended.new) == len(facts):
        recorded = Recorded(inserted=len(facts), duplicates=(), errors=(), token=appended.token)
        _count(recorded, ())
        return recorded
    try:
        batch = await _parse_batch(body, namespace, *moments)
    except RecursionError:
        raise not_json("nested too deep") from None
    if appended is None:
        appended = await store.record(list(_facts(batch, namespace)), metadata=metadata)
    return await _complete(store, batch, appended, metadata)


async def _complete(
    store: EventStore[IngestEvent], batch: _ParsedBatch, appended: FactsAppended, metadata: Metadata
) -> Recorded:
    """The result of a batch with repeats or faults; records scans of undone imports again."""
    namespace = identity.namespace(metadata.tenant)
    known = [event_id for event_id in batch.scans if event_id not in appended.new]
    recordings = await current_recordings(store, metadata.tenant, known) if known else {}
    token = appended.token
    # Scans that only undone imports recorded.
    again = [
        scan_fact(recording.event_id, batch.scans[event_id], namespace)
        for event_id, recording in recordings.items()
        if recording.recorded is None
    ]
    if again:
        later = await store.record(again, metadata=metadata)
        token = ",".join(filter(None, (token, later.token)))
        known = [event_id for event_id in known if recordings[event_id].event_id not in later.new]
    skipped = [batch.scans[event_id] for event_id in known] + batch.repeats
    recorded = Recorded(
        inserted=len(batch.scans) - len(known),
        duplicates=tuple(str(scan.scan_id) for scan in skipped),
        errors=tuple(_message(n, fault) for n, fault in batch.faults),
        token=token,
    )
    _count(recorded, [fault for _, fault in batch.faults])
    if skipped:
        scans = {event_id: recordings[event_id].recorded for event_id in known}
        _count_conflicts(_conflicting(store, batch, namespace, scans))
    return recorded


async def verify(store: EventStore[IngestEvent], tenant: str, uuids: Sequence[str]) -> list[str]:
    """The `uuids` whose events are stored or in quarantine, in their spelling.

    A text that is no UUID is not among them. Raises `LogUnavailable`.
    """
    namespace = identity.namespace(tenant)
    ids = {text: _event_ids(namespace, uuid) for text in uuids if (uuid := parse_uuid(text))}
    scans = await current_recordings(store, tenant, {scan for scan, _ in ids.values()})
    in_quarantine = await store.log.find([quarantined for _, quarantined in ids.values()])
    return [
        text
        for text, (scan, quarantined) in ids.items()
        if scans[scan].recorded or quarantined in in_quarantine
    ]


def _event_ids(namespace: UUID, uuid: UUID) -> tuple[UUID, UUID]:
    scan_id = ScanId(uuid)
    return identity.scan_event(namespace, scan_id), identity.quarantine_event(namespace, scan_id)


async def _parse_batch(
    body: bytes, namespace: UUID, received_at: datetime, not_before: datetime
) -> _ParsedBatch:
    large = len(body) > LARGE_BODY
    batch = _ParsedBatch()
    for n, event in enumerate(await split_batch(body) if large else read_batch(body)):
        scan: Reading | ScanRecorded | Fault = reading_of(event)
        if isinstance(scan, Reading):
            scan = validate(scan, received_at=received_at, not_before=not_before)
        if isinstance(scan, Fault):
            batch.faults.append((n, scan))
            event_id, quarantined = _quarantined(scan, event, namespace, received_at)
            batch.quarantined.setdefault(event_id, quarantined)
        else:
            _add(batch, scan, namespace)
        if large:
            await asyncio.sleep(0)
    return batch


def _add(batch: _ParsedBatch, scan: ScanRecorded, namespace: UUID) -> None:
    event_id = identity.scan_event(namespace, scan.scan_id)
    if batch.scans.setdefault(event_id, scan) is not scan:
        batch.repeats.append(scan)


def _message(n: int, fault: Fault) -> str:
    return f"event {n} ({fault.scan_id or 'without uuid'}): {fault.reason} [{fault.code}]"


def _quarantined(
    fault: Fault, event: Event, namespace: UUID, received_at: datetime
) -> tuple[UUID, ScanQuarantined]:
    raw, value = evidence_of(event)
    if fault.scan_id is None:
        event_id = identity.nameless_quarantine_event(namespace, value)
    else:
        event_id = identity.quarantine_event(namespace, fault.scan_id)
    reason = fault.reason if len(raw) <= RAW_LIMIT else f"{fault.reason}; only its start is kept"
    return event_id, ScanQuarantined(
        scan_id=fault.scan_id,
        raw=raw[:RAW_LIMIT],
        code=fault.code,
        reason=reason,
        received_at=received_at,
    )


def _facts(batch: _ParsedBatch, namespace: UUID) -> Iterator[Fact[IngestEvent]]:
    for event_id, scan in batch.scans.items():
        yield scan_fact(event_id, scan, namespace)
    for event_id, quarantined in batch.quarantined.items():
        stream = identity.quarantine_stream(event_id)
        received_at = quarantined.received_at
        yield Fact(event_id=event_id, stream=stream, event=quarantined, occurred_at=received_at)


def _conflicting(
    store: EventStore[IngestEvent],
    batch: _ParsedBatch,
    namespace: UUID,
    known: Mapping[UUID, RecordedEvent | None],
) -> list[ScanRecorded]:
    """The skipped scans whose content differs from the stored one."""
    stored = {event_id: store.decode(recorded) for event_id, recorded in known.items() if recorded}
    pairs = [(batch.scans[event_id], stored.get(event_id)) for event_id in known]
    for scan in batch.repeats:
        event_id = identity.scan_event(namespace, scan.scan_id)
        pairs.append((scan, stored.get(event_id, batch.scans[event_id])))
    return [
        scan
        for scan, first in pairs
        if isinstance(first, ScanRecorded) and not same_content(scan, first)
    ]


def _count(recorded: Recorded, faults: Sequence[Fault]) -> None:
    ACCEPTED.inc(recorded.inserted)
    if recorded.duplicates:
        DUPLICATE.inc(len(recorded.duplicates))
    BATCH_SIZE.observe(recorded.inserted + len(recorded.duplicates) + len(faults))
    for fault in faults:
        QUARANTINED.labels(fault.code).inc()


def _count_conflicts(conflicting: Sequence[ScanRecorded]) -> None:
    CONFLICTING.inc(len(conflicting))
    for scan in conflicting:
        log.warning("scan id sent with other content", scan_id=str(scan.scan_id))


# The fast path, for a batch without faults and rarities, which nearly all batches are. Its facts
# equal those of `domain.scan.validate` and the codec byte for byte, in a third of the time: one
# decoder checks all shapes and lengths, and no dataclass is created. Any other batch goes through
# `body` and `validate`.

_Type: TypeAlias = Annotated[str, Meta(max_length=LIMITS["type"])]
_Name: TypeAlias = Annotated[str, Meta(max_length=LIMITS["operator"])]
_Code: TypeAlias = Annotated[str, Meta(max_length=LIMITS["code"])]
_Details: TypeAlias = Annotated[str, Meta(max_length=LIMITS["details"])]
_Source: TypeAlias = Annotated[str, Meta(max_length=LIMITS["source"])]

_SCAN_ID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VERSION: Final[int] = getattr(ScanRecorded, "schema_version", 1)
_encode: Final = msgspec.json.Encoder().encode


class _Event(msgspec.Struct, gc=False):
    """The fields of `domain.scan.Reading`, with the id as a text."""

    uuid: str
    ts: int
    type: _Type
    operator: _Name
    client: _Name = ""
    city: _Name = ""
    box: _Name = ""
    code: _Code = ""
    details: _Details | None = None
    source: _Source = "pwa"


class _Batch(msgspec.Struct):
    events: Annotated[list[_Event], Meta(min_length=1, max_length=LONGEST_BATCH)]


# Without the checks of a frozen dataclass.
_Scan: Final[Any] = msgspec.defstruct(
    "_Scan", [(field.name, Any) for field in fields(ScanRecorded)], gc=False
)
_decode: Final = msgspec.json.Decoder(_Batch).decode


def fast_path_facts(
    body: bytes, namespace: UUID, received_at: datetime, not_before: datetime
) -> Sequence[NewFact] | None:
    """The facts of a batch in its order, with repeats; None if the batch needs the usual path."""
    if b"\\u0000" in body or b"\0" in body:
        return None
    try:
        body.decode()  # msgspec does not check texts it skips
        events = _decode(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    first, is_id = milliseconds(not_before), _SCAN_ID.fullmatch
    if not all(first <= one.ts <= LAST_MS and is_id(one.uuid) for one in events):
        return None
    return _facts_of(events, namespace, received_at)


def _facts_of(
    events: Sequence[_Event], namespace: UUID, received_at: datetime
) -> Sequence[NewFact]:
    latest, event_of = received_at + SKEW, identity.scan_events(namespace)
    operator = stream = None
    facts = []
    for one in events:
        if one.operator != operator or stream is None:
            operator = one.operator
            stream = identity.scan_stream(namespace, operator)
        scanned_at = EPOCH + timedelta(0, 0, 0, one.ts)
        skewed = scanned_at > latest
        effective_at = received_at if skewed else scanned_at
        scan = _Scan(
            one.uuid,
            one.type,
            one.operator,
            one.client,
            one.city,
            one.box,
            one.code,
            one.details,
            one.source or "pwa",
            scanned_at,
            received_at,
            effective_at,
            skewed,
        )
        facts.append(
            NewFact(
                event_id=event_of(one.uuid),
                type="ScanRecorded",
                schema_version=_VERSION,
                data=_encode(scan),
                occurred_at=effective_at,
                stream=stream,
            )
        )
    return facts
