"""What tests of rebuilding share: rebuilds, a ledger that waits or was rewritten, and readers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from contracts.envelope import Envelope
from libs.projections.projection import Connection, Projection
from libs.projections.rebuild import Rebuild
from libs.projections.versions import VersionSchemas
from tests.libs.messaging.lab import Ledger, running
from tests.libs.projections.shop import Shop

PAGE: Final = 7
"""Small, so that a few events are many pages."""


class Rewritten(Ledger):
    """The ledger by changed code: numbers are multiplied. With a `gate` each page waits for a
    permit of it.
    """

    def __init__(
        self, *, version: int = 1, factor: int = 1, gate: asyncio.Semaphore | None = None
    ) -> None:
        super().__init__()
        self.version = version
        self.factor = factor
        self.gate = gate

    @property
    def pages(self) -> int:
        """How many were projected."""
        return len(self.batches)

    async def project(self, connection: Connection, events: Sequence[Envelope[Any]]) -> None:
        if self.gate:
            await self.gate.acquire()
        await super().project(connection, [self._multiplied(one) for one in events])

    def _multiplied(self, one: Envelope[Any]) -> Envelope[Any]:
        return one._replace(event=replace(one.event, n=one.event.n * self.factor))

    def open_gate(self) -> None:
        """Let all pages pass."""
        gate, self.gate = self.gate, None
        if gate:
            gate.release()

    @property
    def projection(self) -> Projection[Any]:
        return replace(super().projection, version=self.version)


def rebuild(
    shop: Shop, ledger: Ledger | None = None, *others: Projection[Any], role: str | None = None
) -> Rebuild:
    models = [(ledger or shop.ledger).projection, *others]
    return Rebuild(shop.pool, models, VersionSchemas("public", role), service="lab", page=PAGE)


@asynccontextmanager
async def live(shop: Shop, count: int) -> AsyncIterator[None]:
    """The first `count` numbers are appended and applied; the runner goes on."""
    await shop.append_numbers(range(count))
    async with running(shop.runner()):
        await shop.applied(count)
        yield


@asynccontextmanager
async def reading(shop: Any) -> AsyncIterator[list[list[int]]]:
    """Readers with statements prepared before, while the block lasts; what each of them counted.

    Each for itself: of two answers the earlier may arrive later.
    """
    counted: list[list[int]] = [[], []]
    stop = asyncio.Event()

    async def read(mine: list[int]) -> None:
        query = "SELECT coalesce(sum(cardinality(seen)), 0) FROM ledger"
        async with shop.pool.acquire() as connection:
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
