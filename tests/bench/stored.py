"""Installations that already hold many events, and their read models built anew from the log.

The events are copied into the log, as a restore does; relay and projections then do all the rest
themselves. How far the read models have come is asked of the smallest: cheap however much is
stored.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

from libs.eventsourcing.postgres import READ_ALL
from libs.testing.polling import eventually
from services.ingest.bootstrap import projections
from services.ingest.settings import Settings
from tests.bench.bench import Bench
from tests.bench.house import Installation
from tests.bench.measure import Measured, limited
from tests.bench.scans import COLUMNS, ZONE, facts, pages, row

MODELS: Final = ("activity", "presence", "scan_log")
READ_PAGE: Final = 1000
NOW: Final = "SELECT pg_current_snapshot()::text"
PAGE: Final = 20_000
LOOK_SECONDS: Final = 0.05
REBUILD_SECONDS: Final = 60.0
VISIBLE: Final = """
SELECT CASE
    WHEN EXISTS (SELECT FROM ingest.projections WHERE state = 'live' AND checkpoint <> 'main')
    THEN 0 ELSE coalesce(sum(count), 0) END::bigint
FROM ingest.activity_total WHERE dimension = 'city'
"""
"""How many scans the read models have: all of them as many, while none is detached."""

PROJECTIONS: Final = tuple(projections(Settings.model_construct(timezone=str(ZONE))))
"""All read models of ingest."""


def with_events(bench: Bench, events: int) -> Installation:
    """The installation with so many scans of today, made when it is first asked for.

    Nothing of it runs.
    """
    kept_running = bench.servers.kept_running
    return kept_running[events] if events in kept_running else _make(bench, events)


def _make(bench: Bench, events: int) -> Installation:
    installation = bench.servers.keep_running(events)
    asyncio.run(copy_in(installation, events, bench))
    installation.start("ingest-worker")
    began = time.monotonic()

    def tell(done: int) -> None:
        rate = done / (time.monotonic() - began)
        bench.tell(f"catching up: {done:,} of {events:,} ({rate:,.0f}/s)")

    asyncio.run(wait_for(installation, events, tell))
    bench.servers.caught_up[events] = events / (time.monotonic() - began)
    installation.stop("ingest-worker")
    asyncio.run(_tidy(installation))
    return installation


async def copy_in(installation: Installation, events: int, bench: Bench) -> None:
    """COPY scans into the log, a page per transaction."""
    done = 0
    async with installation.connected() as connection:
        # Recorded when they occurred, so that every instant of the day knows others.
        for page in pages(((*row(fact), fact.occurred_at) for fact in facts(events)), PAGE):
            await connection.copy_records_to_table(
                "events", schema_name="ingest", columns=(*COLUMNS, "recorded_at"), records=page
            )
            done += len(page)
            bench.tell(f"loading the log: {done:,} of {events:,}")


async def _tidy(installation: Installation) -> None:
    """What autovacuum does some minutes later."""
    async with installation.connected() as connection:
        await connection.execute("VACUUM ANALYZE")


def rebuild(bench: Bench) -> Iterator[Measured]:
    """The operators' own command, comparison included; once each, because it takes long."""
    events = bench.scale.stored[-1]
    installation = with_events(bench, events)
    yield Measured(
        f"catch-up of all read models at once, {events:,} events",
        (bench.servers.caught_up[events],),
        note="relay and read models of one worker process, from empty",
    )
    bench.tell("reading the bare log")
    limit = asyncio.run(read(installation))
    bench.tell(f"rebuilding {', '.join(MODELS)} from {events:,} events")
    began = time.monotonic()
    installation.run("services.ingest", "rebuild", "build", *MODELS, "--no-switch")
    took = time.monotonic() - began
    yield Measured(
        f"rebuild of the dashboard from {events:,} events vs reading them bare",
        (events / took,),
        (limit,),
        note="three read models in one pass, indexed and compared",
    )
    yield limited(
        f"rebuild of the dashboard from {events:,} events", (took,), limit=REBUILD_SECONDS, unit="s"
    )


async def read(installation: Installation) -> float:
    """Events a second of a bare connection that fetches the log in the same pages."""
    async with installation.connected(server_settings={"search_path": "ingest"}) as connection:
        moment, after, done = await connection.fetchval(NOW), 0, 0
        began = time.perf_counter()
        while rows := await connection.fetch(READ_ALL, after, moment, READ_PAGE):
            after = rows[-1]["position"]
            done += len(rows)
        return done / (time.perf_counter() - began)


async def wait_for(
    installation: Installation, events: int, tell: Callable[[int], None] = lambda _: None
) -> None:
    """Wait until every read model has so many scans. Raises AssertionError if they stand still."""
    done = -1
    async with installation.connected() as connection:

        async def has_all() -> bool:
            nonlocal done
            if (now := await connection.fetchval(VISIBLE)) != done:
                tell(now)
            done = now
            return bool(done >= events)

        await eventually(has_all, progress=lambda: done, poll_seconds=LOOK_SECONDS)
