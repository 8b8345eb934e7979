"""What tests of rebuilding share: a rebuild, readers, and a projection somebody rewrote."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from libs.messaging.editions import Schemas
from libs.messaging.rebuild import Rebuild
from tests.libs.messaging.lab import Lab, Ledger


def rebuild(
    lab: Lab, ledger: Ledger | None = None, *, role: str | None = None, patience: float = 1.0
) -> Rebuild[Any]:
    """A rebuild that waits `patience` seconds for a live edition that does not move."""
    return Rebuild(
        lab.pool,
        (ledger or lab.ledger).projection,
        Schemas("public", role),
        service="lab",
        bootstrap=lab.bootstrap,
        prefix=lab.prefix,
        patience=patience,
    )


async def replayed(
    pool: Any, projection: Any, moment: Any, offsets: dict[tuple[str, int], int]
) -> None:
    """The next edition as a rebuild leaves it that asks no topic."""
    schemas = Schemas("public")
    made = Rebuild(pool, projection, schemas, service="lab", bootstrap="", prefix="t")
    await made._prepare(moment, offsets)
    await made._replay(moment)


class Tenfold(Ledger):
    """The ledger as somebody rewrote it: every number ten times as big."""

    async def project(self, connection: Any, events: Sequence[Any]) -> None:
        await super().project(connection, events)
        streams = [envelope.stream for envelope in events]
        await connection.execute(
            "UPDATE ledger SET seen = (SELECT array_agg(CASE WHEN n < 1000 THEN (n + 100) * 10"
            " ELSE n END) FROM unnest(seen) AS n) WHERE stream = ANY($1)",
            streams,
        )


@asynccontextmanager
async def reading(lab: Lab) -> AsyncIterator[list[list[int]]]:
    """Readers with statements prepared before, while the block lasts; what each of them counted.

    Each for itself: of two answers the earlier may be heard later.
    """
    counted: list[list[int]] = [[], []]
    stop = asyncio.Event()

    async def read(mine: list[int]) -> None:
        query = "SELECT coalesce(sum(cardinality(seen)), 0) FROM ledger"
        async with lab.pool.acquire() as connection:
            statement = await connection.prepare(query)
            while not stop.is_set():
                mine.append(await statement.fetchval())
                await asyncio.sleep(0.001)

    tasks = [asyncio.create_task(read(mine)) for mine in counted]
    try:
        yield counted
    finally:
        stop.set()
        await asyncio.gather(*tasks)
