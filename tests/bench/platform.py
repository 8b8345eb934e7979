"""The platform as `make up` runs it: how soon it is there, and how much memory it takes.

Cold is an empty data folder, packages and Kafka's jars being there; warm is the same folder again.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deploy.local.memory import memory_by_program
from deploy.local.runtime import process_of, read_runtime
from tests.bench.bench import Bench
from tests.bench.generator import Generator, Target
from tests.bench.house import BATCH
from tests.bench.measure import Measured, limited
from tests.e2e.house import UNLIMITED, Site, open_site

LIMIT_MB: Final = 1024.0
COLD_SECONDS: Final = 180.0
WARM_SECONDS: Final = 15.0
RATE: Final = 50
SIZE: Final = 20


def run(bench: Bench) -> Iterator[Measured]:
    """Both ways of running it: two processes per service, and one."""
    for name, split in (("split", True), ("single", False)):
        cold, warm, memory = list[float](), list[float](), list[float]()
        told = {**UNLIMITED, "SPLIT": "1" if split else ""}
        with tempfile.TemporaryDirectory(prefix="tillstream-platform-") as folder:
            home = Path(folder)
            for n in range(bench.scale.warm_starts + 1):
                bench.tell(f"{name}: {'warm start' if n else 'cold start'}")
                began = time.monotonic()
                with open_site(home, **told) as site:
                    (warm if n else cold).append(time.monotonic() - began)
                    _load(site, bench.scale.calm_seconds)
                    memory.append(memory_mb(home))
        yield limited(
            f"memory (PSS) of the whole platform, {name}",
            memory,
            limit=LIMIT_MB,
            unit="MB",
            note=f"after {RATE * SIZE} events/s for {bench.scale.calm_seconds:g} s; "
            "shared pages counted once",
        )
        yield limited(f"cold start, {name}", cold, limit=COLD_SECONDS, unit="s")
        yield limited(f"warm start, {name}", warm, limit=WARM_SECONDS, unit="s")


def memory_mb(home: Path) -> float:
    """Proportional set size of all processes and the supervisor."""
    runtime: dict[str, Any] = read_runtime(home) or {}
    records = {**runtime["processes"], "supervisor": runtime["supervisor"]}
    running = {name: process for name, one in records.items() if (process := process_of(one))}
    return sum(memory_by_program(running).values()) / (1 << 20)


def _load(site: Site, seconds: float) -> None:
    """A little work, because what has never worked takes less memory."""
    runtime: dict[str, Any] = read_runtime(site.home) or {}
    key = {"X-API-Key": runtime["keys"]["scan_client_key"]}
    with Generator() as generator:
        generator.schedule(
            Target(url=site.url + BATCH, headers=key), rate=RATE, seconds=seconds, size=SIZE
        )
