"""What tests of rebuilding share: a load, readers, and a projection somebody rewrote."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from libs.messaging import parking
from libs.messaging.editions import Schemas
from libs.messaging.rebuild import Rebuild
from tests.libs.messaging.lab import Lab, Ledger, Numbered, order

STREAMS = 5


def rebuild(lab: Lab, ledger: Ledger | None = None, *, role: str | None = None) -> Rebuild[Any]:
    return Rebuild(
        lab.pool,
        (ledger or lab.ledger).projection,
        Schemas("public", role),
        service="lab",
        bootstrap=lab.bootstrap,
        prefix=lab.prefix,
        patience=1.0,
    )


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


async def append(lab: Lab, numbers: range) -> None:
    for number in numbers:
        await lab.append(order(number % STREAMS), Numbered(number))


def expected(count: int) -> dict[str, list[int]]:
    return {order(n): list(range(n, count, STREAMS)) for n in range(STREAMS)}


@asynccontextmanager
async def appending(lab: Lab, numbers: range) -> AsyncIterator[None]:
    """Append while the block lasts, and all of them before it ends."""
    task = asyncio.create_task(append(lab, numbers))
    try:
        yield
    finally:
        await task


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


async def has_next(lab: Lab) -> bool:
    query = "SELECT EXISTS (SELECT FROM generations WHERE state = 'next' AND base IS NOT NULL)"
    return bool(await lab.pool.fetchval(query))


async def parked(lab: Lab, name: str = "ledger") -> list[tuple[str, int]]:
    listed = await parking.list_parked(lab.pool, name)
    return sorted((one.stream, one.letters) for one in listed)
