"""The whole line: HTTP, log, relay, Kafka and read models share the machine.

Clients send as fast as they are answered, but never more than a few thousand events ahead of what
the slowest read model has: so whatever the rate comes to, it is one without growing lag. Beside it
a dashboard is read twice a second. So it is beside the bare line, which does the same without
guarantees, and beside the peer, where what was answered is visible.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from tests.bench import bare, stored
from tests.bench.bench import Bench
from tests.bench.costs import Cost, Usage
from tests.bench.generator import Generator, Loaded, Target
from tests.bench.house import BATCH, STATE, Installation, Peer, open_peer
from tests.bench.measure import Measured, at_least, at_most
from tests.bench.meter import Costs, Meter, counting_batches

PLAIN: Final = "plain insert-and-query"
WIDE: Final = "the same peer with a connection for each client"
CONNECTIONS: Final = 32
SIZE: Final = 20
ASKED_BESIDE: Final = 2
WINDOW: Final = 4000
MOST_PER_SECOND: Final = 2500
"""Batches prepared for each second, more than can be sent."""


def run(bench: Bench) -> Iterator[Measured]:
    """All sides in turn, each read and fed concurrently."""
    with (
        bench.servers.installation() as installation,
        bench.servers.installation() as bared,
        open_peer(bench.servers) as peer,
        open_peer(bench.servers, connections=CONNECTIONS + 1) as wide_peer,
        Generator() as feeding,
        Generator() as asking,
    ):
        installation.publish_keys()
        installation.start("ingest-api", "ingest-worker")
        load = _Load(feeding, asking, bench.scale.whole_seconds)
        ours = _Ours("whole line", bench, installation, load)
        limit, plain = _Bare(bench, bared, load), _Plain(PLAIN, bench, peer, load)
        wide = _Plain(WIDE, bench, wide_peer, load)
        lines, limits, answers, more = bench.interleaved(
            ours.sample, limit.sample, plain.sample, wide.sample
        )
    for side, reference, goal in (
        (limit, limits, at_least(0.6)),
        (plain, answers, at_least(2)),
        (wide, more, None),
    ):
        yield Measured(
            f"whole line, sustained, vs {side.title}",
            lines,
            reference,
            goal=goal,
            note=f"at most {WINDOW} events behind; {ours.note}",
        )
    yield _cpu(ours, limit, costs=(ours.costs.total, limit.costs.total))
    yield _cpu(ours, plain, goal=at_most(0.6), costs=(plain.costs.total,))
    yield _cpu(ours, wide, costs=(wide.costs.total,))


def _cpu(ours: "_Side", other: "_Side", **more: Any) -> Measured:
    name = f"CPU per event, all processes, vs {other.title}"
    return Measured(name, ours.costs.micros, other.costs.micros, unit="µs", **more)


class _Load:
    """Feeds and asks at once."""

    def __init__(self, feeding: Generator, asking: Generator, seconds: float) -> None:
        self._feeding = feeding
        self._asking = asking
        self._seconds = seconds

    def run(
        self, batch: Target, state: Target, gate: dict[str, object] | None, cost: Cost
    ) -> Loaded:
        """Send for so long; what the generators used and how much was sent goes to `cost`."""
        self._asking.begin_schedule(state, rate=ASKED_BESIDE, seconds=self._seconds)
        done = self._feeding.closed(
            batch,
            count=int(MOST_PER_SECOND * self._seconds),
            size=SIZE,
            connections=CONNECTIONS,
            seconds=self._seconds,
            gate=gate,
        )
        cost.events = len(done.latencies) * SIZE
        cost.add_usage("generator, feeding", Usage(done.cpu))
        cost.add_usage("generator, asking", Usage(self._asking.result().cpu))
        return done


class _Side(ABC):
    """One of those that are compared."""

    def __init__(self, title: str, meter: Meter, load: _Load) -> None:
        self.title = title
        self.costs = Costs(title, meter)
        self._load = load

    def sample(self) -> float:
        """Events a second."""
        with self.costs.sample() as cost, self._counting(cost):
            done = self._run(cost)
        return self._rate(done)

    @abstractmethod
    def _run(self, cost: Cost) -> Loaded: ...

    def _rate(self, done: Loaded) -> float:
        """Events that were answered: where they are visible at once."""
        return len(done.latencies) * SIZE / done.seconds

    def _counting(self, cost: Cost) -> AbstractContextManager[None]:
        return nullcontext()


class _Gated(_Side):
    """A side where what was answered becomes visible later."""

    def __init__(self, title: str, bench: Bench, installation: Installation, load: _Load) -> None:
        kafka = {"kafka": bench.servers.kafka.pid}
        meter = Meter(installation.database_url, lambda: installation.pids() | kafka)
        super().__init__(title, meter, load)
        self._installation = installation
        self.note = ""

    def _fed(self, batch: Target, state: Target, sql: str, cost: Cost) -> Loaded:
        gate = {"window": WINDOW, "dsn": self._installation.database_url, "sql": sql}
        done = self._load.run(batch, state, gate, cost)
        self.note = f"feeding generator {done.busy:.0%} busy, batch p50 {done.p(0.5):.0f} ms"
        return done

    def _rate(self, done: Loaded) -> float:
        """Events that became visible, without the first second, which only fills the line."""
        began = done.seen[0][0]
        began, first = next(sample for sample in done.seen if sample[0] >= began + 1)
        ended, last = done.seen[-1]
        return (last - first) / (ended - began)


class _Ours(_Gated):
    def _run(self, cost: Cost) -> Loaded:
        ours = self._installation
        return self._fed(ours.direct(BATCH), ours.direct(STATE), stored.VISIBLE, cost)

    def _counting(self, cost: Cost) -> AbstractContextManager[None]:
        return counting_batches(self._installation.database_url, cost)


class _Bare(_Gated):
    def __init__(self, bench: Bench, installation: Installation, load: _Load) -> None:
        super().__init__("the bare line", bench, installation, load)
        self._target = installation.launch_bare()

    def _run(self, cost: Cost) -> Loaded:
        return self._fed(self._target, self._target, bare.VISIBLE, cost)


class _Plain(_Side):
    def __init__(self, title: str, bench: Bench, peer: Peer, load: _Load) -> None:
        super().__init__(title, peer.meter(bench.servers), load)
        self._peer = peer

    def _run(self, cost: Cost) -> Loaded:
        return self._load.run(self._peer.at(BATCH), self._peer.at(STATE), None, cost)
