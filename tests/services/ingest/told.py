"""What tests tell of: scans, a clock that stands still, and the way from a log to read models."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from contracts.envelope import Envelope
from contracts.ingest import (
    IngestEvent,
    ItemRemoved,
    QuarantineDropped,
    QuarantineMended,
    RemovalRecorded,
    ScanId,
    ScanQuarantined,
    ScanRecorded,
)
from libs.eventsourcing.store import EventStore, envelope
from libs.messaging.projection import Projection
from libs.postgres.pool import Pool
from services.ingest.domain import identity
from services.ingest.read_models import activity, box, presence, quarantine, removal, scan_log

ZONE = ZoneInfo("Europe/Moscow")
NOON = datetime(2025, 10, 31, 9, tzinfo=UTC)
"""12:00 in Moscow."""
NOON_MS = 1_761_901_200_000


@dataclass
class Clock:
    """Time stands still until it is moved."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **duration: float) -> None:
        """Let a `timedelta` go by."""
        self.now += timedelta(**duration)


def every_projection() -> list[Projection[IngestEvent]]:
    """All read models, in Moscow days."""
    return [
        activity.projection(ZONE),
        presence.projection(),
        scan_log.projection(ZONE),
        box.projection(ZONE),
        quarantine.projection(),
        removal.projection(ZONE),
    ]


async def project(pool: Pool, events: Sequence[Envelope[IngestEvent]]) -> None:
    """Apply one batch of events to every read model."""
    for projection in every_projection():
        async with pool.acquire() as connection, connection.transaction():
            await projection.project(connection, events)


@dataclass
class Projector:
    """Carries a log over into the read models, as relay and projectors would."""

    store: EventStore[IngestEvent]
    pool: Pool
    position: int = field(default=0)

    async def catch_up(self) -> None:
        """Project what came since the last time."""
        async for page in self.store.log.read_all(after=self.position):
            await project(
                self.pool, [envelope(recorded, self.store.decode(recorded)) for recorded in page]
            )
            self.position = page[-1].position


def a_scan(number: int = 1, **changes: Any) -> ScanRecorded:
    """A scan of an item at noon; `changes` name what is different."""
    told = {
        "scan_id": ScanId(UUID(int=number)),
        "kind": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "2042469234860",
        "details": "",
        "source": "pwa",
        "scanned_at": NOON,
        "received_at": NOON,
        "effective_at": changes.get("scanned_at", NOON),
        "skewed": False,
    }
    return ScanRecorded(**told | changes)


def in_envelope(event: IngestEvent, *, tenant: str = "demo") -> Envelope[IngestEvent]:
    """An event as a projection meets it."""
    event_id, stream, moment = _place(event, identity.namespace(tenant))
    return Envelope(
        event_id=event_id,
        tenant=tenant,
        stream=stream,
        version=None,
        occurred_at=moment,
        recorded_at=moment,
        correlation_id=None,
        causation_id=None,
        actor=None,
        traceparent=None,
        event=event,
    )


def _place(event: IngestEvent, namespace: UUID) -> tuple[UUID, str, datetime]:
    """The id of an event, its stream, and when it was told."""
    match event:
        case ScanRecorded():
            event_id = identity.scan_event(namespace, event.scan_id)
            return event_id, identity.scan_stream(namespace, event.operator), event.received_at
        case ItemRemoved():
            event_id = identity.item_removal(namespace, event.scan.scan_id)
            return event_id, identity.scan_stream(namespace, event.scan.operator), event.removed_at
        case RemovalRecorded():
            stream = identity.removal_stream(event.removal_id)
            return event.removal_id, stream, event.removed_at
        case ScanQuarantined():
            assert event.scan_id is not None
            event_id = identity.quarantine_event(namespace, event.scan_id)
            return event_id, identity.quarantine_stream(event_id), event.received_at
        case QuarantineMended():
            stream = identity.quarantine_stream(event.quarantine_id)
            return uuid5(event.quarantine_id, "mended"), stream, event.mended_at
        case QuarantineDropped():
            stream = identity.quarantine_stream(event.quarantine_id)
            return uuid5(event.quarantine_id, "dropped"), stream, event.dropped_at
    assert_never(event)


@dataclass
class Fresh:
    """Says whether read models are up to date, and remembers who asked."""

    answer: bool = True
    asked: set[tuple[str, str]] = field(default_factory=set)

    async def wait(self, projection: str, token: str) -> bool:
        """As it was told."""
        self.asked.add((projection, token))
        return self.answer

    async def caught_up(self, projection: str) -> bool:
        """As it was told."""
        return await self.wait(projection, "now")
