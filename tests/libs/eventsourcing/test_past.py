"""Every log tells what it held at an earlier instant."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from libs.eventsourcing.log import Entry, Log, Metadata
from libs.eventsourcing.past import ENTRIES, INDEXES, LATER_ENTRIES, NEWEST
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.snapshot import Snapshot
from tests.libs.eventsourcing.events import METADATA, WHEN, everything, fact, new, plan_of

NEVER = datetime(9999, 1, 1, tzinfo=UTC)


async def record(log: Log, *seconds: int, stream: str = "scan-1") -> None:
    """One append of facts that occurred so many seconds after `WHEN`."""
    facts = [fact(occurred_at=WHEN + timedelta(seconds=n), stream=stream) for n in seconds]
    await log.append_facts(facts, metadata=METADATA)


def instant(seconds: int) -> datetime:
    return WHEN + timedelta(seconds=seconds)


async def occurred(log: Log, since: int, until: int, moment: Snapshot) -> list[int]:
    """When the events occurred that are found, in the order they are found in."""
    found = await log.entries("demo", instant(since), instant(until), moment=moment)
    return await seconds_of(log, found)


async def seconds_of(log: Log, entries: Sequence[Entry]) -> list[int]:
    events = await log.at([entry.position for entry in entries])
    assert [Entry(e.position, e.event_id, e.type, e.recorded_at) for e in events] == entries
    return [(event.occurred_at - WHEN).seconds for event in events]


async def test_entries_of_a_time_range_are_in_the_order_of_recording(log: Log) -> None:
    await record(log, 5, 1)
    await record(log, 7)
    await record(log, 4, 0, 3)
    await record(log, 2)
    now = await log.now()

    assert sorted((await occurred(log, 1, 5, now))[:1]) == [1]
    assert await occurred(log, 7, 8, now) == [7]
    assert await occurred(log, 5, 5, now) == []
    whole = await occurred(log, 0, 9, now)
    assert [sorted(whole[a:b]) for a, b in ((0, 2), (2, 3), (3, 6), (6, 7))] == [
        [1, 5],
        [7],
        [0, 3, 4],
        [2],
    ]


async def test_entries_are_those_that_a_moment_sees_or_those_that_an_earlier_one_did_not(
    log: Log,
) -> None:
    await record(log, 1, 2)
    before = await log.now()
    await record(log, 3, 20)
    await log.append("order-1", [new(type="Weighed")], expected=0, metadata=METADATA)
    await log.append("order-2", [new()], expected=0, metadata=Metadata(tenant="other"))
    between = await log.now()
    await record(log, 4)
    after = await log.now()

    async def later(since: Snapshot, until: Snapshot) -> list[int]:
        found = await log.entries(
            "demo", instant(2), instant(9), after=since, moment=until, also="Weighed"
        )
        return await seconds_of(log, found)

    assert sorted(await occurred(log, 0, 9, before)) == [1, 2]
    assert await later(before, between) == [3, 0]
    assert await later(between, after) == [4]
    assert await later(after, after) == []


async def test_entries_are_of_one_tenant(log: Log) -> None:
    await log.append_facts([fact()], metadata=Metadata(tenant="other"))

    assert await occurred(log, 0, 9, await log.now()) == []
    assert await log.newest("demo", ["scan-1"], known_at=NEVER, limit=5) == []


async def test_the_newest_facts_of_each_stream_come_newest_first(log: Log) -> None:
    for n in range(3):
        await record(log, n)
        await record(log, 10 + n, stream="scan-2")
    await log.append("scan-1", [new()], expected=0, metadata=METADATA)
    recorded = [event.recorded_at for event in await everything(log)]

    async def newest(known_at: datetime, each: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        streams = ["scan-1", "scan-2", "scan-3"]
        for event in await log.newest("demo", streams, known_at=known_at, limit=each):
            found.setdefault(event.stream, []).append((event.occurred_at - WHEN).seconds)
        return found

    assert await newest(NEVER, 2) == {"scan-1": [2, 1], "scan-2": [12, 11]}
    assert await newest(recorded[2], 5) == {"scan-1": [1, 0], "scan-2": [10]}


async def test_reading_the_past_uses_the_indexes(pool: asyncpg.Pool) -> None:
    log = PostgresLog(pool)
    for index in INDEXES:
        await pool.execute(index)
    for stream in range(20):
        await record(log, *range(200), stream=f"scan-{stream}")

    moment = str(await log.now())
    span = WHEN, WHEN + timedelta(seconds=3), moment
    by_time = await plan_of(pool, ENTRIES, "demo", *span)
    by_stream = await plan_of(pool, NEWEST, "demo", ["scan-1", "scan-2"], NEVER, 3)
    seen = moment.split(":")[1], moment
    added = await plan_of(pool, LATER_ENTRIES, "demo", *span, *seen, "Removed")

    assert "Index Scan using events_occurred" in by_time
    assert "using events_facts_of_stream" in by_stream
    assert "Index Scan using events_xid" in added
    assert "Seq Scan" not in by_time + by_stream + added
