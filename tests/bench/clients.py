"""The lines over HTTP: ingest, the gateway's hop, and the latency of readers.

HTTP ingest of 20-event batches: ours, bare INSERTs of the same rows, a plain implementation. And
the same batches through the gateway: what the hop costs.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from typing import Final

from deploy.local.services import GATEWAY
from libs.testing.polling import wait_until
from services.ingest.settings import Settings
from tests.bench.bench import Bench, Loop
from tests.bench.costs import Usage
from tests.bench.generator import Generator, Loaded, LoadFailed, Target
from tests.bench.house import BATCH, STATE, Installation, open_peer
from tests.bench.measure import FLAT, Measured, Side, Skipped, at_least, limited, percentile
from tests.bench.meter import Costs, Meter
from tests.bench.scans import insert_batches, open_connections
from tests.bench.stored import wait_for, with_events
from tests.e2e.house import INGEST

CONNECTIONS: Final = 32
WAIT: Final = "visible_wait_seconds"
"""The setting of ingest that says how long a batch waits until the read models have it."""
WAIT_SECONDS: Final = 0.05
SIZE: Final = 20
PAGE: Final = 2000
RATE: Final = 50
"""Requests a second at which no request waits for another."""
ASKED_PER_SECOND: Final = 20
ARRIVING: Final = 25


def ingest(bench: Bench) -> Iterator[Measured]:
    """All four sides in turn; nothing of ours waits until it is visible."""
    scale = bench.scale
    with (
        bench.servers.installation() as ours,
        open_peer(bench.servers) as peer,
        open_peer(bench.servers, connections=CONNECTIONS) as wide_peer,
        Generator() as generator,
        Loop() as loop,
    ):
        ours.publish_keys()
        _start_api(ours)
        connections = loop.open(open_connections(ours.database_url, CONNECTIONS))
        load = Load(generator)
        costs = Costs("HTTP ingest", Meter(ours.database_url, ours.pids))
        paid = Costs("plain FastAPI + SQLAlchemy", peer.meter(bench.servers))
        big = max(1, scale.batches * SIZE // PAGE)
        direct, same, paged, plain, wide = bench.interleaved(
            lambda: load.rate(ours.direct(BATCH), scale.batches, costs),
            loop.side(lambda: insert_batches(connections, scale.batches, size=SIZE)),
            loop.side(lambda: insert_batches(connections[:1], big, size=PAGE)),
            lambda: load.rate(peer.at(BATCH), scale.peer_batches, paid),
            lambda: load.rate(wide_peer.at(BATCH), scale.peer_batches, None),
        )
    for name, reference, goal in (
        ("bare INSERT … unnest, 20 rows each, 32 connections", same, at_least(0.65)),
        ("bare INSERT … unnest, 2 000 rows each, 1 connection", paged, None),
        ("plain FastAPI + SQLAlchemy", plain, at_least(4.5)),
        ("the same with a connection for each client", wide, None),
    ):
        yield Measured(
            f"HTTP ingest, batches of 20, 32 connections, vs {name}",
            direct,
            reference,
            goal=goal,
            note=load.note,
            costs=(costs.total, paid.total) if reference is same else (),
        )


def _start_api(ours: Installation, seconds: float = 0) -> None:
    """Start ingest's API, whose answers wait at most so long until they are visible."""
    api = ours.programs["ingest-api"]
    ours.launch(replace(api, env={**api.env, f"INGEST_{WAIT.upper()}": str(seconds)}))


class Load:
    """Batches over 32 connections, and what to say of the generator afterwards."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._busiest: Loaded | None = None

    def rate(self, target: Target, count: int, costs: Costs | None = None) -> float:
        with costs.sample(count * SIZE) if costs else nullcontext() as cost:
            done = self._generator.closed(target, count=count, size=SIZE, connections=CONNECTIONS)
            if cost:
                cost.add_usage("generator", Usage(done.cpu))
        if self._busiest is None or done.busy > self._busiest.busy:
            self._busiest = done
        return count * SIZE / done.seconds

    @property
    def note(self) -> str:
        if self._busiest is None:
            return ""
        return self._busiest.warning or f"generator at most {self._busiest.busy:.0%} busy"


def visible(bench: Bench) -> Iterator[Measured]:
    """The same log and worker; the API answers when the read models have it, or at once."""
    if WAIT not in Settings.model_fields:
        raise Skipped(f"ingest has no setting {WAIT} yet")
    with bench.servers.installation() as ours, Generator() as generator:
        ours.publish_keys()
        ours.start("ingest-worker")
        load, sent = Load(generator), 0

        def rate(seconds: float) -> float:
            nonlocal sent
            _start_api(ours, seconds)
            answered = load.rate(ours.direct(BATCH), bench.scale.batches)
            ours.stop("ingest-api")
            sent += bench.scale.batches * SIZE
            asyncio.run(wait_for(ours, sent))
            return answered

        waiting, at_once = bench.interleaved(lambda: rate(WAIT_SECONDS), lambda: rate(0))
    yield Measured(
        "HTTP ingest answered when visible vs answered when durable",
        waiting,
        at_once,
        goal=at_least(0.8),
        note=f"waits at most {WAIT_SECONDS:g} s; read models follow on the same machine",
    )


def gateway(bench: Bench) -> Iterator[Measured]:
    """Throughput when both are pressed, latency when neither is."""
    scale = bench.scale
    with bench.servers.installation(INGEST, GATEWAY) as ours, Generator() as generator:
        _start_api(ours)
        ours.start("gateway-api", "gateway-worker")
        direct, through = ours.direct(BATCH), ours.through_gateway(BATCH)
        _until_open(generator, through)
        load = Load(generator)
        fast, reference = bench.interleaved(
            lambda: load.rate(through, scale.batches),
            lambda: load.rate(direct, scale.batches),
        )
        yield Measured(
            "HTTP ingest through the gateway vs direct",
            fast,
            reference,
            goal=at_least(0.8),
            note=load.note,
        )
        slow, quick = bench.interleaved(
            lambda: _calm(generator, through, scale.calm_seconds),
            lambda: _calm(generator, direct, scale.calm_seconds),
        )
    yield limited(
        "latency the gateway adds at p50",
        [with_ - without for with_, without in zip(slow, quick, strict=True)],
        limit=1.5,
        unit="ms",
        note=f"{RATE} batches of {SIZE} a second, on schedule; direct p50 "
        f"{min(quick):.1f} – {max(quick):.1f} ms",
    )


def _calm(generator: Generator, target: Target, seconds: float) -> float:
    return generator.schedule(target, rate=RATE, seconds=seconds, size=SIZE).p(0.5)


def _until_open(generator: Generator, target: Target) -> None:
    """Wait until the gateway's projection knows the scanners' key."""

    def is_open() -> bool:
        with suppress(LoadFailed):
            generator.closed(target, count=1, size=1)
            return True
        return False

    wait_until(is_open, poll_seconds=0.1)


def dashboard(bench: Bench) -> Iterator[Measured]:
    """All events are of today and of the same operators, so the queried day has them all."""
    sizes = bench.scale.stored
    installations = [with_events(bench, size) for size in sizes]
    with ExitStack() as stack, Generator() as asking:
        for installation in installations:
            stack.callback(installation.stop)
            installation.publish_keys()
            installation.start("ingest-api")
        sides = [_side(bench, installation, asking) for installation in installations]
        few, *more = bench.interleaved(*sides)
    for size, samples in zip(sizes[1:], more, strict=True):
        yield Measured(
            f"dashboard/state p50 at {size:,} events vs at {sizes[0]:,}",
            samples,
            few,
            unit="ms",
            goal=FLAT,
        )
    yield from _under_load(bench, installations[-1], sizes[-1])


def _side(bench: Bench, installation: Installation, asking: Generator) -> Side:
    target, count = installation.direct(STATE), bench.scale.state_requests
    return lambda: asking.closed(target, count=count, connections=1).p(0.5)


def _under_load(bench: Bench, installation: Installation, size: int) -> Iterator[Measured]:
    """On schedule both: what a slow answer delays is counted too."""
    seconds, median, worst = bench.scale.state_seconds, [], []
    with ExitStack() as stack, Generator() as asking, Generator() as feeding:
        stack.callback(installation.stop)
        installation.publish_keys()
        installation.start("ingest-api", "ingest-worker")
        state, batch = installation.direct(STATE), installation.direct(BATCH)
        asking.schedule(state, rate=ASKED_PER_SECOND, seconds=1.0)
        for n in range(1, bench.scale.rounds + 1):
            bench.tell(f"stretch {n} of {bench.scale.rounds}")
            feeding.begin_schedule(batch, rate=ARRIVING, seconds=seconds, size=SIZE)
            reads = asking.schedule(state, rate=ASKED_PER_SECOND, seconds=seconds)
            feeding.result()
            median.append(reads.p(0.5))
            worst.append(percentile(reads.latencies, 0.99))
    name = f"dashboard/state with {size:,} events, {ARRIVING * SIZE}/s arriving"
    note = f"{ASKED_PER_SECOND} requests a second on schedule"
    yield limited(f"{name}: p99", worst, limit=10.0, unit="ms", note=note)
    yield Measured(f"{name}: p50", median, unit="ms")
