"""One event per append, many writers: our group commit, a bare INSERT, a library's recorder."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, islice
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from contracts.ingest import IngestEvent
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import Pool
from tests.bench.bench import Bench, Loop
from tests.bench.measure import Measured, at_least
from tests.bench.scans import CODEC, TENANT, facts, insert_each, open_connections

WRITERS: Final = 32
STREAMS: Final = 4
METADATA: Final = Metadata(tenant=TENANT, actor="bench", correlation_id=str(uuid4()))
SEEDS: Final = count(1)


def run(bench: Bench) -> Iterator[Measured]:
    """Every writer appends to a stream of its own at the version it expects."""
    scale = bench.scale
    with bench.servers.installation() as installation, Loop() as loop:
        connections = loop.open(open_connections(installation.database_url, WRITERS))
        pool = loop.open(installation.pool(3))
        ours, limit = bench.interleaved(
            loop.side(lambda: append(pool, scale.appends)),
            loop.side(lambda: insert_each(connections, scale.appends)),
        )
        yield Measured(
            "one-event appends, 32 writers, vs bare INSERT", ours, limit, goal=at_least(1.3)
        )
        several, ours = bench.interleaved(
            loop.side(lambda: append_to_several(pool, scale.appends)),
            loop.side(lambda: append(pool, scale.appends)),
        )
        yield Measured(
            f"appends of an event to each of {STREAMS} streams, 32 writers, vs one-event appends",
            several,
            ours,
            goal=at_least(1),
        )
        with library(installation.database_url) as recorder:
            ours, peer = bench.interleaved(
                loop.side(lambda: append(pool, scale.appends)),
                lambda: record(recorder, scale.library_appends),
            )
        yield Measured(
            "one-event appends, 32 writers, vs eventsourcing's recorder",
            ours,
            peer,
            goal=at_least(5),
        )


async def append(pool: Pool, events: int) -> float:
    """Events a second through our log."""
    store = EventStore[IngestEvent](PostgresLog(pool), CODEC)
    scans = iter([fact.event for fact in facts(events, seed=next(SEEDS))])

    async def writer() -> None:
        stream, version = f"scan-{uuid4()}", 0
        for scan in scans:
            appended = await store.append(stream, [scan], expected=version, metadata=METADATA)
            version = appended.version

    began = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return events / (time.perf_counter() - began)


async def append_to_several(pool: Pool, events: int) -> float:
    """Events a second in appends to a new stream and to the same others, as an order of items."""
    store = EventStore[IngestEvent](PostgresLog(pool), CODEC)
    scans = iter([fact.event for fact in facts(events, seed=next(SEEDS))])

    async def writer() -> None:
        shared = [f"scan-{uuid4()}" for _ in range(STREAMS - 1)]
        version = 0
        while several := [*islice(scans, STREAMS)]:
            streams = [f"scan-{uuid4()}", *shared][: len(several)]
            await store.append_streams(
                {stream: [scan] for stream, scan in zip(streams, several, strict=True)},
                expected=dict.fromkeys(shared, version) | {streams[0]: 0},
                metadata=METADATA,
            )
            version += 1

    began = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return events / (time.perf_counter() - began)


@contextmanager
def library(dsn: str) -> Iterator[PostgresApplicationRecorder]:
    """The library's recorder with a pool as large as there are writers."""
    parts = urlsplit(dsn)
    with PostgresDatastore(
        dbname=parts.path.lstrip("/"),
        host=parts.hostname or "",
        port=parts.port or 5432,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        pool_size=WRITERS,
    ) as datastore:
        recorder = PostgresApplicationRecorder(datastore)
        recorder.create_table()
        yield recorder


def record(recorder: PostgresApplicationRecorder, events: int) -> float:
    """Events a second through the library, a thread per writer."""
    share = events // WRITERS
    state = next(CODEC.encode(fact.event)[2] for fact in facts(1))

    def writer() -> None:
        stream = uuid4()
        for version in range(1, share + 1):
            recorder.insert_events([StoredEvent(stream, version, "bench:ScanRecorded", state)])

    began = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as threads:
        for done in [threads.submit(writer) for _ in range(WRITERS)]:
            done.result()
    return share * WRITERS / (time.perf_counter() - began)
