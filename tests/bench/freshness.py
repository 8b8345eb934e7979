"""From accepted to visible, on schedule; and what a user buys: all of it at once.

Postgres itself tells when the transactions committed that wrote a scan to the log and to
`scan_log`, which is written together with all other read models; so nothing is polled, and nothing
slow goes unnoticed. The user's line asks dashboards at the same time, where a million events are
stored already, and so it does of the peer.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from contracts.ingest import ScanId
from libs.testing.polling import eventually
from services.ingest.scans.domain import identity
from tests.bench.bench import Bench
from tests.bench.costs import Cost
from tests.bench.generator import Generator, Loaded, Target
from tests.bench.house import BATCH, STATE, Installation, open_peer
from tests.bench.measure import Measured, at_most, limited, percentile
from tests.bench.meter import Costs, Meter, counting_batches
from tests.bench.scans import TENANT, ZONE
from tests.bench.stored import with_events

RATE: Final = 50
SIZE: Final = 20
QUERY_RATE: Final = 1
"""Dashboards read a second, which the peer must be able to answer."""
LONG_ENOUGH: Final = 2.0

WRITTEN: Final = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xid::xid))::float8 AS accepted,
    extract(epoch FROM pg_xact_commit_timestamp(s.xmin))::float8 AS visible
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS given (event_id, scan_id, n)
JOIN ingest.events e USING (event_id)
JOIN ingest.scan_log s ON s.tenant = $3 AND s.day = ANY($4::date[]) AND s.scan_id = given.scan_id
ORDER BY n
"""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Milliseconds until a scan was visible: of each stretch the median and the 99th percentile,
    from the moment its batch was due and from the log's commit."""

    due: list[tuple[float, float]] = field(default_factory=list)
    log: list[tuple[float, float]] = field(default_factory=list)

    def add(self, installation: Installation, done: Loaded) -> None:
        """Take in a stretch, as soon as all of it is visible."""
        written = asyncio.run(_written(installation, [scan for scan, _ in done.sent]))
        moments = [moment for _, moment in done.sent]
        waits = [visible - at for (_, visible), at in zip(written, moments, strict=True)]
        self.due.append(_percentiles(waits))
        self.log.append(_percentiles([visible - accepted for accepted, visible in written]))

    def rows(
        self, name: str, note: str, *, limits: tuple[float, float], costs: Sequence[Cost] = ()
    ) -> Iterator[Measured]:
        """Two rows for the median, and two for the 99th percentile; `limits` are in ms."""
        note = f"{note}; from the moment a batch was due"
        for n, (share, limit) in enumerate(zip(("p50", "p99"), limits, strict=True)):
            due, log = ([each[n] for each in samples] for samples in (self.due, self.log))
            more: dict[str, Any] = {"note": note} if n else {"note": note, "costs": costs}
            yield limited(f"{name} {share}", due, limit=limit, unit="ms", **more)
            yield Measured(f"{name} {share}, from the log's commit alone", log, unit="ms")


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    return percentile(seconds, 0.5) * 1000, percentile(seconds, 0.99) * 1000


def run(bench: Bench) -> Iterator[Measured]:
    """Several stretches of a thousand events a second."""
    scale, fresh = bench.scale, Fresh()
    with bench.servers.installation() as ours, Generator() as generator:
        ours.publish_keys()
        ours.start("ingest-api", "ingest-worker")
        target, kafka = ours.direct(BATCH), {"kafka": bench.servers.kafka.pid}
        meter = Meter(ours.database_url, lambda: ours.pids() | kafka)
        costs = Costs(f"{RATE * SIZE} events a second", meter)
        for n in range(scale.rounds + 1):
            bench.tell(f"stretch {n} of {scale.rounds}" if n else "warming up")
            seconds = scale.fresh_seconds if n else min(LONG_ENOUGH, scale.fresh_seconds)
            with (
                costs.sample(int(RATE * seconds) * SIZE) as cost,
                counting_batches(ours.database_url, cost),
            ):
                done = generator.schedule(target, rate=RATE, seconds=seconds, size=SIZE)
            if n:
                fresh.add(ours, done)
    yield from fresh.rows(
        "freshness",
        f"{RATE} batches of {SIZE} a second",
        limits=(8.0, 30.0),
        costs=(costs.total,),
    )


def at_once(bench: Bench) -> Iterator[Measured]:
    """A million events stored, a thousand a second arriving, and dashboards that are read."""
    scale, events = bench.scale, bench.scale.stored[-1]
    installation = with_events(bench, events)
    fresh, states, peers = Fresh(), list[float](), list[float]()
    with ExitStack() as stack:
        feeding, asking = (stack.enter_context(Generator()) for _ in range(2))
        peer = stack.enter_context(open_peer(bench.servers))
        bench.tell(f"giving the peer {events:,} events")
        peer.fill(events)
        stack.callback(installation.stop)
        installation.publish_keys()
        installation.start("ingest-api", "ingest-worker")
        for n in range(scale.at_once_rounds + 1):
            bench.tell(f"stretch {n} of {scale.at_once_rounds}" if n else "warming up")
            seconds = scale.state_seconds if n else LONG_ENOUGH
            sent, reads = _both(feeding, asking, installation.direct, seconds)
            _, peers_asked = _both(feeding, asking, peer.at, seconds)
            if n:
                fresh.add(installation, sent)
                states.append(reads.p(0.99))
                peers.append(peers_asked.p(0.99))
    note = f"{events:,} events stored, {RATE * SIZE:,}/s arriving, {QUERY_RATE}/s asked for"
    saturated = min(peers) > 1000 / QUERY_RATE
    yield Measured(
        "all at once: dashboard/state p99 vs the peer's",
        states,
        peers,
        unit="ms",
        goal=at_most(1 / 20),
        note=note + ("; more than the peer can answer" if saturated else ""),
    )
    yield from fresh.rows("all at once: freshness", note, limits=(20.0, 100.0))


def _both(
    feeding: Generator, asking: Generator, at: Callable[[str], Target], seconds: float
) -> tuple[Loaded, Loaded]:
    feeding.begin_schedule(at(BATCH), rate=RATE, seconds=seconds, size=SIZE)
    reads = asking.schedule(at(STATE), rate=QUERY_RATE, seconds=seconds)
    return feeding.result(), reads


async def _written(installation: Installation, scans: Sequence[str]) -> list[tuple[float, float]]:
    """When each scan was committed to the log and to the read model, in seconds of the epoch."""
    namespace = identity.namespace(TENANT)
    ids = [UUID(scan) for scan in scans]
    events = [identity.scan_event(namespace, ScanId(scan)) for scan in ids]
    today = datetime.now(ZONE).date()
    days = [today - timedelta(days=1), today]
    async with installation.connected() as connection:

        async def rows() -> Sequence[Any]:
            found: Sequence[Any] = await connection.fetch(WRITTEN, events, ids, TENANT, days)
            return found if len(found) == len(ids) else ()

        visible = await eventually(rows, what="all scans visible", poll_seconds=0.1)
    return [(row["accepted"], row["visible"]) for row in visible]
