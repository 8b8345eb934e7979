"""The same history gives the same rows: folded, followed live, or rebuilt from any cut."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.eventsourcing.log import ANY, RecordedEvent
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.messaging.apply import apply
from libs.messaging.diff import compare
from libs.messaging.editions import Schemas
from libs.messaging.parking import StoredRecord
from libs.messaging.rebuild import Rebuild
from tests.libs.messaging.history import value_of
from tests.libs.messaging.lab import CAUSE, WRITER_CODEC, Ledger, Numbered
from tests.libs.messaging.setup import EMPTY, open_database
from tests.libs.messaging.wires import TOPIC, lane

SCHEMAS = Schemas("public")
ROWS = "SELECT ledger::text FROM {}.ledger ORDER BY tenant, stream"


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@given(
    appends=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=15),
    base=st.integers(0, 15),
    end=st.integers(0, 15),
    cuts=st.lists(st.integers(0, 45), max_size=4),
)
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
        rebuild = Rebuild(pool, projection, SCHEMAS, service="lab", bootstrap="", prefix="t")
        store = EventStore(PostgresLog(pool), WRITER_CODEC)
        await _append(store, appends[:base])
        moment = await store.log.now()
        await _append(store, appends[base:])
        log = [event async for page in store.log.read_all(page=7) for event in page]
        records = lane(log)

        for part in _cut(records, cuts):
            await apply(pool, projection, part)
        offset = sum(size for _, size in appends[:end])
        await rebuild._prepare(moment, {(TOPIC, 0): offset})
        await rebuild._replay(moment)
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
