"""What the feed of an inbox takes in of a foreign topic, what stops it, and how a person moves it
on: on Postgres alone, record by record."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from libs.messaging import positions
from libs.messaging.dedup import Gap, Position, TopicPartition
from libs.messaging.inbox import RawRecord
from libs.messaging.inbox_feed import InboxFeed, Stored
from libs.messaging.reaction import Schedule
from libs.messaging.wire import Record
from libs.testing.clock import NOON
from tests.libs.messaging.deeds import Deeds, open_deeds_without_broker, work_off
from tests.libs.messaging.lab import order
from tests.libs.messaging.wires import TOPIC, record, recorded

LABELS = {"log_id": b"lab-1", "incarnation": b"first"}
RESTORED = LABELS | {"incarnation": b"second"}
HERE, BESIDE = (TOPIC, 0), (TOPIC, 1)


@pytest.fixture
async def deeds(pool: asyncpg.Pool) -> Deeds:
    """A reaction that has done nothing yet, and no broker."""
    return await open_deeds_without_broker(pool)


def sent(
    number: int,
    prev: int,
    *,
    offset: int,
    partition: int = 0,
    by: Mapping[str, bytes] = LABELS,
    **different: Any,
) -> Record:
    """The event with that number, as a relay sends it."""
    event = recorded(number, different.pop("stream", order(number)), **different)
    return record(event, offset, number, prev, partition=partition, but=by)


def recent(record: Record) -> Record:
    """The same, recorded just now."""
    now = {"ce_recordedtime": datetime.now(UTC).isoformat().encode()}
    headers = [*(dict(record.headers) | now).items()]
    return RawRecord(
        record.topic, record.partition, record.offset, record.key, record.value, headers
    )


async def store(deeds: Deeds, *records: Record, **different: Any) -> Stored:
    return await InboxFeed(deeds.lab.pool, deeds.reaction(**different)).store(records)


async def stop(deeds: Deeds, *records: Record) -> Gap:
    """Store records of one partition in which one is missing; the gap is noted."""
    [(at, gap)] = (await store(deeds, *records)).gaps.items()
    async with deeds.lab.pool.acquire() as connection:
        await positions.stop(connection, "deeds", at, gap)
    return gap


async def stopped(deeds: Deeds) -> dict[TopicPartition, Gap]:
    async with deeds.lab.pool.acquire() as connection:
        return await positions.stopped(connection, "deeds")


async def skip(deeds: Deeds, at: TopicPartition = HERE) -> Gap | None:
    async with deeds.lab.pool.acquire() as connection, connection.transaction():
        return await positions.skip(connection, "deeds", at, reason="lost", accepted_by="anna")


async def in_inbox(deeds: Deeds) -> list[int]:
    """The numbers of the events that were taken in."""
    rows = await deeds.lab.pool.fetch("SELECT event_id FROM inbox ORDER BY sequence")
    return [row["event_id"].int for row in rows]


async def test_a_gap_blocks_its_partition_until_it_is_skipped_and_recorded(
    deeds: Deeds,
) -> None:
    behind = [sent(4, 3, offset=3), sent(5, 4, offset=4)]
    gap = await stop(deeds, sent(1, 0, offset=0), sent(2, 1, offset=1), *behind)
    assert await in_inbox(deeds) == [1, 2]
    assert await stopped(deeds) == {HERE: gap}
    assert (await store(deeds, *behind)).messages == 0

    assert await skip(deeds) == gap
    assert await skip(deeds) is None
    assert (await store(deeds, *behind)).messages == 2

    assert await in_inbox(deeds) == [1, 2, 4, 5]
    assert await stopped(deeds) == {}
    columns = "kind", "from_seq", "to_seq", "from_offset", "to_offset", "reason", "accepted_by"
    audits = [[row[name] for name in columns] for row in await positions.list_gaps(deeds.lab.pool)]
    assert audits == [["missing", 3, 3, 2, 3, "lost", "anna"]]


async def test_missing_records_that_arrive_later_unblock_the_partition(deeds: Deeds) -> None:
    gap = await stop(deeds, sent(1, 0, offset=0), sent(3, 2, offset=2))
    assert (await store(deeds, sent(2, 1, offset=1))).gaps == {}
    assert await stopped(deeds) == {}
    async with deeds.lab.pool.acquire() as connection:
        # Who found the gap notes it late.
        await positions.stop(connection, "deeds", HERE, gap)
    assert await stopped(deeds) == {}


async def test_another_incarnation_is_read_only_after_it_is_accepted(deeds: Deeds) -> None:
    """In the partition where it showed itself and in all others, where it is expected then; the one
    before is over. What it repeats from a time the inbox has forgotten is left out."""
    await store(deeds, sent(1, 0, offset=0), sent(51, 0, offset=0, partition=1))
    again = [sent(n, n - 1, offset=n, by=RESTORED) for n in (1, 2)]
    await stop(deeds, *again)
    await skip(deeds)
    await deeds.lab.pool.execute("DELETE FROM inbox")

    others = recent(sent(52, 0, offset=1, partition=1, by=RESTORED))
    stored = await store(deeds, *again, recent(sent(3, 2, offset=3, by=RESTORED)), others)

    assert (stored.gaps, await in_inbox(deeds)) == ({}, [3, 52])
    zombies = sent(2, 1, offset=4), sent(53, 51, offset=2, partition=1)
    gaps = (await store(deeds, *zombies)).gaps
    assert {at: gap.link.incarnation for at, gap in gaps.items()} == {
        HERE: "first",
        BESIDE: "first",
    }


async def test_messages_and_position_are_stored_together_or_not_at_all(
    deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overtaken(*_: Any) -> None:
        raise positions.PositionConflict

    with monkeypatch.context() as patch:
        patch.setattr("libs.messaging.positions.save", overtaken)
        with pytest.raises(positions.PositionConflict):
            await store(deeds, sent(1, 0, offset=0))
    assert await in_inbox(deeds) == []
    await store(deeds, sent(1, 0, offset=0))
    assert await in_inbox(deeds) == [1]


async def test_later_events_of_a_stream_wait_for_an_unreadable_one(deeds: Deeds) -> None:
    def each_by_itself(event: Any) -> Schedule:
        return Schedule(f"number {event.n}", NOON - timedelta(hours=event.n))

    await store(
        deeds,
        sent(1, 0, offset=0, stream="order-a", type="Foreign"),
        sent(2, 1, offset=1, stream="order-a"),
        sent(3, 2, offset=2, stream="order-b"),
        schedule_of=each_by_itself,
    )
    await work_off(deeds.reactor())
    assert deeds.tried == [3]


async def test_a_position_is_moved_only_from_its_stored_offset(deeds: Deeds) -> None:
    """Two workers that read one position do not both move it."""
    old = {HERE: Position(0)}
    moved = {HERE: Position(1)}
    async with deeds.lab.pool.acquire() as connection:
        await positions.add(connection, "deeds", {HERE: 0})
        await positions.save(connection, "deeds", old, moved)
        with pytest.raises(positions.PositionConflict):
            await positions.save(connection, "deeds", old, moved)
