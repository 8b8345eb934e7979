"""What was known earlier: the first question over a day, and other instants of the same day.

A service that was just started has no state of that day; afterwards it may have. The events of the
day were recorded when they occurred, so every instant has another state.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from tests.bench.bench import Bench
from tests.bench.generator import Generator
from tests.bench.house import STATE, Installation
from tests.bench.measure import Measured, limited
from tests.bench.scans import ZONE
from tests.bench.stored import with_events

FIRST_SECONDS: Final = 3.0
ANOTHER_SECONDS: Final = 0.3
EARLIER: Final = (timedelta(), timedelta(minutes=90), timedelta(minutes=30))
"""The queried instants, one after the other, before the last event."""


def run(bench: Bench) -> Iterator[Measured]:
    """Each round with a service that was just started."""
    events, first, another = bench.scale.stored[1], list[float](), list[float]()
    installation = with_events(bench, events)
    installation.publish_keys()
    with Generator() as asking:
        for n in range(1, bench.scale.rounds + 1):
            bench.tell(f"looking back, round {n} of {bench.scale.rounds}")
            installation.start("ingest-api")
            # What every process does once, such as reading the keys, is not what is measured.
            asking.closed(installation.direct(STATE), count=2, connections=1)
            taken = [_ask(asking, installation, earlier) for earlier in EARLIER]
            installation.stop("ingest-api")
            first.append(taken[0])
            another += taken[1:]
    installation.stop()
    name = f"as of an instant of a day of {events:,} events"
    yield limited(f"{name}: first question", first, limit=FIRST_SECONDS, unit="s")
    yield limited(f"{name}: another instant", another, limit=ANOTHER_SECONDS, unit="s")


def _ask(asking: Generator, installation: Installation, earlier: timedelta) -> float:
    """Seconds until the state as of that instant was answered."""
    instant = (datetime.now(ZONE) - earlier).isoformat(timespec="milliseconds")
    target = installation.direct(f"{STATE}?as_of={quote(instant)}")
    began = time.perf_counter()
    asking.closed(target, count=1, connections=1)
    return time.perf_counter() - began
