"""The handle of the load generator, a process that gets commands to send requests."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from deploy.local.settings import ROOT
from tests.bench.load import ACCEPTED
from tests.bench.measure import percentile

SATURATED = 0.85
"""A generator that worked for more of the time than this may itself be what was measured."""


class LoadFailed(Exception):
    """Not everything was accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What came of a load. Latencies are in ms; `cpu` are the generator's own seconds of computing
    and `busy` its share of one core.

    `sent` names the first scan of every request of a schedule with the moment it was due, in
    seconds since the epoch. `seen` is what a gate saw: moments on one clock, and how many events
    were visible.
    """

    seconds: float
    cpu: float
    busy: float
    latencies: list[float]
    sent: list[tuple[str, float]]
    seen: list[tuple[float, int]]

    def p(self, share: float) -> float:
        return percentile(self.latencies, share)

    @property
    def warning(self) -> str:
        """Says so if the generator was the bottleneck."""
        return f"load generator {self.busy:.0%} busy" if self.busy > SATURATED else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where to send, and the headers that open the door."""

    url: str
    headers: Mapping[str, str]


class Generator:
    """A running generator. Use as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def closed(
        self, target: Target, *, count: int, size: int = 0, connections: int = 32, **more: Any
    ) -> Loaded:
        """`count` requests of `size` new scans, or GETs, each client waiting for its answer.

        `more` may be `seconds` after which no more are sent, a `gate` (see `load`), and `bodies` to
        send instead.
        """
        self.begin(target, kind="closed", count=count, size=size, connections=connections, **more)
        return self.result()

    def schedule(self, target: Target, **load: Any) -> Loaded:
        """As `begin_schedule`, and wait for the result."""
        self.begin_schedule(target, **load)
        return self.result()

    def begin_schedule(self, target: Target, *, rate: float, seconds: float, size: int = 0) -> None:
        """`rate` requests a second at fixed moments; latencies count from those moments."""
        self.begin(target, kind="schedule", rate=rate, seconds=seconds, size=size, connections=512)

    def begin(self, target: Target, **command: Any) -> None:
        message = {"url": target.url, "headers": dict(target.headers), **command}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def result(self) -> Loaded:
        """Wait for what came of the command. Raises `LoadFailed`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed("the load generator ended")
        answer = json.loads(line)
        if "error" in answer:
            raise LoadFailed(answer["error"])
        if set(answer["statuses"]) - ACCEPTED:
            raise LoadFailed(f"answers: {answer['statuses']}")
        return Loaded(
            seconds=answer["seconds"],
            cpu=answer["cpu"],
            busy=answer["busy"],
            latencies=answer["latencies"],
            sent=[(name, due) for name, due in answer.get("sent", ())],
            seen=[(at, count) for at, count in answer.get("seen", ())],
        )
