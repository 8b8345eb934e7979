"""Every log tells what it held at an earlier instant."""

from datetime import UTC, datetime, timedelta

import asyncpg

from libs.eventsourcing.log import Cause, Log, Span
from libs.eventsourcing.past import INDEXES, NEWEST, OCCURRED
from libs.eventsourcing.postgres import PostgresLog
from tests.libs.eventsourcing.events import CAUSE, WHEN, everything, fact, new, plan_of

NEVER = datetime(9999, 1, 1, tzinfo=UTC)


async def tell(log: Log, *seconds: int, stream: str = "scan-1") -> None:
    """One append of facts that occurred so many seconds after `WHEN`."""
    facts = [fact(occurred_at=WHEN + timedelta(seconds=n), stream=stream) for n in seconds]
    await log.append_facts(facts, cause=CAUSE)


async def occurred(
    log: Log, since: int, until: int, *, known_at: datetime = NEVER, page: int = 2
) -> list[int]:
    span = Span(
        since=WHEN + timedelta(seconds=since),
        until=WHEN + timedelta(seconds=until),
        known_at=known_at,
    )
    pages = [each async for each in log.read_occurred("demo", span, page=page)]
    assert all(0 < len(each) <= page for each in pages)
    return [(event.occurred_at - WHEN).seconds for each in pages for event in each]


async def test_a_span_is_told_in_the_order_things_occurred(log: Log) -> None:
    await tell(log, 5, 1, 3, 3, 3)
    await tell(log, 2, 0, 7, 4)
    await log.append("order-1", [new()], expected=0, cause=CAUSE)

    assert await occurred(log, 1, 5) == [1, 2, 3, 3, 3, 4]
    assert await occurred(log, 0, 1) == [0, 0]
    assert await occurred(log, 5, 5) == []
    assert await occurred(log, 0, 9, page=100) == [0, 0, 1, 2, 3, 3, 3, 4, 5, 7]


async def test_only_what_was_recorded_by_then_is_told(log: Log) -> None:
    for n in (3, 1, 2):
        await tell(log, n)
    recorded = [event.recorded_at for event in await everything(log)]

    assert await occurred(log, 0, 9, known_at=recorded[1]) == [1, 3]
    assert await occurred(log, 0, 9, known_at=recorded[0] - timedelta(microseconds=1)) == []


async def test_tenants_have_a_past_of_their_own(log: Log) -> None:
    await log.append_facts([fact()], cause=Cause(tenant="other"))

    assert await occurred(log, 0, 9) == []
    assert await log.newest("demo", ["scan-1"], known_at=NEVER, each=5) == []


async def test_the_newest_facts_of_each_stream_come_newest_first(log: Log) -> None:
    for n in range(3):
        await tell(log, n)
        await tell(log, 10 + n, stream="scan-2")
    await log.append("scan-1", [new()], expected=0, cause=CAUSE)
    recorded = [event.recorded_at for event in await everything(log)]

    async def newest(known_at: datetime, each: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        streams = ["scan-1", "scan-2", "scan-3"]
        for event in await log.newest("demo", streams, known_at=known_at, each=each):
            found.setdefault(event.stream, []).append((event.occurred_at - WHEN).seconds)
        return found

    assert await newest(NEVER, 2) == {"scan-1": [2, 1], "scan-2": [12, 11]}
    assert await newest(recorded[2], 5) == {"scan-1": [1, 0], "scan-2": [10]}


async def test_looking_back_reads_what_it_needs_and_no_more(pool: asyncpg.Pool) -> None:
    log = PostgresLog(pool)
    for index in INDEXES:
        await pool.execute(index)
    for stream in range(20):
        await tell(log, *range(200), stream=f"scan-{stream}")

    span = WHEN, 0, WHEN + timedelta(seconds=3), NEVER, 10
    by_time = await plan_of(pool, OCCURRED, "demo", *span)
    by_stream = await plan_of(pool, NEWEST, "demo", ["scan-1", "scan-2"], NEVER, 3)

    assert "Index Scan using events_occurred" in by_time
    assert "Sort" not in by_time
    assert "using events_facts_of_stream" in by_stream
    assert "Seq Scan" not in by_time + by_stream
