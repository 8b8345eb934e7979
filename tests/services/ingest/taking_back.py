"""Items that were scanned, and orders to take them back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from httpx import AsyncClient

from contracts.ingest import IngestEvent, ItemRemoved, ScanId, ScanRecorded
from libs.eventsourcing.log import Cause
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.handlers.removal import Candidates, Look, Order
from tests.services.ingest.told import NOON, NOON_MS, Projector, in_envelope

DEMO = Cause(tenant="demo", actor="viewer")
BOX = {"box": "ivancov/8", "code": "2042469234860"}


def order(**changes: Any) -> Order:
    told: dict[str, Any] = {"kind": "BULK_REMOVE", "operator": "vera", "reason": "", "at": NOON}
    return Order(**told | changes)


def ids(*numbers: int) -> list[ScanId]:
    return [ScanId(UUID(int=number)) for number in numbers]


def looking_at(*numbers: int, complete: bool = True) -> Look:
    async def look() -> Candidates:
        return Candidates(ids(*numbers), complete)

    return look


async def scanned(store: EventStore[IngestEvent], *scans: ScanRecorded) -> int:
    """Store the scans; how many of them were new."""
    told = [in_envelope(scan) for scan in scans]
    facts = [
        Fact(event_id=one.event_id, stream=one.stream, event=one.event, occurred_at=NOON)
        for one in told
    ]
    return len((await store.record(facts, cause=DEMO)).new)


async def events_of(store: EventStore[IngestEvent], kind: type[Any]) -> Sequence[Any]:
    events = [store.decode(one) async for page in store.log.read_all() for one in page]
    return [event for event in events if isinstance(event, kind)]


async def removed_ids(store: EventStore[IngestEvent]) -> list[int]:
    return sorted(event.scan.scan_id.int for event in await events_of(store, ItemRemoved))


BATCH = "/api/v1/events/batch"
REMOVE = "/api/v1/events/remove"
BULK = "/api/v1/events/bulk-remove"
DELETIONS = "/api/v1/deletions"
STATE = "/api/v1/dashboard/state"
RAW = "/api/v1/dashboard/raw"
TODAY = {"date": "2025-10-31"}


def uuid(number: int) -> str:
    return str(UUID(int=number, version=4))


def event(number: int, **changes: Any) -> dict[str, Any]:
    told = {
        "uuid": uuid(number),
        "ts": NOON_MS - 1000 + number,
        "type": "ITEM",
        "operator": "anna",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "777",
        "details": "",
        "source": "pwa",
    }
    return told | changes


async def send(device: AsyncClient, projector: Projector, *events: dict[str, Any]) -> None:
    answer = await device.post(BATCH, json={"events": events})
    assert answer.json()["errors"] == []
    await projector.catch_up()
