"""Commands on quarantined events.

The log, not a read model, decides: an event is looked up by its id, and its stream contains the
decision about it.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from contracts.ingest import IngestEvent, ScanId, ScanQuarantined, ScanRecorded
from libs.errors import Unavailable
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import NO_STREAM, Metadata, RecordedEvent, VersionConflict
from libs.eventsourcing.store import EventStore
from services.ingest.quarantine.domain import (
    QUARANTINE,
    AlreadyDecided,
    CutShort,
    Decision,
    Drop,
    Mend,
    NotInQuarantine,
    StillWrong,
    revalidate,
    wrong_fields,
)
from services.ingest.quarantine.handlers.correction import Correction, json_value
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import Fault
from services.ingest.scans.handlers.recordings import current_recordings, scan_fact
from services.ingest.scans.handlers.scan import ACCEPTED, DUPLICATE

DECISIONS: Final = Counter(
    "ingest_quarantine_decided", "Quarantined events somebody decided about", ["decision"]
)

ATTEMPTS: Final = 5
UNKNOWN_ACTOR: Final = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """The scan of a mended event; `duplicate` if it was stored before."""

    scan_id: ScanId
    duplicate: bool
    token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """A quarantined event in full, from the log.

    `value` is its JSON if it is stored whole. By today's rules `wrong` has the faults by field, and
    `fault` is the first one; None if the event would be a scan now.
    """

    event: ScanQuarantined
    recorded: RecordedEvent
    decision: Decision | None
    is_whole: bool = True
    value: object = None
    fault: Fault | None = None
    wrong: Mapping[str, Fault] = field(default_factory=dict)


async def inspect(
    store: EventStore[IngestEvent], quarantine_id: UUID, *, tenant: str, not_before: datetime
) -> Inspected:
    """One event in full. Raises NotInQuarantine, LogUnavailable."""
    recorded, event = await _find(store, tenant, quarantine_id)
    history = await store.read(tenant, identity.quarantine_stream(quarantine_id))
    inspected = partial(
        Inspected,
        event=event,
        recorded=recorded,
        decision=QUARANTINE.state_after(history.events).decision,
    )
    try:
        value = json_value(event)
    except CutShort:
        return inspected(is_whole=False)
    fault = revalidate(event, value, not_before=not_before)
    return inspected(
        value=value,
        fault=fault if isinstance(fault, Fault) else None,
        wrong=wrong_fields(event, value, not_before=not_before),
    )


async def mend(
    store: EventStore[IngestEvent],
    quarantine_id: UUID,
    correction: Correction,
    *,
    metadata: Metadata,
    now: datetime,
    not_before: datetime,
) -> Mended:
    """Record the corrected event as a scan, and the decision: both or nothing.

    Raises NotInQuarantine, AlreadyDecided, StillWrong, CutShort (a patch for an event of which
    only the start is stored), LogUnavailable.
    """
    _, event = await _find(store, metadata.tenant, quarantine_id)
    value = correction.apply(event)
    return await _mend(
        store, quarantine_id, event, value, metadata=metadata, now=now, not_before=not_before
    )


async def replay(
    store: EventStore[IngestEvent],
    quarantine_id: UUID,
    *,
    metadata: Metadata,
    now: datetime,
    not_before: datetime,
) -> Mended:
    """Validate the event again as it arrived, for changed rules or settings. Raises as `mend`."""
    _, event = await _find(store, metadata.tenant, quarantine_id)
    return await _mend(
        store,
        quarantine_id,
        event,
        json_value(event),
        metadata=metadata,
        now=now,
        not_before=not_before,
    )


async def replay_each(
    store: EventStore[IngestEvent],
    quarantine_ids: Iterable[UUID],
    *,
    metadata: Metadata,
    now: datetime,
    not_before: datetime,
) -> Mapping[str, int]:
    """Replay many events, each on its own, and count the results; safe to repeat.

    The counts are `mended`, `duplicates`, `still_wrong`, `cut_short`, `already_decided`. Raises
    LogUnavailable; the events before that are done.
    """
    results = Tally(mended=0, duplicates=0, still_wrong=0, cut_short=0, already_decided=0)
    for quarantine_id in quarantine_ids:
        try:
            done = await replay(
                store, quarantine_id, metadata=metadata, now=now, not_before=not_before
            )
        except StillWrong:
            results["still_wrong"] += 1
        except CutShort:
            results["cut_short"] += 1
        except AlreadyDecided:
            results["already_decided"] += 1
        else:
            results["duplicates" if done.duplicate else "mended"] += 1
    return results


async def drop(
    store: EventStore[IngestEvent],
    quarantine_id: UUID,
    *,
    reason: str,
    metadata: Metadata,
    now: datetime,
) -> str:
    """Drop the event; the log keeps it, and `verify` its id. Returns the consistency token.

    Raises NotInQuarantine, AlreadyDecided, ReasonNeeded, LogUnavailable.
    """
    await _find(store, metadata.tenant, quarantine_id)
    command = Drop(
        quarantine_id=quarantine_id, reason=reason, by=metadata.actor or UNKNOWN_ACTOR, now=now
    )
    done = await execute(store, QUARANTINE, quarantine_id, command, metadata=metadata)
    DECISIONS.labels("dropped").inc()
    return done.token or ""


async def _find(
    store: EventStore[IngestEvent], tenant: str, quarantine_id: UUID
) -> tuple[RecordedEvent, ScanQuarantined]:
    recorded = (await store.log.find([quarantine_id])).get(quarantine_id)
    if recorded is None or recorded.metadata.tenant != tenant:
        raise NotInQuarantine
    event = store.decode(recorded)
    if not isinstance(event, ScanQuarantined):
        raise NotInQuarantine
    return recorded, event


async def _mend(
    store: EventStore[IngestEvent],
    quarantine_id: UUID,
    event: ScanQuarantined,
    value: object,
    *,
    metadata: Metadata,
    now: datetime,
    not_before: datetime,
) -> Mended:
    history = await store.read(metadata.tenant, identity.quarantine_stream(quarantine_id))
    decision = QUARANTINE.state_after(history.events).decision
    if decision is not None:
        # A second decision is refused before the event is validated.
        raise AlreadyDecided(decision)
    scan = revalidate(event, value, not_before=not_before)
    if isinstance(scan, Fault):
        raise StillWrong(scan, wrong_fields(event, value, not_before=not_before))
    by = metadata.actor or UNKNOWN_ACTOR
    command = Mend(quarantine_id=quarantine_id, scan_id=scan.scan_id, by=by, now=now)
    return await _record(store, command, scan, metadata)


async def _record(
    store: EventStore[IngestEvent], command: Mend, scan: ScanRecorded, metadata: Metadata
) -> Mended:
    """Append the decision, and the scan unless it is in the log."""
    stream = identity.quarantine_stream(command.quarantine_id)
    namespace = identity.namespace(metadata.tenant)
    first = identity.scan_event(namespace, scan.scan_id)
    for _ in range(ATTEMPTS):
        history = await store.read(metadata.tenant, stream)
        decided = QUARANTINE.decide(QUARANTINE.state_after(history.events), command)
        recording = (await current_recordings(store, metadata.tenant, [first]))[first]
        known = recording.recorded is not None
        facts = () if known else (scan_fact(recording.event_id, scan, namespace),)
        try:
            done = await store.append(
                stream, decided, expected=NO_STREAM, metadata=metadata, facts=facts
            )
        except VersionConflict:
            # Another decision came first, or the device has sent the scan meanwhile: read again.
            continue
        DECISIONS.labels("mended").inc()
        (DUPLICATE if known else ACCEPTED).inc()
        return Mended(scan_id=scan.scan_id, duplicate=known, token=done.token)
    raise Unavailable("event log")
