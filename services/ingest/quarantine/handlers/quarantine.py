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
    Quarantined,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineCommands:
    """Commands on the quarantined events of the tenant in `metadata`. All raise LogUnavailable.

    `not_before` is the earliest plausible time of a device. Mending stores the scan and the
    decision: both or nothing.
    """

    store: EventStore[IngestEvent]
    metadata: Metadata
    now: datetime
    not_before: datetime

    async def mend(self, quarantine_id: UUID, correction: Correction | None) -> Mended:
        """Mend an event by a correction; without one it is validated again as it arrived.

        Raises NotInQuarantine, AlreadyDecided, StillWrong, and CutShort if a patch or no correction
        is given for an event of which only the start is stored.
        """
        _, event = await _find(self.store, self.metadata.tenant, quarantine_id)
        value = correction.apply(event) if correction else json_value(event)
        decision = (await self._state(quarantine_id)).decision
        if decision is not None:
            # A second decision is refused before the event is validated.
            raise AlreadyDecided(decision)
        scan = revalidate(event, value, not_before=self.not_before)
        if isinstance(scan, Fault):
            raise StillWrong(scan, wrong_fields(event, value, not_before=self.not_before))
        return await self._record(quarantine_id, scan)

    async def replay_each(self, quarantine_ids: Iterable[UUID]) -> Mapping[str, int]:
        """Mend many events as they arrived, each on its own, and count the results.

        The counts are `mended`, `duplicates`, `still_wrong`, `cut_short`, `already_decided`. Safe
        to repeat; the events before an error are done.
        """
        results = Tally(mended=0, duplicates=0, still_wrong=0, cut_short=0, already_decided=0)
        for quarantine_id in quarantine_ids:
            try:
                done = await self.mend(quarantine_id, None)
            except StillWrong:
                results["still_wrong"] += 1
            except CutShort:
                results["cut_short"] += 1
            except AlreadyDecided:
                results["already_decided"] += 1
            else:
                results["duplicates" if done.duplicate else "mended"] += 1
        return results

    async def drop(self, quarantine_id: UUID, reason: str) -> str:
        """Drop the event; the log keeps it, and `verify` its id. Returns the consistency token.

        Raises NotInQuarantine, AlreadyDecided, ReasonNeeded.
        """
        await _find(self.store, self.metadata.tenant, quarantine_id)
        command = Drop(quarantine_id=quarantine_id, reason=reason, by=self._actor, now=self.now)
        done = await execute(self.store, QUARANTINE, quarantine_id, command, metadata=self.metadata)
        DECISIONS.labels("dropped").inc()
        return done.token or ""

    @property
    def _actor(self) -> str:
        return self.metadata.actor or UNKNOWN_ACTOR

    async def _state(self, quarantine_id: UUID) -> Quarantined:
        return await _state(self.store, self.metadata.tenant, quarantine_id)

    async def _record(self, quarantine_id: UUID, scan: ScanRecorded) -> Mended:
        """Append the decision, and the scan unless it is in the log."""
        store, tenant = self.store, self.metadata.tenant
        command = Mend(
            quarantine_id=quarantine_id, scan_id=scan.scan_id, by=self._actor, now=self.now
        )
        namespace = identity.namespace(tenant)
        first = identity.scan_event(namespace, scan.scan_id)
        for _ in range(ATTEMPTS):
            decided = QUARANTINE.decide(await self._state(quarantine_id), command)
            recording = (await current_recordings(store, tenant, [first]))[first]
            known = recording.recorded is not None
            try:
                done = await store.append(
                    identity.quarantine_stream(quarantine_id),
                    decided,
                    expected=NO_STREAM,
                    metadata=self.metadata,
                    facts=() if known else (scan_fact(recording.event_id, scan, namespace),),
                )
            except VersionConflict:
                # Another decision came first, or the device has sent the scan meanwhile.
                continue
            DECISIONS.labels("mended").inc()
            (DUPLICATE if known else ACCEPTED).inc()
            return Mended(scan_id=scan.scan_id, duplicate=known, token=done.token)
        raise Unavailable("event log")


async def inspect(
    store: EventStore[IngestEvent], quarantine_id: UUID, *, tenant: str, not_before: datetime
) -> Inspected:
    """One event in full. Raises NotInQuarantine, LogUnavailable."""
    recorded, event = await _find(store, tenant, quarantine_id)
    inspected = partial(
        Inspected,
        event=event,
        recorded=recorded,
        decision=(await _state(store, tenant, quarantine_id)).decision,
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


async def _state(store: EventStore[IngestEvent], tenant: str, quarantine_id: UUID) -> Quarantined:
    history = await store.read(tenant, identity.quarantine_stream(quarantine_id))
    return QUARANTINE.state_after(history.events)
