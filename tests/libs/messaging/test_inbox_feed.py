"""The inbox feed of a foreign topic: accepted records, gaps, and skips by a person. Needs Postgres
only."""

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
from tests.libs.messaging.lab import order
from tests.libs.messaging.reaction_harness import (
    ReactionHarness,
    handle_due,
    open_harness_without_broker,
)
from tests.libs.messaging.wires import LABELS, TOPIC, record, recorded

RESTORED = LABELS | {"incarnation": b"second"}
HERE, BESIDE = (TOPIC, 0), (TOPIC, 1)


@pytest.fixture
async def harness(pool: asyncpg.Pool) -> ReactionHarness:
    """A new harness without a broker."""
    return await open_harness_without_broker(pool)


def sent(
    number: int,
    prev: int,
    *,
    offset: int,
    partition: int = 0,
    by: Mapping[str, bytes] = LABELS,
    **different: Any,
) -> Record:
    """The event with this number as a relay sends it."""
    event = recorded(number, different.pop("stream", order(number)), **different)
    return record(event, offset, number, prev, partition=partition, but=by)


def recent(record: Record) -> Record:
    """The event with this number, recorded just now."""
    now = {"ce_recordedtime": datetime.now(UTC).isoformat().encode()}
    headers = [*(dict(record.headers) | now).items()]
    return RawRecord(
        record.topic, record.partition, record.offset, record.key, record.value, headers
    )


async def store(harness: ReactionHarness, *records: Record, **different: Any) -> Stored:
    return await InboxFeed(harness.lab.pool, harness.reaction(**different)).store(records)


async def stop(harness: ReactionHarness, *records: Record) -> Gap:
    """Store records of one partition with a gap, and store the gap."""
    [(at, gap)] = (await store(harness, *records)).gaps.items()
    async with harness.lab.pool.acquire() as connection:
        await positions.stop(connection, "deeds", at, gap)
    return gap


async def stopped(harness: ReactionHarness) -> dict[TopicPartition, Gap]:
    async with harness.lab.pool.acquire() as connection:
        return await positions.stopped(connection, "deeds")


async def skip(harness: ReactionHarness, at: TopicPartition = HERE) -> Gap | None:
    async with harness.lab.pool.acquire() as connection, connection.transaction():
        return await positions.skip(connection, "deeds", at, reason="lost", accepted_by="anna")


async def in_inbox(harness: ReactionHarness) -> list[int]:
    """The numbers of the stored events."""
    rows = await harness.lab.pool.fetch("SELECT event_id FROM inbox ORDER BY sequence")
    return [row["event_id"].int for row in rows]


async def test_a_gap_blocks_its_partition_until_it_is_skipped_and_recorded(
    harness: ReactionHarness,
) -> None:
    behind = [sent(4, 3, offset=3), sent(5, 4, offset=4)]
    gap = await stop(harness, sent(1, 0, offset=0), sent(2, 1, offset=1), *behind)
    assert await in_inbox(harness) == [1, 2]
    assert await stopped(harness) == {HERE: gap}
    assert (await store(harness, *behind)).messages == 0

    assert await skip(harness) == gap
    assert await skip(harness) is None
    assert (await store(harness, *behind)).messages == 2

    assert await in_inbox(harness) == [1, 2, 4, 5]
    assert await stopped(harness) == {}
    columns = "kind", "from_seq", "to_seq", "from_offset", "to_offset", "reason", "accepted_by"
    audits = [
        [row[name] for name in columns] for row in await positions.list_gaps(harness.lab.pool)
    ]
    assert audits == [["missing", 3, 3, 2, 3, "lost", "anna"]]


async def test_missing_records_that_arrive_later_unblock_the_partition(
    harness: ReactionHarness,
) -> None:
    gap = await stop(harness, sent(1, 0, offset=0), sent(3, 2, offset=2))
    assert (await store(harness, sent(2, 1, offset=1))).gaps == {}
    assert await stopped(harness) == {}
    async with harness.lab.pool.acquire() as connection:
        # Who found the gap notes it late.
        await positions.stop(connection, "deeds", HERE, gap)
    assert await stopped(harness) == {}


async def test_another_incarnation_is_read_only_after_it_is_accepted(
    harness: ReactionHarness,
) -> None:
    """It is accepted in all partitions, and the previous incarnation is retired. Events older than
    the retention of the inbox are skipped."""
    await store(harness, sent(1, 0, offset=0), sent(51, 0, offset=0, partition=1))
    again = [sent(n, n - 1, offset=n, by=RESTORED) for n in (1, 2)]
    await stop(harness, *again)
    await skip(harness)
    await harness.lab.pool.execute("DELETE FROM inbox")

    others = recent(sent(52, 0, offset=1, partition=1, by=RESTORED))
    stored = await store(harness, *again, recent(sent(3, 2, offset=3, by=RESTORED)), others)

    assert (stored.gaps, await in_inbox(harness)) == ({}, [3, 52])
    zombies = sent(2, 1, offset=4), sent(53, 51, offset=2, partition=1)
    gaps = (await store(harness, *zombies)).gaps
    assert {at: gap.link.incarnation for at, gap in gaps.items()} == {
        HERE: "first",
        BESIDE: "first",
    }


async def test_messages_and_position_are_stored_together_or_not_at_all(
    harness: ReactionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overtaken(*_: Any) -> None:
        raise positions.PositionConflict

    with monkeypatch.context() as patch:
        patch.setattr("libs.messaging.positions.save", overtaken)
        with pytest.raises(positions.PositionConflict):
            await store(harness, sent(1, 0, offset=0))
    assert await in_inbox(harness) == []
    await store(harness, sent(1, 0, offset=0))
    assert await in_inbox(harness) == [1]


async def test_later_events_of_a_stream_wait_for_an_unreadable_one(
    harness: ReactionHarness,
) -> None:
    def each_by_itself(event: Any) -> Schedule:
        return Schedule(f"number {event.n}", NOON - timedelta(hours=event.n))

    await store(
        harness,
        sent(1, 0, offset=0, stream="order-a", type="Foreign"),
        sent(2, 1, offset=1, stream="order-a"),
        sent(3, 2, offset=2, stream="order-b"),
        schedule_of=each_by_itself,
    )
    await handle_due(harness.reactor())
    assert harness.tried == [3]


async def test_a_position_is_moved_only_from_its_stored_offset(harness: ReactionHarness) -> None:
    """If two workers read one position, only one moves it."""
    old = {HERE: Position(0)}
    moved = {HERE: Position(1)}
    async with harness.lab.pool.acquire() as connection:
        await positions.add(connection, "deeds", {HERE: 0})
        await positions.save(connection, "deeds", old, moved)
        with pytest.raises(positions.PositionConflict):
            await positions.save(connection, "deeds", old, moved)


async def test_what_a_reaction_does_with_a_message_it_receives_is_stored_with_it(
    harness: ReactionHarness,
) -> None:
    received: list[int] = []

    async def on_received(connection: Any, arrived: Any) -> None:
        received.append(arrived.event.n)
        [known] = await connection.fetchrow("SELECT count(*) FROM inbox")
        assert known == len(received)

    later = {"schedule_of": lambda event: Schedule("all", NOON + timedelta(days=30_000))}
    records = sent(1, 0, offset=0), sent(2, 1, offset=1)
    await store(harness, records[0], on_received=on_received, **later)
    await store(harness, *records, on_received=on_received, **later)

    assert received == [1, 2]


async def test_a_message_that_cannot_be_received_is_parked_alone(harness: ReactionHarness) -> None:
    async def on_received(connection: Any, arrived: Any) -> None:
        if arrived.event.n == 2:
            await connection.execute("SELECT $1::int", 2**40)

    records = [sent(n, n - 1, offset=n - 1) for n in (1, 2, 3)]
    await store(harness, *records, on_received=on_received)

    parked = "SELECT count(*) FROM inbox WHERE parked_at IS NOT NULL AND record IS NOT NULL"
    assert await harness.lab.pool.fetchval(parked) == 1
    first, _, last = await in_inbox(harness)
    assert (first, last) == (1, 3)
