"""Commands on quarantined events.

The log decides, never a read model: an event is found by its id, and its stream says whether it
was decided before.
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
    retried,
    wrong_fields,
)
from services.ingest.quarantine.handlers.correction import Correction, whole
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.scan import Fault
from services.ingest.scans.handlers.recordings import current, fact_of
from services.ingest.scans.handlers.scan import ACCEPTED, DUPLICATE

DECISIONS: Final = Counter(
    "ingest_quarantine_decided", "Quarantined events somebody decided about", ["decision"]
)

ATTEMPTS: Final = 5
UNKNOWN_ACTOR: Final = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """What a quarantined event has become; `duplicate` if that scan was known before."""

    scan_id: ScanId
    duplicate: bool
    token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """A quarantined event as the log knows it.

    `value` is its JSON, if all of it was kept. `wrong` is what is wrong with which field by
    today's rules, `fault` what is wrong first; None if it would be a scan now.
    """

    kept: ScanQuarantined
    recorded: RecordedEvent
    decision: Decision | None
    is_whole: bool = True
    value: object = None
    fault: Fault | None = None
    wrong: Mapping[str, Fault] = field(default_factory=dict)


async def inspect(
    store: EventStore[IngestEvent], quarantine_id: UUID, *, tenant: str, not_before: datetime
) -> Inspected:
    """Everything about one event. Raises NotInQuarantine, LogUnavailable."""
    recorded, kept = await _find(store, tenant, quarantine_id)
    history = await store.read(tenant, identity.quarantine_stream(quarantine_id))
    found = partial(
        Inspected,
        kept=kept,
        recorded=recorded,
        decision=QUARANTINE.state_after(history.events).decision,
    )
    try:
        value = whole(kept)
    except CutShort:
        return found(is_whole=False)
    fault = retried(kept, value, not_before=not_before)
    return found(
        value=value,
        fault=fault if isinstance(fault, Fault) else None,
        wrong=wrong_fields(kept, value, not_before=not_before),
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
    """Record the corrected event as the scan it is, and that it is mended: both, or nothing.

    Raises NotInQuarantine, AlreadyDecided, StillWrong, CutShort (a patch for an event of which
    only the start was kept), LogUnavailable.
    """
    _, kept = await _find(store, metadata.tenant, quarantine_id)
    value = correction.of(kept)
    return await _mend(
        store, quarantine_id, kept, value, metadata=metadata, now=now, not_before=not_before
    )


async def replay(
    store: EventStore[IngestEvent],
    quarantine_id: UUID,
    *,
    metadata: Metadata,
    now: datetime,
    not_before: datetime,
) -> Mended:
    """Try the event again as it came, because rules or settings have changed. Raises as `mend`."""
    _, kept = await _find(store, metadata.tenant, quarantine_id)
    return await _mend(
        store, quarantine_id, kept, whole(kept), metadata=metadata, now=now, not_before=not_before
    )


async def replay_each(
    store: EventStore[IngestEvent],
    quarantine_ids: Iterable[UUID],
    *,
    metadata: Metadata,
    now: datetime,
    not_before: datetime,
) -> Mapping[str, int]:
    """Try many again, and count what became of them; each stands for itself, so safe to repeat.

    The counts are `mended`, `duplicates`, `still_wrong`, `cut_short`, `already_decided`. Raises
    LogUnavailable; those before it are done.
    """
    became = Tally(mended=0, duplicates=0, still_wrong=0, cut_short=0, already_decided=0)
    for quarantine_id in quarantine_ids:
        try:
            done = await replay(
                store, quarantine_id, metadata=metadata, now=now, not_before=not_before
            )
        except StillWrong:
            became["still_wrong"] += 1
        except CutShort:
            became["cut_short"] += 1
        except AlreadyDecided:
            became["already_decided"] += 1
        else:
            became["duplicates" if done.duplicate else "mended"] += 1
    return became


async def drop(
    store: EventStore[IngestEvent],
    quarantine_id: UUID,
    *,
    reason: str,
    metadata: Metadata,
    now: datetime,
) -> str:
    """Give the event up; the log keeps it, and `verify` its id. The consistency token.

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
    kept = store.decode(recorded)
    if not isinstance(kept, ScanQuarantined):
        raise NotInQuarantine
    return recorded, kept


async def _mend(
    store: EventStore[IngestEvent],
    quarantine_id: UUID,
    kept: ScanQuarantined,
    value: object,
    *,
    metadata: Metadata,
    now: datetime,
    not_before: datetime,
) -> Mended:
    history = await store.read(metadata.tenant, identity.quarantine_stream(quarantine_id))
    decision = QUARANTINE.state_after(history.events).decision
    if decision is not None:
        # A late decision is refused, whether it fits or not.
        raise AlreadyDecided(decision)
    scan = retried(kept, value, not_before=not_before)
    if isinstance(scan, Fault):
        raise StillWrong(scan, wrong_fields(kept, value, not_before=not_before))
    by = metadata.actor or UNKNOWN_ACTOR
    command = Mend(quarantine_id=quarantine_id, scan_id=scan.scan_id, by=by, now=now)
    return await _record(store, command, scan, metadata)


async def _record(
    store: EventStore[IngestEvent], command: Mend, scan: ScanRecorded, metadata: Metadata
) -> Mended:
    """Append the decision and, unless the log has it, the scan."""
    stream = identity.quarantine_stream(command.quarantine_id)
    namespace = identity.namespace(metadata.tenant)
    first = identity.scan_event(namespace, scan.scan_id)
    for _ in range(ATTEMPTS):
        history = await store.read(metadata.tenant, stream)
        decided = QUARANTINE.decide(QUARANTINE.state_after(history.events), command)
        recording = (await current(store, metadata.tenant, [first]))[first]
        known = recording.recorded is not None
        facts = () if known else (fact_of(recording.event_id, scan, namespace),)
        try:
            done = await store.append(
                stream, decided, expected=NO_STREAM, metadata=metadata, facts=facts
            )
        except VersionConflict:
            # Another decision came first, or the device has sent the scan meanwhile: read it again.
            continue
        DECISIONS.labels("mended").inc()
        (DUPLICATE if known else ACCEPTED).inc()
        return Mended(scan_id=scan.scan_id, duplicate=known, token=done.token)
    raise Unavailable("event log")
