"""One batch, one transaction: however the same history is delivered, it counts once, and gives the
same rows whether it is folded, followed live, or rebuilt from any cut."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.eventsourcing.log import ANY, RecordedEvent
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.messaging import checkpoints
from libs.messaging.apply import Applied, apply
from libs.messaging.checkpoints import Overtaken
from libs.messaging.diff import compare
from libs.messaging.editions import Schemas
from libs.messaging.parking import StoredRecord
from tests.libs.messaging.history import value_of
from tests.libs.messaging.lab import CAUSE, WRITER_CODEC, Ledger, Numbered, rows_of_ledger
from tests.libs.messaging.rebuilding import replayed
from tests.libs.messaging.setup import EMPTY, open_database
from tests.libs.messaging.wires import TOPIC, lane, recorded

LANE = (TOPIC, 0)


def history(count: int, streams: int = 3) -> list[StoredRecord]:
    """So many events in one partition, stream by stream in turn."""
    events = [recorded(n, f"order-{n % streams}", version=n // streams + 1) for n in range(count)]
    return lane(events)


async def test_a_batch_that_fails_at_the_end_leaves_nothing(pool: asyncpg.Pool) -> None:
    await pool.execute("ALTER TABLE checkpoints ADD CHECK (next_offset < 6)")

    with pytest.raises(asyncpg.CheckViolationError):
        await apply(pool, Ledger().projection, history(6))

    assert await rows_of_ledger(pool) == {}
    assert (await checkpoints.read(pool, "ledger")).get(LANE) is None


async def test_a_gap_in_one_partition_holds_up_no_other(pool: asyncpg.Pool) -> None:
    other = lane([recorded(n, "order-9", version=n + 1) for n in range(3)], partition=1)

    applied = await apply(pool, Ledger().projection, [*history(3)[1:], *other])

    assert await rows_of_ledger(pool) == {"order-9": [0, 1, 2]}
    assert set(applied.gaps) == {LANE}


async def test_of_two_with_the_same_batch_only_one_has_an_effect(pool: asyncpg.Pool) -> None:
    records = history(30)
    for start in range(0, 30, 5):
        zombies = (apply(pool, Ledger().projection, records[start : start + 5]) for _ in range(4))
        answers = await asyncio.gather(*zombies)
        assert sum(len(applied.recorded) for applied in answers) == 5

    assert sum(map(len, (await rows_of_ledger(pool)).values())) == 30


async def test_whoever_moves_a_checkpoint_from_the_wrong_place_is_overtaken(
    pool: asyncpg.Pool,
) -> None:
    await apply(pool, Ledger().projection, history(3))
    old = await checkpoints.read(pool, "ledger")
    await apply(pool, Ledger().projection, history(6))

    with pytest.raises(Overtaken):
        await checkpoints.move(pool, "ledger", old, old)


async def test_a_call_the_projection_gets_wrong_is_not_taken_for_a_lost_connection(
    pool: asyncpg.Pool,
) -> None:
    ledger = Ledger()

    async def project(connection: Any, events: Sequence[Any]) -> None:
        if any(envelope.event.n == 1 for envelope in events):
            await connection.fetchval("SELECT $1::int")  # asyncpg: an InterfaceError
        await Ledger.project(ledger, connection, events)

    ledger.project = project  # type: ignore[method-assign]
    applied = await apply(pool, ledger.projection, history(3))

    assert applied.parked == 1
    assert await rows_of_ledger(pool) == {"order-0": [0], "order-2": [2]}


parts = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 14), st.integers(1, 15)), max_size=8)


@given(
    streams=st.lists(st.integers(0, 3), min_size=1, max_size=24),
    cursed=st.sets(st.integers(0, 23), max_size=3),
    batches=st.lists(parts, max_size=8),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_cut_any_overlap_any_gap_of_a_history_ends_in_the_same_model(
    database: str,
    runner: asyncio.Runner,
    streams: list[int],
    cursed: set[int],
    batches: list[list[tuple[int, int, int]]],
) -> None:
    lanes = _lanes(streams, cursed)
    deliveries = [
        [record for at, start, size in batch for record in lanes[at][start : start + size]]
        for batch in batches
    ]
    everything = [*lanes[0], *lanes[1]]

    ragged = runner.run(_model_after(database, [*deliveries, everything]))

    assert ragged == runner.run(_model_after(database, [everything]))


def _lanes(streams: list[int], cursed: set[int]) -> list[list[StoredRecord]]:
    """Two partitions; streams 0 and 2 are in the first, 1 and 3 in the second."""
    lanes: list[list[Any]] = [[], []]
    for n, stream in enumerate(streams):
        kind = "Cursed" if n in cursed else "Numbered"
        event = recorded(n, f"order-{stream}", version=streams[: n + 1].count(stream), type=kind)
        lanes[stream % 2].append(event)
    return [lane(events, partition=at) for at, events in enumerate(lanes)]


async def _model_after(database: str, deliveries: list[list[StoredRecord]]) -> Any:
    async with open_database(database) as pool:
        await pool.execute(EMPTY)
        for records in deliveries:
            # Kafka gives each partition in order, whatever else it does.
            for one in (records, *([records] if len(records) % 3 == 0 else [])):
                assert isinstance(await apply(pool, Ledger().projection, one), Applied)
        return (
            await rows_of_ledger(pool),
            await pool.fetch("SELECT stream, reason FROM parked_streams ORDER BY stream"),
            await pool.fetch("SELECT stream, record_offset FROM parked ORDER BY stream, id"),
            await checkpoints.read(pool, "ledger"),
        )


SCHEMAS = Schemas("public")
ROWS = "SELECT ledger::text FROM {}.ledger ORDER BY tenant, stream"


@given(
    appends=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=15),
    base=st.integers(0, 15),
    end=st.integers(0, 15),
    cuts=st.lists(st.integers(0, 45), max_size=4),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fold_and_live_and_rebuilt_are_equal_to_the_byte(
    database: str,
    runner: asyncio.Runner,
    appends: list[tuple[int, int]],
    base: int,
    end: int,
    cuts: list[int],
) -> None:
    base = min(base, len(appends))
    runner.run(_compare(database, appends, base, min(end, base), sorted(cuts)))


async def _compare(
    address: str, appends: list[tuple[int, int]], base: int, end: int, cuts: list[int]
) -> None:
    """`base` appends are rebuilt from the log; the topic had the first `end` of them then."""
    async with open_database(address) as pool:
        await pool.execute(EMPTY)
        projection = Ledger().projection
        store = EventStore(PostgresLog(pool), WRITER_CODEC)
        await _append(store, appends[:base])
        moment = await store.log.now()
        await _append(store, appends[base:])
        log = [event async for page in store.log.read_all(page=7) for event in page]
        records = lane(log)

        for part in _cut(records, cuts):
            await apply(pool, projection, part)
        offset = sum(size for _, size in appends[:end])
        await replayed(pool, projection, moment, {(TOPIC, 0): offset})
        for part in _cut(records[offset:], cuts):
            await apply(pool, projection, part, SCHEMAS.next_edition)

        live = [row[0] for row in await pool.fetch(ROWS.format("public"))]
        assert live == _fold(log)
        assert live == [row[0] for row in await pool.fetch(ROWS.format("public_next"))]
        assert all(diff.same for diff in await compare(pool, projection, SCHEMAS))


async def _append(store: EventStore[Any], appends: Sequence[tuple[int, int]]) -> None:
    for number, (stream, size) in enumerate(appends):
        events = [Numbered(number * 10 + n) for n in range(size)]
        await store.append(f"order-{stream}", events, expected=ANY, cause=CAUSE)


def _cut(records: Sequence[StoredRecord], cuts: Sequence[int]) -> list[Sequence[StoredRecord]]:
    bounds = [0, *(min(cut, len(records)) for cut in cuts), len(records)]
    return [records[a:b] for a, b in pairwise(bounds)]


def _fold(log: Sequence[RecordedEvent]) -> list[str]:
    """The rows as Postgres writes them, out of the log alone."""
    streams: dict[str, list[RecordedEvent]] = {}
    for event in log:
        streams.setdefault(event.stream, []).append(event)
    return [
        f"(demo,{stream},{_array(map(value_of, events))},{_array(e.version for e in events)})"
        for stream, events in sorted(streams.items())
    ]


def _array(numbers: Iterable[object]) -> str:
    text = "{" + ",".join(map(str, numbers)) + "}"
    return f'"{text}"' if "," in text else text
