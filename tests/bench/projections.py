"""All read models of ingest catching up with the log, beside a bare page query and bare upserts.

The bare side fetches the same pages and writes the same rows by the same statements. Their
arguments are ready made: nothing is decoded, folded or remembered.
"""

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

from contracts.envelope import Envelope
from contracts.ingest import IngestEvent
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.postgres import READ_ALL, PostgresLog
from libs.eventsourcing.store import envelope
from libs.postgres.pool import Pool
from libs.process.lifecycle import GC_THRESHOLD
from libs.projections.runner import Polling, ProjectionRunner
from tests.bench.bench import Bench, Loop
from tests.bench.costs import Cost
from tests.bench.house import Installation
from tests.bench.measure import PATIENCE_SECONDS, Measured, at_least, reaching
from tests.bench.meter import Costs, Meter
from tests.bench.scans import CODEC
from tests.bench.stored import NOW, PROJECTIONS, copy_in

PAGE: Final = Polling().page
FORGET_APPLIED: Final = (
    f"TRUNCATE {', '.join(f'ingest.{table}' for one in PROJECTIONS for table in one.tables)};"
    "DELETE FROM ingest.projections; DELETE FROM ingest.projection_checkpoints;"
)
EVENTS_A_SECOND: Final = 15_000

Statement: TypeAlias = tuple[str, Sequence[Any]]
Catching: TypeAlias = Callable[[Pool, Cost], Awaitable[float]]


def run(bench: Bench) -> Iterator[Measured]:
    """The same events each time; before every sample the tables are emptied."""
    events = bench.scale.records
    with bench.servers.installation() as installation, Loop() as loop:
        loop.do(copy_in(installation, events, bench))
        pages = loop.do(record(installation))
        as_services_do()
        ours = _Side(installation, "all read models of one worker", events)
        bare = _Side(installation, "bare pages and upserts", events)
        rates, limits = bench.interleaved(
            loop.side(lambda: ours.sample(lambda pool, cost: catch_up(pool, events, cost))),
            loop.side(lambda: bare.sample(lambda pool, _: upsert(pool, events, pages))),
        )
    name = f"all read models of ingest catching up, {events:,} events"
    yield Measured(
        f"{name}, vs bare page query and bare upserts",
        rates,
        limits,
        goal=at_least(0.6),
        note=f"pages of {PAGE}, one worker; the bare side has all arguments ready",
        costs=(ours.costs.total, bare.costs.total),
    )
    yield reaching(name, rates, limit=EVENTS_A_SECOND, unit="events/s")


def as_services_do() -> None:
    """Let garbage be looked for as in a worker, and not among what was recorded here."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


class _Side:
    """Both sides work in this process, so it is the runner or the bare loop."""

    def __init__(self, installation: Installation, title: str, events: int) -> None:
        self._installation = installation
        self._events = events
        meter = Meter(installation.database_url, lambda: {"this process": os.getpid()})
        self.costs = Costs(title, meter)

    async def sample(self, catching: Catching) -> float:
        """Events a second, into empty tables."""
        async with self._installation.connected() as connection:
            await connection.execute(FORGET_APPLIED)
        async with _worker_pool(self._installation) as pool:
            with self.costs.sample(self._events) as cost:
                return await catching(pool, cost)


def _worker_pool(installation: Installation) -> AbstractAsyncContextManager[Pool]:
    return installation.pool(len(PROJECTIONS) + 2, synchronous_commit=False)


async def catch_up(pool: Pool, events: int, cost: Cost) -> float:
    """Events a second of the runner."""
    stop, done = asyncio.Event(), 0

    def applied(_: Sequence[str], page: Sequence[RecordedEvent], *__: int) -> None:
        nonlocal done
        done += len(page)
        cost.add_batches({"page": (1, len(page))})
        if done >= events:
            stop.set()

    runner = ProjectionRunner(pool, PROJECTIONS, service="ingest", on_applied=[applied])
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await runner.run(stop)
    return events / (time.perf_counter() - began)


async def record(installation: Installation) -> list[list[Statement]]:
    """The statements by which the read models write each page."""
    pages: list[list[Statement]] = []
    async with installation.pool(2) as pool, pool.acquire() as connection:
        recorder = _Recorder(connection)
        async for page in PostgresLog(pool).read_all(page=PAGE):
            envelopes = [
                envelope(one, CODEC.decode(one.type, one.schema_version, one.data)) for one in page
            ]
            async with connection.transaction():
                for model in PROJECTIONS:
                    await model.apply(recorder, envelopes)
            pages.append(recorder.taken())
    return pages


def _decoded(recorded: RecordedEvent) -> Envelope[IngestEvent]:
    event = CODEC.decode(recorded.type, recorded.schema_version, recorded.data)
    return envelope(recorded, event)


class _Recorder:
    """A connection that notes what is executed by it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._statements: list[Statement] = []

    async def execute(self, sql: str, *arguments: Any) -> str:
        self._statements.append((sql, arguments))
        done: str = await self._connection.execute(sql, *arguments)
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def taken(self) -> list[Statement]:
        statements, self._statements = self._statements, []
        return statements


async def upsert(pool: Pool, events: int, pages: Sequence[Sequence[Statement]]) -> float:
    """Events a second of pages that are fetched, and of rows that are written, nothing else."""
    after = done = 0
    async with pool.acquire() as connection:
        moment = await connection.fetchval(NOW)
        began = time.perf_counter()
        for page in pages:
            rows = await connection.fetch(READ_ALL, after, moment, PAGE)
            after, done = rows[-1]["position"], done + len(rows)
            async with connection.transaction():
                for sql, arguments in page:
                    await connection.execute(sql, *arguments)
        took = time.perf_counter() - began
    assert done == events
    return events / took
