"""The platform as `make up` runs it: how soon it is there, how much memory and, at rest, how much
computing it takes.

Cold is an empty data folder, packages and Kafka's jars being there; warm is the same folder again.
Memory is what all of it takes at rest, some time after it has worked a little.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from deploy.local.memory import members, memory_by_program
from deploy.local.runtime import process_of, read_runtime
from tests.bench.bench import Bench
from tests.bench.generator import Generator, Target
from tests.bench.house import BATCH
from tests.bench.measure import Measured, limited
from tests.e2e.house import UNLIMITED, Site, open_site

LIMIT_MB: Final = 430.0
COLD_SECONDS: Final = 11.0
WARM_SECONDS: Final = 7.0
REST_PERCENT: Final = 5.0
RATE: Final = 50
SIZE: Final = 20


@dataclass(frozen=True, slots=True)
class Footprint:
    """Samples of one way of running it."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    memory: list[dict[str, float]] = field(default_factory=list)
    rest: list[dict[str, float]] = field(default_factory=list)


def run(bench: Bench) -> Iterator[Measured]:
    """Both ways of running it: two processes per service, and one. The goals are of the latter."""
    for name, split in (("split", True), ("single", False)):
        taken = _take(bench, name, split=split)
        yield _line(
            f"memory (PSS) of the whole platform, {name}",
            [sum(sizes.values()) for sizes in taken.memory],
            limit=None if split else LIMIT_MB,
            unit="MB",
            note=_shares(taken.memory),
        )
        yield _line(
            f"computing at rest, whole platform, {name}",
            [sum(shares.values()) for shares in taken.rest],
            limit=None if split else REST_PERCENT,
            unit="% of a core",
            note=_shares(taken.rest),
        )
        yield _line(
            f"cold start, {name}", taken.cold, limit=None if split else COLD_SECONDS, unit="s"
        )
        yield _line(
            f"warm start, {name}", taken.warm, limit=None if split else WARM_SECONDS, unit="s"
        )


def _take(bench: Bench, name: str, *, split: bool) -> Footprint:
    taken, scale = Footprint(), bench.scale
    with tempfile.TemporaryDirectory(prefix="tillstream-platform-") as folder:
        home = Path(folder)
        for n in range(scale.warm_starts + 1):
            bench.tell(f"{name}: {'warm start' if n else 'cold start'}")
            began = time.monotonic()
            with open_site(home, **UNLIMITED, SPLIT="1" if split else "") as site:
                (taken.warm if n else taken.cold).append(time.monotonic() - began)
                _load(site, scale.calm_seconds)
                time.sleep(scale.calm_seconds)
                taken.rest.append(computing(_running(home), scale.rest_seconds))
                sizes = memory_by_program(_running(home))
                taken.memory.append({name: size / (1 << 20) for name, size in sizes.items()})
    return taken


def computing(running: Mapping[str, psutil.Process], seconds: float) -> dict[str, float]:
    """Percent of one core that each program, with what it started, takes meanwhile."""
    before, began = _cpu_seconds(running), time.monotonic()
    time.sleep(seconds)
    after, passed = _cpu_seconds(running), time.monotonic() - began
    shares = dict.fromkeys(running, 0.0)
    # A process that came or went meanwhile is left out.
    for (pid, name), total in after.items():
        if (pid, name) in before:
            shares[name] += 100 * (total - before[pid, name]) / passed
    return shares


def _cpu_seconds(running: Mapping[str, psutil.Process]) -> dict[tuple[int, str], float]:
    seconds = {}
    for pid, name in members(running):
        with suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            seconds[pid, name] = times.user + times.system
    return seconds


def _shares(samples: Sequence[Mapping[str, float]]) -> str:
    names = sorted(samples[0], key=lambda name: -median(one[name] for one in samples))
    return ", ".join(f"{name} {median(one[name] for one in samples):.1f}" for name in names)


def _line(
    name: str, ours: Sequence[float], *, limit: float | None, unit: str, note: str = ""
) -> Measured:
    if limit is None:
        return Measured(name, ours, unit=unit, note=note)
    return limited(name, ours, limit=limit, unit=unit, note=note)


def _running(home: Path) -> dict[str, psutil.Process]:
    """All programs and the supervisor."""
    runtime: dict[str, Any] = read_runtime(home) or {}
    records = {**runtime["processes"], "supervisor": runtime["supervisor"]}
    return {name: process for name, one in records.items() if (process := process_of(one))}


def _load(site: Site, seconds: float) -> None:
    """A little work, because what has never worked takes less memory."""
    runtime: dict[str, Any] = read_runtime(site.home) or {}
    key = {"X-API-Key": runtime["keys"]["scan_client_key"]}
    with Generator() as generator:
        generator.schedule(
            Target(url=site.url + BATCH, headers=key), rate=RATE, seconds=seconds, size=SIZE
        )
