"""What happens when a device sends a batch, and when it asks what has arrived."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from contracts.ingest import EVENTS, IngestEvent, ScanQuarantined, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Cause
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import Pool
from services.ingest.handlers.body import BadRequest
from services.ingest.handlers.scan import Recorded, record_batch, verify
from tests.services.ingest.told import NOON

FLOOR = datetime(2015, 1, 1, tzinfo=UTC)
NOON_MS = 1_761_901_200_000


def event(number: int, **changes: Any) -> dict[str, Any]:
    told = {
        "uuid": str(UUID(int=number, version=4)),
        "ts": NOON_MS,
        "type": "ITEM",
        "operator": "anna",
        "code": str(number),
    }
    return {name: value for name, value in (told | changes).items() if value is not ...}


async def send(
    store: EventStore[IngestEvent],
    *events: object,
    tenant: str = "demo",
    at: datetime = NOON,
) -> Recorded:
    return await record_batch(
        store,
        json.dumps({"events": events}).encode(),
        cause=Cause(tenant=tenant),
        received_at=at,
        not_before=FLOOR,
    )


async def stored(store: EventStore[IngestEvent]) -> list[ScanRecorded | ScanQuarantined]:
    events = [store.decode(one) async for page in store.log.read_all() for one in page]
    return [event for event in events if isinstance(event, ScanRecorded | ScanQuarantined)]


def counts(recorded: Recorded) -> tuple[int, int, int]:
    return recorded.inserted, len(recorded.duplicates), len(recorded.errors)


async def test_new_scans_are_stored_with_one_receive_time(store: EventStore[IngestEvent]) -> None:
    recorded = await send(store, event(1), event(2))

    assert counts(recorded) == (2, 0, 0)
    scans = await stored(store)
    assert {scan.received_at for scan in scans} == {NOON}
    assert {scan.code for scan in scans} == {"1", "2"}


async def test_a_repeated_batch_stores_nothing_and_names_every_scan(
    store: EventStore[IngestEvent],
) -> None:
    first = await send(store, event(1), event(2))

    second = await send(store, event(2), event(1), at=NOON + timedelta(hours=1))

    assert counts(second) == (0, 2, 0)
    assert set(second.duplicates) == {event(1)["uuid"], event(2)["uuid"]}
    assert second.token == first.token
    assert len(await stored(store)) == 2


async def test_within_a_batch_the_first_of_a_uuid_wins(store: EventStore[IngestEvent]) -> None:
    recorded = await send(store, event(1), event(1), event(1, code="other"))

    assert counts(recorded) == (1, 2, 0)
    assert [scan.code for scan in await stored(store)] == ["1"]


async def test_a_bad_event_is_quarantined_and_the_others_are_stored(
    store: EventStore[IngestEvent],
) -> None:
    bad = event(2, code="x" * 501)

    recorded = await send(store, event(1), bad, event(3))

    assert counts(recorded) == (2, 0, 1)
    assert "too_long" in recorded.errors[0]
    (kept,) = [one for one in await stored(store) if isinstance(one, ScanQuarantined)]
    assert (str(kept.scan_id), kept.code) == (bad["uuid"], "too_long")
    assert json.loads(kept.raw) == bad


async def test_a_bad_event_sent_again_is_an_error_again_but_kept_once(
    store: EventStore[IngestEvent],
) -> None:
    bad = [event(1, ts=0), event(2, uuid="nonsense"), event(3, uuid=..., code="\0"), 7, "\ud800"]
    await send(store, *bad)

    again = await send(store, *reversed(bad))

    assert counts(again) == (0, 0, 5)
    assert len(await stored(store)) == 5


async def test_a_mended_event_is_accepted_after_its_quarantine(
    store: EventStore[IngestEvent],
) -> None:
    await send(store, event(1, code=7))

    assert counts(await send(store, event(1, code="7"))) == (1, 0, 0)


async def test_an_event_without_uuid_is_stored_once_however_often_it_is_sent(
    store: EventStore[IngestEvent],
) -> None:
    nameless = event(1, uuid=...)
    await send(store, nameless)

    again = await send(store, nameless, nameless, at=NOON + timedelta(hours=1))

    assert counts(again) == (0, 2, 0)
    assert len(await stored(store)) == 1


async def test_an_id_sent_with_other_content_keeps_the_first_and_is_told_of(
    store: EventStore[IngestEvent],
) -> None:
    await send(store, event(1))

    with capture_logs() as logs:
        recorded = await send(store, event(1, code="other"), event(2), event(2, code="other"))

    assert counts(recorded) == (1, 2, 0)
    assert [entry["scan_id"] for entry in logs] == [event(1)["uuid"], event(2)["uuid"]]
    assert "other" not in {scan.code for scan in await stored(store)}


async def test_the_same_sent_again_is_no_conflict(store: EventStore[IngestEvent]) -> None:
    ahead = event(1, ts=NOON_MS + 600_000)
    await send(store, ahead)

    with capture_logs() as logs:
        await send(store, ahead, ahead, at=NOON + timedelta(hours=1))

    assert logs == []


async def test_tenants_may_use_the_same_ids(store: EventStore[IngestEvent]) -> None:
    await send(store, event(1), event(2, ts=0))

    other = await send(store, event(1), event(2, ts=0), tenant="other")

    assert counts(other) == (1, 0, 1)
    assert len(await stored(store)) == 4


async def test_a_body_that_is_no_batch_stores_nothing(store: EventStore[IngestEvent]) -> None:
    with pytest.raises(BadRequest):
        await send(store)

    assert await stored(store) == []


@pytest.mark.parametrize("depth", [*range(880, 1000, 10), 5000])
async def test_nesting_is_quarantined_or_refused_but_never_a_crash(
    store: EventStore[IngestEvent], depth: int
) -> None:
    body = b'{"events":[{"ts":' + b"[" * depth + b"]" * depth + b"}]}"
    try:
        recorded = await record_batch(
            store, body, cause=Cause(tenant="demo"), received_at=NOON, not_before=FLOOR
        )
    except BadRequest:
        assert await stored(store) == []
    else:
        assert counts(recorded) == (0, 0, 1)


async def test_an_endless_bad_event_is_kept_as_far_as_kafka_can_carry(
    store: EventStore[IngestEvent],
) -> None:
    await send(store, event(1, details="я" * 3_000_000))

    (recorded,) = [one async for page in store.log.read_all() for one in page]
    assert len(recorded.data) < 900_000


async def test_verify_knows_what_is_stored_and_what_is_quarantined(
    store: EventStore[IngestEvent],
) -> None:
    await send(store, event(1), event(2, ts=0))
    spellings = [event(1)["uuid"].upper(), event(2)["uuid"].replace("-", "")]

    asked = [*spellings, spellings[0], str(uuid4()), "uuid1", "", "\ud800"]

    assert await verify(store, "demo", asked) == spellings
    assert await verify(store, "other", asked) == []


async def test_parallel_identical_batches_count_every_scan_once(pool: Pool) -> None:
    codec = Codec[IngestEvent](EVENTS)
    stores = [EventStore[IngestEvent](PostgresLog(pool), codec) for _ in range(2)]
    events = [event(n) for n in range(20)]

    answers = await asyncio.gather(*(send(stores[n % 2], *events) for n in range(24)))

    assert sum(answer.inserted for answer in answers) == 20
    assert all(counts(answer)[:2] == (a := answer.inserted, 20 - a) for answer in answers)


async def test_what_a_device_can_send_a_real_log_can_hold(pool: Pool) -> None:
    log = PostgresLog(pool)
    store = EventStore[IngestEvent](log, Codec[IngestEvent](EVENTS))
    awkward = [
        event(1, code="\\u0000 \u2028 😀 '; DROP TABLE events; --"),
        event(2, code="\0"),
        event(3, code="\ud800"),
        event(4, ts=253_402_300_799_999),
        event(5, details="x" * 65_536),
        {"\0": "\udfff"},
    ]

    assert counts(await send(store, *awkward)) == (3, 0, 3)

    kept = await stored(store)
    assert sum(isinstance(one, ScanRecorded) for one in kept) == 3
