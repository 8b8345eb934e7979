"""HTTP ingest of 20-event batches: ours, bare INSERTs of the same rows, a plain implementation."""

from collections.abc import Iterator
from typing import Final

from tests.bench import bare
from tests.bench.bench import Bench, Loop
from tests.bench.generator import Generator, Loaded, Target
from tests.bench.house import BATCH
from tests.bench.measure import Measured, at_least
from tests.bench.serving import open_peer

CONNECTIONS: Final = 32
SIZE: Final = 20
PAGE: Final = 2000


def run(bench: Bench) -> Iterator[Measured]:
    """All four sides in turn."""
    scale = bench.scale
    with (
        bench.house.installation() as ours,
        open_peer(bench.house) as peer,
        Generator() as generator,
        Loop() as loop,
    ):
        ours.publish_keys()
        ours.start("ingest-api")
        opened = bare.open_connections(ours.database_url, CONNECTIONS)
        connections = loop.do(opened.__aenter__())
        load = Load(generator)
        big = max(1, scale.batches * SIZE // PAGE)
        try:
            direct, same, paged, plain = bench.interleaved(
                lambda: load.rate(ours.direct(BATCH), scale.batches),
                loop.side(lambda: bare.insert_batches(connections, scale.batches, size=SIZE)),
                loop.side(lambda: bare.insert_batches(connections[:1], big, size=PAGE)),
                lambda: load.rate(peer.at(BATCH), scale.peer_batches),
            )
        finally:
            loop.do(opened.__aexit__(None, None, None))
    for name, reference, goal in (
        ("bare INSERT … unnest, 20 rows each, 32 connections", same, at_least(0.6)),
        ("bare INSERT … unnest, 2 000 rows each, 1 connection", paged, None),
        ("plain FastAPI + SQLAlchemy", plain, at_least(10)),
    ):
        yield Measured(
            name=f"HTTP ingest, batches of 20, 32 connections, vs {name}",
            unit="events/s",
            ours=direct,
            reference=reference,
            goal=goal,
            note=load.note,
        )


class Load:
    """Batches over 32 connections, and what to say of the generator afterwards."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._busiest: Loaded | None = None

    def rate(self, target: Target, count: int) -> float:
        """Events a second."""
        done = self._generator.closed(target, count=count, size=SIZE, connections=CONNECTIONS)
        if self._busiest is None or done.busy > self._busiest.busy:
            self._busiest = done
        return count * SIZE / done.seconds

    @property
    def note(self) -> str:
        """How busy the generator was at most."""
        if self._busiest is None:
            return ""
        return self._busiest.warning or f"generator at most {self._busiest.busy:.0%} busy"
