"""Installations that already hold many events: copied into the log, then caught up by the worker.

The copy is what a restore does; relay, Kafka and projectors then do all the rest themselves.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from tests.bench.bench import Bench
from tests.bench.house import Installation
from tests.bench.scans import COLUMNS, facts, pages, row
from tests.bench.visible import wait_for

PAGE: Final = 20_000


def with_events(bench: Bench, events: int) -> Installation:
    """The installation with so many scans of today, made when it is first asked for.

    Nothing of it runs.
    """
    kept = bench.house.kept
    return kept[events] if events in kept else _make(bench, events)


def _make(bench: Bench, events: int) -> Installation:
    installation = bench.house.keep(events)
    asyncio.run(copy_in(installation, events, bench))
    installation.start("ingest-worker")
    began = time.monotonic()

    def tell(done: int) -> None:
        rate = done / (time.monotonic() - began)
        bench.tell(f"catching up: {done:,} of {events:,} ({rate:,.0f}/s)")

    asyncio.run(wait_for(installation, events, tell))
    bench.house.caught_up[events] = events / (time.monotonic() - began)
    installation.stop("ingest-worker")
    asyncio.run(_tidy(installation))
    return installation


async def copy_in(installation: Installation, events: int, bench: Bench) -> None:
    """COPY scans into the log, a page per transaction."""
    connection: Any = await asyncpg.connect(installation.database_url)
    try:
        done = 0
        for page in pages(map(row, facts(events)), PAGE):
            await _copy(connection, page)
            done += len(page)
            bench.tell(f"loading the log: {done:,} of {events:,}")
    finally:
        await connection.close()


async def _copy(connection: Any, page: Sequence[Any]) -> None:
    await connection.copy_records_to_table(
        "events", schema_name="ingest", columns=COLUMNS, records=page
    )


async def _tidy(installation: Installation) -> None:
    """What autovacuum does some minutes later."""
    connection: Any = await asyncpg.connect(installation.database_url)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
