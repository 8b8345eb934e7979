"""What cannot be applied is set aside by stream, in order; everything else goes on."""

import asyncio
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from libs.eventsourcing.log import RecordedEvent
from libs.messaging import parking, unpark
from libs.messaging.apply import apply
from libs.messaging.parking import StoredRecord, TooManyParked
from libs.messaging.unpark import NotParked, StillFailing
from libs.testing.waiting import eventually
from tests.libs.messaging.lab import Cursed, Foreign, Lab, Ledger, Numbered, rows_of_ledger, running
from tests.libs.messaging.wires import TOPIC, lane, record, recorded

KEY = ("demo", "order-1")


async def parked_of(pool: asyncpg.Pool) -> dict[str, tuple[str, int]]:
    """Why every parked stream is parked, and how many records it has there."""
    listed = await parking.list_parked(pool, "ledger")
    return {one.stream: (one.reason, one.letters) for one in listed}


def curse(number: int, stream: str, version: int) -> RecordedEvent:
    return recorded(number, stream, version=version, type="Cursed")


UNFIT = {
    "undecodable": recorded(2, version=2, data=b"\xff not json"),
    "unknown": recorded(2, version=2, type="Foreign"),
    "failed": curse(2, "order-1", 2),
}


@pytest.mark.parametrize("reason", UNFIT)
async def test_only_the_stream_with_the_bad_event_is_held_from_there_on(
    pool: asyncpg.Pool, reason: str
) -> None:
    ledger = Ledger()
    events = [recorded(1), UNFIT[reason], recorded(3, "order-2"), recorded(4, version=3)]
    later = [recorded(5, "order-2", version=2), recorded(6, version=4)]
    records = lane(events + later)

    await apply(pool, ledger.projection, records[:4])
    await apply(pool, ledger.projection, records[4:])

    assert await rows_of_ledger(pool) == {"order-1": [1], "order-2": [3, 5]}
    assert await parked_of(pool) == {"order-1": (reason, 3)}


@pytest.mark.parametrize(
    "bad",
    [
        record(recorded(7), 1, 9, 9, value=None),
        record(recorded(7), 1, 9, 9, but={"tenant": b"a\x00b"}),
        StoredRecord(TOPIC, 0, 1, None, b"", []),
        StoredRecord(TOPIC, 0, 1, b"\x00", b"\x00\xff", [("\x00", b"\x00"), ("", None)]),
    ],
    ids=["tombstone", "nul", "empty", "bytes"],
)
async def test_a_record_that_is_no_event_is_kept_and_in_nobodys_way(
    pool: asyncpg.Pool, bad: StoredRecord
) -> None:
    records = [record(recorded(1), 0, 1, 0), bad, record(recorded(2, version=2), 2, 2, 1)]

    await apply(pool, Ledger().projection, records)

    assert await rows_of_ledger(pool) == {"order-1": [1, 2]}
    assert await parked_of(pool) == {f"{TOPIC}-0-1": ("unreadable", 1)}
    (letter,) = await parking.letters_of(pool, "ledger", ("?", f"{TOPIC}-0-1"))
    assert (letter.key, letter.value) == (bad.key, bad.value)
    assert [value for _, value in letter.headers] == [value for _, value in bad.headers]


async def test_a_retry_that_fails_again_changes_nothing_and_dropping_lifts_the_block(
    pool: asyncpg.Pool,
) -> None:
    ledger = Ledger()
    events = [recorded(1), curse(2, "order-1", 2), *(recorded(n, version=n) for n in (3, 4))]
    records = lane(events)
    await apply(pool, ledger.projection, records[:3])

    for attempts in (2, 3):
        with pytest.raises(StillFailing, match="a cursed event"):
            await unpark.retry(pool, ledger.projection, KEY)
        (one,) = await parking.list_parked(pool)
        assert (one.attempts, one.letters, one.error) == (attempts, 2, "ValueError: a cursed event")

    assert await rows_of_ledger(pool) == {"order-1": [1]}
    assert await unpark.drop(pool, ledger.projection, KEY) == 2
    await apply(pool, ledger.projection, records[3:])
    assert await rows_of_ledger(pool) == {"order-1": [1, 4]}
    assert await parked_of(pool) == {}


async def test_a_retry_that_gets_further_and_then_fails_is_undone_whole(pool: asyncpg.Pool) -> None:
    ledger = Ledger()
    await apply(
        pool, ledger.projection, lane([recorded(1, type="Foreign"), curse(2, "order-1", 2)])
    )
    ledger.known = True

    with pytest.raises(StillFailing):
        await unpark.retry(pool, ledger.projection, KEY)

    assert await rows_of_ledger(pool) == {}
    assert await parked_of(pool) == {"order-1": ("unknown", 2)}


async def test_what_is_not_parked_can_be_neither_retried_nor_dropped(pool: asyncpg.Pool) -> None:
    await apply(pool, Ledger().projection, lane([recorded(1)]))

    for act in (unpark.retry, unpark.drop):
        with pytest.raises(NotParked):
            await act(pool, Ledger().projection, KEY)


async def test_a_stream_is_one_tenants_own(pool: asyncpg.Pool) -> None:
    events = [curse(1, "order-1", 1), recorded(2, "order-1", tenant="other")]

    await apply(pool, Ledger().projection, lane(events))

    assert [one.tenant for one in await parking.list_parked(pool, "ledger")] == ["demo"]
    assert await pool.fetchval("SELECT tenant FROM ledger") == "other"


async def test_events_that_come_during_a_retry_are_not_lost(pool: asyncpg.Pool) -> None:
    ledger = Ledger()
    events = [curse(1, "order-1", 1), *(recorded(n, version=n) for n in range(2, 42))]
    records = lane(events)
    await apply(pool, ledger.projection, records[:1])
    ledger.cursed = False

    async def go_on() -> None:
        for at in range(1, 41, 2):
            await apply(pool, ledger.projection, records[at : at + 2])

    async def enough() -> bool:
        return (await parked_of(pool))["order-1"][1] >= 10

    async def retry_soon() -> None:
        await eventually(enough, poll_seconds=0.001)
        await unpark.retry(pool, ledger.projection, KEY)

    await asyncio.gather(go_on(), retry_soon())

    assert await rows_of_ledger(pool) == {"order-1": list(range(1, 42))}
    assert await parked_of(pool) == {}


async def test_two_retries_at_once_apply_once(pool: asyncpg.Pool) -> None:
    ledger = Ledger()
    await apply(pool, ledger.projection, lane([curse(1, "order-1", 1), recorded(2, version=2)]))
    ledger.cursed = False

    both = (unpark.retry(pool, ledger.projection, KEY) for _ in range(2))
    answers = await asyncio.gather(*both, return_exceptions=True)

    assert sorted(map(str, answers)) == sorted(["2", str(NotParked())])
    assert await rows_of_ledger(pool) == {"order-1": [1, 2]}


async def test_a_projection_that_fails_everywhere_parks_nothing(pool: asyncpg.Pool) -> None:
    ledger = Ledger()
    records = lane([curse(n, f"order-{n}", 1) for n in range(parking.CAP + 1)])

    await apply(pool, ledger.projection, records[:100])
    with pytest.raises(TooManyParked):
        await apply(pool, ledger.projection, records[100:])
    with pytest.raises(TooManyParked):
        await apply(pool, ledger.projection, records)

    assert await parking.count(pool, "ledger") == 100
    ledger.cursed = False
    await apply(pool, ledger.projection, records)
    assert len(await rows_of_ledger(pool)) == parking.CAP + 1 - 100


async def test_one_bad_event_among_many_is_found(pool: asyncpg.Pool) -> None:
    ledger = Ledger()
    events = [recorded(n, f"order-{n}") for n in range(200)]
    events[117] = curse(117, "order-117", 1)

    await apply(pool, ledger.projection, lane(events))

    assert len(await rows_of_ledger(pool)) == 199
    assert await parked_of(pool) == {"order-117": ("failed", 1)}


async def test_poison_of_every_kind_in_the_topic_stops_nobody_else(lab: Lab) -> None:
    projector = lab.projector()

    async with running(lab.relay(), projector):
        await lab.append("order-1", Numbered(1))
        await _produce_poison(lab)
        await lab.append("order-2", Foreign(2))
        await lab.append("order-3", Cursed(3), Numbered(4))
        await lab.append("order-1", Numbered(5))
        await eventually(lab.rows, {"order-1": [1, 5]})
        await eventually(lambda: projector.progress.parked, 6)
        lab.ledger.cursed = False
        assert await unpark.retry(lab.pool, lab.ledger.projection, ("demo", "order-3")) == 2
        await eventually(lab.rows, {"order-1": [1, 5], "order-3": [3, 4]})
        # Seen although nothing new was parked.
        await eventually(lambda: projector.progress.parked, 5)
        assert projector.progress.broken is None


async def _produce_poison(lab: Lab) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=lab.bootstrap)
    await producer.start()
    poison: list[dict[str, Any]] = [
        {"key": b"order-1", "value": b"\xff\xfe"},
        {"key": b"order-1", "value": None},
        {"value": b"{}", "headers": [("tenant", b"\xff"), ("ce_id", b"")]},
        {"key": b"\x00", "value": b"{}", "headers": [("relay_seq", b"\x00")]},
    ]
    for one in poison:
        await producer.send_and_wait(lab.topic, partition=0, **one)
    await producer.stop()


async def test_a_projection_that_fails_everywhere_stops_and_goes_on_when_mended(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "CAP", 3)
    projector = lab.projector()

    for number in range(8):
        await lab.append(f"order-{number}", Cursed(number))
    async with running(lab.relay(), projector):
        await eventually(lambda: "TooManyParked" in (projector.progress.broken or ""))
        lab.ledger.cursed = False
        await eventually(lambda: _applied_or_retried(lab), 8)
        await eventually(lambda: projector.progress.broken, None)


async def _applied_or_retried(lab: Lab) -> int:
    """How many streams are applied, now or after a retry."""
    for one in await parking.list_parked(lab.pool, "ledger"):
        await unpark.retry(lab.pool, lab.ledger.projection, (one.tenant, one.stream))
    return len(await lab.rows())
