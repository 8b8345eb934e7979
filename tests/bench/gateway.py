"""The same batches through the gateway: what the hop costs."""

import time
from collections.abc import Iterator
from typing import Final

from tests.bench.bench import Bench
from tests.bench.generator import Generator, LoadFailed, Target
from tests.bench.house import BATCH
from tests.bench.ingest import SIZE, Load
from tests.bench.measure import Measured, at_least, limited

CALM_RATE: Final = 50
"""Requests a second at which nobody waits for anybody."""

PATIENCE_SECONDS: Final = 30.0


def run(bench: Bench) -> Iterator[Measured]:
    """Throughput when both are pressed, latency when neither is."""
    scale = bench.scale
    with bench.house.installation(gateway=True) as ours, Generator() as generator:
        ours.start("ingest-api", "gateway-api", "gateway-worker")
        direct, through = ours.direct(BATCH), ours.through_gateway(BATCH)
        _until_open(generator, through)
        load = Load(generator)
        fast, reference = bench.interleaved(
            lambda: load.rate(through, scale.batches),
            lambda: load.rate(direct, scale.batches),
        )
        yield Measured(
            name="HTTP ingest through the gateway vs direct",
            unit="events/s",
            ours=fast,
            reference=reference,
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
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            generator.closed(target, count=1, size=1)
        except LoadFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
