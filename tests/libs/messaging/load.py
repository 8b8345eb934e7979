"""Writers as unkind as databases see them: slow, crossing, rolling back, early with their xid."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

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


async def _dawdle(dice: random.Random) -> None:
    if dice.random() < 0.3:
        await asyncio.sleep(dice.random() * 0.01)
