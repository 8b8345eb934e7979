"""Writers as unkind as databases see them: slow, crossing, rolling back, early with their xid."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from libs.eventsourcing.tail import Cursor, read_page

OTHER = "CREATE TABLE other (n bigint)"

INSERT = """INSERT INTO events
    (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
VALUES ($1, 'demo', $2, $3, 'Numbered', 1, '{"n": 1}', '{}', now())"""


@dataclass(slots=True)
class Seen:
    """What one way of tailing delivered, in its order: stream and version of every event."""

    events: list[tuple[str, int]] = field(default_factory=list)

    def anomalies(self, committed: Sequence[tuple[str, int]]) -> dict[str, int]:
        """How many events were missed, doubled, or came before one they follow."""
        times, last, disorder = Counter(self.events), Counter[str](), 0
        for stream, version in self.events:
            disorder += version < last[stream]
            last[stream] = max(last[stream], version)
        return {
            "missed": len(set(committed) - set(times)),
            "doubled": sum(n - 1 for n in times.values()),
            "disorder": disorder,
        }


@dataclass(kw_only=True)
class Load:
    """Writers on connections of their own. `committed` are the events the log holds."""

    address: str
    streams: int = 24
    committed: list[tuple[str, int]] = field(default_factory=list)

    async def write(self, writers: int, rounds: int) -> None:
        await asyncio.gather(*(self._write(seed, rounds) for seed in range(writers)))

    async def _write(self, seed: int, rounds: int) -> None:
        dice = random.Random(seed)
        connection = await asyncpg.connect(self.address)
        try:
            for number in range(rounds):
                stream = f"order-{dice.randrange(self.streams)}"
                await self._append(connection, dice, stream, UUID(int=seed << 32 | number))
        finally:
            await connection.close()

    async def _append(
        self, connection: Any, dice: random.Random, stream: str, event_id: UUID
    ) -> None:
        transaction = connection.transaction()
        await transaction.start()
        try:
            if dice.random() < 0.5:
                await connection.execute("INSERT INTO other VALUES (1)")
            await _dawdle(dice)
            query = "SELECT coalesce(max(version), 0) + 1 FROM events WHERE stream = $1"
            version = await connection.fetchval(query, stream)
            await connection.execute(INSERT, event_id, stream, version)
            await _dawdle(dice)
        except asyncpg.UniqueViolationError:
            await transaction.rollback()
            return
        if dice.random() < 0.03:
            await transaction.rollback()
            return
        await transaction.commit()
        self.committed.append((stream, version))


@asynccontextmanager
async def long_transaction(address: str) -> AsyncIterator[None]:
    """Somebody else's transaction with an xid, open while the block lasts."""
    connection = await asyncpg.connect(address)
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO other VALUES (0)")
            yield
    finally:
        await connection.close()


def schedules(writers: int) -> Iterator[tuple[int, ...]]:
    """Every order in which transactions can begin, insert and end: who takes each step."""
    if writers == 1:
        yield (0,) * 3
        return
    for mine in itertools.combinations(range(writers * 3), 3):
        for rest in schedules(writers - 1):
            others = iter(rest)
            yield tuple(
                writers - 1 if slot in mine else next(others) for slot in range(writers * 3)
            )


@dataclass(slots=True)
class Interleaved:
    """What the tail must have delivered, and what it did; `late` counts wrong readings.

    How often it is read between two steps, and a writer takes its xid long before it writes.
    """

    cursor: Cursor
    readings: float = 0.6
    early: float = 0.5
    committed: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    late: int = 0

    async def read(self, watcher: Any) -> None:
        page = await read_page(watcher, self.cursor, limit=100)
        assert page.backlog == len(page.events)
        self.cursor = page.cursor
        self.delivered += [event.stream for event in page.events]
        self.late += sorted(self.delivered) != sorted(self.committed)

    async def play(
        self,
        name: str,
        schedule: Sequence[int],
        endings: Sequence[str],
        writers: Sequence[Any],
        watcher: Any,
        dice: random.Random,
    ) -> None:
        """One schedule on open connections."""
        done = Counter[int]()
        for who in schedule:
            stream = f"{name}.{who}"
            match done[who]:
                case 0:
                    xid = "; SELECT pg_current_xact_id()" if dice.random() < self.early else ""
                    await writers[who].execute(f"BEGIN{xid}")
                case 1:
                    await writers[who].execute(INSERT, uuid4(), stream, 1)
                case _:
                    await writers[who].execute(endings[who])
                    self.committed += [stream] if endings[who] == "COMMIT" else []
            done[who] += 1
            if dice.random() < self.readings:
                await self.read(watcher)
        await self.read(watcher)


async def _dawdle(dice: random.Random) -> None:
    if dice.random() < 0.3:
        await asyncio.sleep(dice.random() * 0.01)
