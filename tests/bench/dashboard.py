"""What a dashboard waits for: few events and many, quiet and while more arrive."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from tests.bench.bench import Bench
from tests.bench.generator import Generator
from tests.bench.house import BATCH, STATE, Installation
from tests.bench.measure import FLAT, Measured, Side, limited, measured, percentile
from tests.bench.stored import with_events

ASKED_PER_SECOND: Final = 20
ARRIVING: Final = 25
SIZE: Final = 20


def run(bench: Bench) -> Iterator[Measured]:
    """All events are of today and of the same operators: the day that is asked for has them all."""
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
        yield measured(
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
            asked = asking.schedule(state, rate=ASKED_PER_SECOND, seconds=seconds)
            feeding.result()
            median.append(asked.p(0.5))
            worst.append(percentile(asked.latencies, 0.99))
    name = f"dashboard/state with {size:,} events, {ARRIVING * SIZE}/s arriving"
    note = f"{ASKED_PER_SECOND} requests a second on schedule"
    yield limited(f"{name}: p99", worst, limit=20.0, unit="ms", note=note)
    yield Measured(name=f"{name}: p50", unit="ms", ours=median)
