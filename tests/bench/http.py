"""HTTP ingest of 20-event batches: ours, bare INSERTs of the same rows, a plain implementation.

And the same batches through the gateway: what the hop costs.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from libs.testing.waiting import wait_until
from tests.bench.bench import Bench, Loop
from tests.bench.generator import Generator, Loaded, LoadFailed, Target
from tests.bench.house import BATCH, open_peer
from tests.bench.measure import Measured, at_least, limited
from tests.bench.scans import insert_batches, open_connections

CALM_RATE: Final = 50
"""Requests a second at which nobody waits for anybody."""
CONNECTIONS: Final = 32
SIZE: Final = 20
PAGE: Final = 2000


def ingest(bench: Bench) -> Iterator[Measured]:
    """All four sides in turn."""
    scale = bench.scale
    with (
        bench.servers.installation() as ours,
        open_peer(bench.servers) as peer,
        Generator() as generator,
        Loop() as loop,
    ):
        ours.publish_keys()
        ours.start("ingest-api")
        connections = loop.open(open_connections(ours.database_url, CONNECTIONS))
        load = Load(generator)
        big = max(1, scale.batches * SIZE // PAGE)
        direct, same, paged, plain = bench.interleaved(
            lambda: load.rate(ours.direct(BATCH), scale.batches),
            loop.side(lambda: insert_batches(connections, scale.batches, size=SIZE)),
            loop.side(lambda: insert_batches(connections[:1], big, size=PAGE)),
            lambda: load.rate(peer(BATCH), scale.peer_batches),
        )
    for name, reference, goal in (
        ("bare INSERT … unnest, 20 rows each, 32 connections", same, at_least(0.6)),
        ("bare INSERT … unnest, 2 000 rows each, 1 connection", paged, None),
        ("plain FastAPI + SQLAlchemy", plain, at_least(10)),
    ):
        yield Measured(
            f"HTTP ingest, batches of 20, 32 connections, vs {name}",
            direct,
            reference,
            goal=goal,
            note=load.note,
        )


class Load:
    """Batches over 32 connections, and what to say of the generator afterwards."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._busiest: Loaded | None = None

    def rate(self, target: Target, count: int) -> float:
        done = self._generator.closed(target, count=count, size=SIZE, connections=CONNECTIONS)
        if self._busiest is None or done.busy > self._busiest.busy:
            self._busiest = done
        return count * SIZE / done.seconds

    @property
    def note(self) -> str:
        if self._busiest is None:
            return ""
        return self._busiest.warning or f"generator at most {self._busiest.busy:.0%} busy"


def gateway(bench: Bench) -> Iterator[Measured]:
    """Throughput when both are pressed, latency when neither is."""
    scale = bench.scale
    with bench.servers.installation(gateway=True) as ours, Generator() as generator:
        ours.start("ingest-api", "gateway-api", "gateway-worker")
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
            goal=at_least(0.6),
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
        note=f"{CALM_RATE} batches of {SIZE} a second, on schedule; direct p50 "
        f"{min(quick):.1f} – {max(quick):.1f} ms",
    )


def _calm(generator: Generator, target: Target, seconds: float) -> float:
    return generator.schedule(target, rate=CALM_RATE, seconds=seconds, size=SIZE).p(0.5)


def _until_open(generator: Generator, target: Target) -> None:
    """Wait until the gateway's projection knows the scanners' key."""

    def is_open() -> bool:
        with suppress(LoadFailed):
            generator.closed(target, count=1, size=1)
            return True
        return False

    wait_until(is_open, poll_seconds=0.1)
