"""The whole line at once: HTTP, log, relay, Kafka and projectors share the machine.

Clients send as fast as they are answered, but never more than a few thousand events ahead of what
the slowest read model has: so whatever the rate comes to, it is one without growing lag. Beside
it a dashboard is asked twice a second, and so it is beside the peer.
"""

from collections.abc import Iterator
from typing import Final

from tests.bench.bench import Bench
from tests.bench.generator import Generator, Loaded, Target
from tests.bench.house import BATCH, STATE, Installation, open_peer
from tests.bench.measure import Measured, at_least, measured
from tests.bench.stored import count_sql

CONNECTIONS: Final = 32
SIZE: Final = 20
WINDOW: Final = 4000
ASKED_PER_SECOND: Final = 2
MOST_PER_SECOND: Final = 2500
"""Batches prepared for each second, more than can be sent."""


def run(bench: Bench) -> Iterator[Measured]:
    """Both sides in turn, asked and fed at once."""
    seconds = bench.scale.whole_seconds
    with (
        bench.servers.installation() as ours,
        open_peer(bench.servers) as peer,
        Generator() as feeding,
        Generator() as asking,
    ):
        ours.publish_keys()
        ours.start("ingest-api", "ingest-worker")
        both = _Both(feeding, asking, seconds)
        lines, plain = bench.interleaved(
            lambda: both.ours(ours),
            lambda: both.plain(peer.at(BATCH), peer.at(STATE)),
        )
    yield measured(
        "whole line, sustained, vs plain insert-and-query",
        lines,
        plain,
        goal=at_least(5),
        note=f"at most {WINDOW} events behind; {both.note}",
    )


class _Both:
    """A generator that feeds and one that asks."""

    def __init__(self, feeding: Generator, asking: Generator, seconds: float) -> None:
        self._feeding = feeding
        self._asking = asking
        self._seconds = seconds
        self.note = ""

    def ours(self, installation: Installation) -> float:
        """Events a second that became visible between the first and the last look."""
        gate = {
            "window": WINDOW,
            "dsn": installation.database_url,
            "sql": count_sql(installation),
        }
        done = self._run(installation.direct(BATCH), installation.direct(STATE), gate)
        # The first second only fills the line.
        (began, first), (ended, last) = _steady(done.seen)
        self.note = f"feeding generator {done.busy:.0%} busy, batch p50 {done.p(0.5):.0f} ms"
        return (last - first) / (ended - began)

    def plain(self, batch: Target, state: Target) -> float:
        """Events a second that were answered: there they are visible at once."""
        done = self._run(batch, state, None)
        return len(done.latencies) * SIZE / done.seconds

    def _run(self, batch: Target, state: Target, gate: dict[str, object] | None) -> Loaded:
        self._asking.begin_schedule(state, rate=ASKED_PER_SECOND, seconds=self._seconds)
        done = self._feeding.closed(
            batch,
            count=int(MOST_PER_SECOND * self._seconds),
            size=SIZE,
            connections=CONNECTIONS,
            seconds=self._seconds,
            gate=gate,
        )
        self._asking.result()
        return done


def _steady(
    seen: list[tuple[float, int]],
) -> tuple[tuple[float, int], tuple[float, int]]:
    began = seen[0][0]
    return next(look for look in seen if look[0] >= began + 1), seen[-1]
