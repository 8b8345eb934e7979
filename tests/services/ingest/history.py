"""Events for tests, as devices send them and as the log has them."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, assert_never
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import asyncpg

from contracts.envelope import Envelope
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
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import EventStore, Fact
from libs.postgres.pool import Pool
from libs.testing.read_models import apply
from services.ingest.bootstrap import projections
from services.ingest.scans.domain import identity
from services.ingest.scans.domain.day import Days
from services.ingest.scans.domain.filter import ScanFilter
from services.ingest.scans.domain.scan import Reading, validate
from services.ingest.scans.handlers.scan import Recorded, record_batch
from services.ingest.settings import Settings

Store = EventStore[IngestEvent]

ZONE = ZoneInfo("Europe/Moscow")
NOON = datetime(2025, 10, 31, 9, tzinfo=UTC)
"""12:00 in Moscow."""
NOON_MS = 1_761_901_200_000
TODAY = Days(first=date(2025, 10, 31), last=date(2025, 10, 31))
WEEK = Days(first=date(2025, 10, 25), last=date(2025, 10, 31))
FLOOR = datetime(2015, 1, 1, tzinfo=UTC)
DEMO = Metadata(tenant="demo", actor="viewer")
_LATEST = "ORDER BY last_received_at DESC, last_at DESC, last_scan_id DESC"
SUM_TOTALS = f"""
INSERT INTO activity_total
SELECT tenant, day, dimension, name, sum(count), sum(removed),
    coalesce(sum(count) FILTER (WHERE kind = 'ITEM'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'BOX'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'CLOSE'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'AUTO_CLOSE'), 0),
    coalesce(sum(count) FILTER (WHERE kind = 'ERROR'), 0),
    (array_agg(last_received_at {_LATEST}))[1], (array_agg(last_at {_LATEST}))[1],
    (array_agg(last_scan_id {_LATEST}))[1], (array_agg(client {_LATEST}))[1],
    (array_agg(city {_LATEST}))[1], (array_agg(last_box {_LATEST}))[1]
FROM activity, LATERAL (
    VALUES ('operator', operator), ('client', client), ('city', city)
) AS each (dimension, name)
GROUP BY tenant, day, dimension, name
"""
"""Fills `activity_total` with what the rows of `activity` add up to."""


def environment(database: str = "postgresql://unused") -> dict[str, str]:
    """What a process of the service is started with; it writes wide tables."""
    needed = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": "unused", "COLUMNS": "200"}
    return needed | {"INGEST_JWKS_URL": "http://unused"}


SETTINGS = Settings.from_env("INGEST", environment())
PROJECTIONS = projections(SETTINGS)
TABLES = [table for projection in PROJECTIONS for table in projection.tables]


def uuid(number: int) -> str:
    """The id of a device's event, as it is spelled."""
    return str(UUID(int=number, version=4))


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An item as a device sends it, scanned at noon; `...` leaves a field out."""
    fields = {
        "uuid": uuid(number),
        "ts": NOON_MS,
        "type": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": str(number),
        "details": "",
        "source": "pwa",
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def batch(*events: object) -> bytes:
    """The body of a batch; text that is no Unicode is escaped."""
    return json.dumps({"events": events}).encode()


def a_scan(number: int = 1, **changes: Any) -> ScanRecorded:
    """A scan of an item at noon; `changes` name what is different."""
    fields = {
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
    return ScanRecorded(**fields | changes)


def from_a_clock_ahead(
    random: Random, operator: str, *, seconds: int
) -> tuple[list[ScanRecorded], dict[str, bool]]:
    """The scans of a device without signal whose clock is ahead, in the order of their arrival.

    Twenty rows a batch, by random ids, as a PWA sends them (spec §4). Beside it each of its
    boxes, and whether the device holds it open.
    """
    now, readings, boxes = NOON, [], dict[str, bool]()
    for number in range(random.randrange(4, 10)):
        label = f"{operator}/{number % 6}"
        closing = random.choice([[], ["CLOSE"], ["AUTO_CLOSE"], ["CLOSE"]])
        for kind in ["BOX", *["ITEM"] * random.randrange(6), *closing]:
            now += timedelta(seconds=random.randrange(1, 90))
            uuid = UUID(int=random.getrandbits(128), version=4)
            clock = int((now.timestamp() + seconds) * 1000)
            readings.append(
                Reading(uuid=uuid, ts=clock, type=kind, operator=operator, client="x", box=label)
            )
        boxes[label] = not closing
    scans = []
    for n, reading in enumerate(sorted(readings, key=lambda one: str(one.uuid))):
        received_at = now + timedelta(seconds=1 + n // 20 * 10)
        scan = validate(reading, received_at=received_at, not_before=FLOOR)
        assert isinstance(scan, ScanRecorded)
        scans.append(scan)
    return scans, boxes


def removed(scan: ScanRecorded, **changes: Any) -> ItemRemoved:
    """That the item of a scan was removed."""
    fields: dict[str, Any] = {
        "removal_id": UUID(int=900),
        "removed_at": NOON,
        "removed_by": "vera",
        "reason": "",
    }
    return ItemRemoved(scan=scan, **(fields | changes))


def audit(**changes: Any) -> RemovalRecorded:
    """The record of a removal of many items."""
    fields: dict[str, Any] = {
        "removal_id": UUID(int=900),
        "kind": "BULK_REMOVE",
        "operator": "vera",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "",
        "reason": "",
        "removed": (),
        "removed_at": NOON,
    }
    return RemovalRecorded(**fields | changes)


def quarantine_id(scan_id: UUID, tenant: str = "demo") -> UUID:
    """The id in quarantine of a device's event."""
    return identity.quarantine_event(identity.namespace(tenant), ScanId(scan_id))


def in_envelope(event: IngestEvent, *, tenant: str = "demo") -> Envelope[IngestEvent]:
    """An event as a projection gets it."""
    event_id, stream, moment = _address(event, identity.namespace(tenant))
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


def _address(event: IngestEvent, namespace: UUID) -> tuple[UUID, str, datetime]:
    """The id of an event, its stream, and when it was recorded."""
    match event:
        case ScanRecorded():
            event_id = identity.scan_event(namespace, event.scan_id)
            return event_id, identity.scan_stream(namespace, event.operator), event.received_at
        case ItemRemoved():
            event_id = identity.removal_of(identity.scan_event(namespace, event.scan.scan_id))
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
        case ImportUndone():
            event_id = identity.undone_import(namespace, event.run_id)
            return event_id, identity.undone_stream(event_id), event.undone_at
    assert_never(event)


async def project(pool: Pool, events: Sequence[Envelope[IngestEvent]]) -> None:
    """Apply one batch of events to every read model."""
    await apply(pool, "ingest", PROJECTIONS, events)


async def record(pool: Pool, *events: IngestEvent, tenant: str = "demo") -> None:
    """Apply events of one tenant to every read model, in one batch."""
    await project(pool, [in_envelope(one, tenant=tenant) for one in events])


async def send(
    store: Store, *events: object, tenant: str = "demo", at: datetime = NOON, body: bytes = b""
) -> Recorded:
    """Record a batch of these events, or of this `body`, past the API."""
    metadata, body = Metadata(tenant=tenant), body or batch(*events)
    return await record_batch(store, body, metadata=metadata, received_at=at, not_before=FLOOR)


async def append(store: Store, *events: IngestEvent, tenant: str = "demo") -> int:
    """Store events of one tenant as facts; how many of them were new."""
    facts = [
        Fact(event_id=one.event_id, stream=one.stream, event=one.event, occurred_at=one.occurred_at)
        for one in (in_envelope(event, tenant=tenant) for event in events)
    ]
    return len((await store.record(facts, metadata=Metadata(tenant=tenant, actor="viewer"))).new)


async def events_in(store: Store, *kinds: type[Any]) -> list[Any]:
    """Everything in a log, or the events of some kinds."""
    events = [store.decode(one) async for page in store.log.read_all() for one in page]
    return [one for one in events if isinstance(one, kinds or object)]


async def fill(database: str, *statements: str) -> None:
    """Run statements as the owner of the tables, who has no deadline."""
    owner = await asyncpg.connect(database, server_settings={"search_path": "ingest"})
    for statement in statements:
        await owner.execute(statement)
    await owner.close()


def a_filter(days: Days = TODAY, tenant: str = "demo", **filters: Any) -> ScanFilter:
    return ScanFilter(tenant=tenant, days=days, **filters)


def numbers_of(rows: Iterable[Any]) -> list[int]:
    """The numbers of the scans in rows, in their order."""
    return [UUID(str(row["scan_id"])).int for row in rows]
