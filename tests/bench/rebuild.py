"""The read models of the dashboard built anew from the log, beside the live ones."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

import asyncpg

from deploy.local.services import Chore
from libs.eventsourcing import statements
from tests.bench.bench import Bench
from tests.bench.house import Installation
from tests.bench.measure import Measured
from tests.bench.stored import with_events

MODELS: Final = ("activity", "presence", "scan_log")
PAGE: Final = 1000
NOW: Final = "SELECT pg_current_snapshot()::text"


def run(bench: Bench) -> Iterator[Measured]:
    """The operators' own command, comparison included; once each, because it takes long."""
    events = bench.scale.stored[-1]
    installation = with_events(bench, events)
    yield Measured(
        name=f"catch-up of all read models at once, {events:,} events",
        unit="events/s",
        ours=(bench.house.caught_up[events],),
        note="relay, Kafka and all projectors of one worker, from empty",
    )
    bench.tell("reading the bare log")
    limit = asyncio.run(read(installation))
    total = 0.0
    for model in MODELS:
        bench.tell(f"rebuilding {model} from {events:,} events")
        began = time.monotonic()
        arguments = ("-m", "services.ingest", "rebuild", "build", model, "--no-switch")
        installation.run(Chore(name=f"rebuild {model}", arguments=arguments))
        took = time.monotonic() - began
        total += took
        yield Measured(
            name=f"rebuild {model} from {events:,} events vs reading them bare",
            unit="events/s",
            ours=(events / took,),
            reference=(limit,),
            note=f"{took:.0f} s",
        )
    yield Measured(name="rebuild of the dashboard, one after the other", unit="s", ours=(total,))


async def read(installation: Installation) -> float:
    """Events a second of a bare connection that fetches the log in the same pages."""
    connection: Any = await asyncpg.connect(
        installation.database_url, server_settings={"search_path": "ingest"}
    )
    try:
        moment, after, done = await connection.fetchval(NOW), 0, 0
        began = time.perf_counter()
        while rows := await connection.fetch(statements.READ_ALL, after, moment, PAGE):
            after = rows[-1]["position"]
            done += len(rows)
        return done / (time.perf_counter() - began)
    finally:
        await connection.close()
