"""From Kafka into a read model: our projector beside a bare consumer that copies the same rows.

The read model is `scan_log`, because it keeps a row of every scan, which is what COPY can do too.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import uuid4

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer

from contracts.ingest import SCANS, ScanRecorded
from libs.eventsourcing.log import RecordedEvent
from libs.messaging.projector import Projector, Source
from libs.messaging.topics import topic_name
from services.ingest.domain.day import day_of
from services.ingest.read_models import scan_log
from tests.bench.bench import Bench, Loop
from tests.bench.house import Installation
from tests.bench.measure import Measured, at_least
from tests.bench.relay import drain, open_worker_pool
from tests.bench.scans import TENANT, ZONE
from tests.bench.stored import copy_in

BATCH: Final = 2000
PATIENCE_SECONDS: Final = 120.0
TABLE: Final = "CREATE TABLE IF NOT EXISTS bare_scan_log (LIKE ingest.scan_log INCLUDING ALL)"
FORGET: Final = """
    TRUNCATE ingest.scan_log;
    DELETE FROM ingest.generations WHERE projection = 'scan_log';
"""
SAID: Final = ("scan_id", "kind", "operator", "client", "city", "box", "code", "details", "source")
COLUMNS: Final = ("tenant", "day", *SAID, "scanned_at", "received_at", "effective_at", "skewed")


def run(bench: Bench) -> Iterator[Measured]:
    """The same records each time; before every sample the table is emptied."""
    events = bench.scale.records
    with bench.house.installation() as installation, Loop() as loop:
        loop.do(copy_in(installation, events, bench))
        loop.do(drain(installation, events))
        ours, reference = bench.interleaved(
            loop.side(lambda: catch_up(installation, events)),
            loop.side(lambda: copy(installation, events)),
        )
    yield Measured(
        name="projector catch-up (scan_log) vs bare consume + COPY",
        unit="events/s",
        ours=ours,
        reference=reference,
        goal=at_least(0.5),
        note="into the same columns and indexes; both counted from the end of the first batch",
    )


class _Stopwatch:
    """Counts from the end of the first batch, so that joining a group does not count."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._first = 0
        self._began = self._ended = time.perf_counter()
        self._done = 0
        self.over = asyncio.Event()

    def applied(self, number: int) -> None:
        """One batch is committed."""
        self._ended = time.perf_counter()
        self._done += number
        if self._done == number < self._events:
            self._first, self._began = number, self._ended
        if self._done >= self._events:
            self.over.set()

    @property
    def rate(self) -> float:
        """Events a second."""
        return (self._done - self._first) / (self._ended - self._began)


async def catch_up(installation: Installation, events: int) -> float:
    """Events a second of the projector, in a group of its own."""
    await _empty(installation, FORGET)
    pool, stop, watch = await open_worker_pool(installation, 3), asyncio.Event(), _Stopwatch(events)

    def applied(_: str, recorded: Sequence[RecordedEvent], __: int, ___: int) -> None:
        watch.applied(len(recorded))

    projector = Projector(
        pool,
        scan_log.projection(ZONE),
        Source(
            bootstrap=installation.backends.kafka_bootstrap,
            prefix=installation.prefix,
            group=f"bench.{uuid4()}",
        ),
        on_applied=applied,
    )
    running = asyncio.ensure_future(projector.run(stop))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await watch.over.wait()
    finally:
        stop.set()
        await running
        await pool.close()
    return watch.rate


async def copy(installation: Installation, events: int) -> float:
    """Events a second of a bare consumer that decodes and copies."""
    await _empty(installation, f"{TABLE}; TRUNCATE bare_scan_log")
    connection: Any = await asyncpg.connect(installation.database_url)
    consumer = AIOKafkaConsumer(
        topic_name(installation.prefix, SCANS),
        bootstrap_servers=installation.backends.kafka_bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    decode, watch = msgspec.json.Decoder(ScanRecorded).decode, _Stopwatch(events)
    try:
        while not watch.over.is_set():
            polled = await consumer.getmany(timeout_ms=200, max_records=BATCH)
            rows = [_row(decode(record.value)) for lane in polled.values() for record in lane]
            if rows:
                await connection.copy_records_to_table(
                    "bare_scan_log", columns=COLUMNS, records=rows
                )
                watch.applied(len(rows))
    finally:
        await consumer.stop()
        await connection.close()
    return watch.rate


async def _empty(installation: Installation, sql: str) -> None:
    connection: Any = await asyncpg.connect(installation.database_url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _row(scan: ScanRecorded) -> tuple[Any, ...]:
    return (
        TENANT,
        day_of(scan.effective_at, ZONE),
        scan.scan_id,
        scan.kind,
        scan.operator,
        scan.client,
        scan.city,
        scan.box,
        scan.code,
        scan.details,
        scan.source,
        scan.scanned_at,
        scan.received_at,
        scan.effective_at,
        scan.skewed,
    )
