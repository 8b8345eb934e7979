"""From accepted to visible, at a thousand events a second that come on schedule.

Postgres itself tells when the transactions committed that wrote a scan to the log and to
`scan_log`, the slowest read model; so nothing is polled, and nothing slow goes unnoticed.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from contracts.ingest import ScanId
from libs.testing.waiting import eventually
from services.ingest.domain import identity
from tests.bench.bench import Bench
from tests.bench.generator import Generator
from tests.bench.house import BATCH, Installation
from tests.bench.measure import Measured, limited, percentile
from tests.bench.scans import TENANT

RATE: Final = 50
SIZE: Final = 20

WRITTEN: Final = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xid::xid))::float8 AS accepted,
    extract(epoch FROM pg_xact_commit_timestamp(s.xmin))::float8 AS visible
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS asked (event_id, scan_id, n)
JOIN ingest.events e USING (event_id) JOIN ingest.scan_log s USING (scan_id)
ORDER BY n
"""


def run(bench: Bench) -> Iterator[Measured]:
    """Median and 99th percentile of several stretches."""
    scale = bench.scale
    due: list[list[float]] = []
    log: list[list[float]] = []
    with bench.servers.installation() as ours, Generator() as generator:
        ours.publish_keys()
        ours.start("ingest-api", "ingest-worker")
        target = ours.direct(BATCH)
        generator.schedule(target, rate=RATE, seconds=min(2.0, scale.fresh_seconds), size=SIZE)
        for n in range(1, scale.rounds + 1):
            bench.tell(f"stretch {n} of {scale.rounds}")
            done = generator.schedule(target, rate=RATE, seconds=scale.fresh_seconds, size=SIZE)
            written = asyncio.run(_written(ours, [scan for scan, _ in done.sent]))
            due.append(
                [
                    (visible - moment) * 1000
                    for (_, visible), (_, moment) in zip(written, done.sent, strict=True)
                ]
            )
            log.append([(visible - accepted) * 1000 for accepted, visible in written])
    note = f"{RATE} batches of {SIZE} a second; from the moment a batch was due"
    for name, share, limit in (("p50", 0.5, 20.0), ("p99", 0.99, 100.0)):
        samples = [percentile(each, share) for each in due]
        yield limited(f"freshness {name}", samples, limit=limit, unit="ms", note=note)
        samples = [percentile(each, share) for each in log]
        yield Measured(
            name=f"freshness {name}, from the log's commit alone", unit="ms", ours=samples
        )


async def _written(installation: Installation, scans: Sequence[str]) -> list[tuple[float, float]]:
    """When each scan was committed to the log and to the read model, in seconds of the epoch."""
    namespace = identity.namespace(TENANT)
    ids = [UUID(scan) for scan in scans]
    events = [identity.scan_event(namespace, ScanId(scan)) for scan in ids]
    async with installation.connected() as connection:
        rows = await eventually(
            lambda: _rows(connection, events, ids), what="all scans visible", poll_seconds=0.1
        )
    return [(row["accepted"], row["visible"]) for row in rows]


async def _rows(connection: Any, events: Sequence[UUID], ids: Sequence[UUID]) -> Sequence[Any]:
    rows: Sequence[Any] = await connection.fetch(WRITTEN, events, ids)
    return rows if len(rows) == len(ids) else ()
