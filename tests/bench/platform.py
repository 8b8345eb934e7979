"""The platform as `make up` runs it: how soon it is there, and how much memory it takes.

Cold is an empty data folder, packages and Kafka's jars being there; warm is the same folder again.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.local import ports
from deploy.local.memory import resident_bytes
from deploy.local.runtime import process_of, read_runtime
from deploy.local.services import says_ready
from deploy.local.settings import ROOT
from tests.bench.bench import Bench
from tests.bench.generator import Generator, Target
from tests.bench.house import BATCH, UNLIMITED
from tests.bench.measure import Measured, limited

LIMIT_MB: Final = 1024.0
COLD_SECONDS: Final = 180.0
WARM_SECONDS: Final = 15.0
PATIENCE_SECONDS: Final = 180.0
STOP_SECONDS: Final = 40.0
LOOK_SECONDS: Final = 0.05
RATE: Final = 50
SIZE: Final = 20
SERVERS: Final = {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"}


class NotUp(Exception):
    """The platform did not come up; the message is the end of what it said."""


@dataclass(kw_only=True)
class _Starts:
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)


def run(bench: Bench) -> Iterator[Measured]:
    """Both ways of running it: two processes per service, and one."""
    for name, split in (("split", True), ("single", False)):
        starts, memory = _Starts(), list[float]()
        with _folder() as home:
            for n in range(bench.scale.warm_starts + 1):
                bench.tell(f"{name}: {'warm start' if n else 'cold start'}")
                with up(home, split=split) as took:
                    (starts.warm if n else starts.cold).append(took)
                    _load(home, bench.scale.calm_seconds)
                    memory.append(resident_mb(home))
        yield limited(
            f"resident memory of the whole platform, {name}",
            memory,
            limit=LIMIT_MB,
            unit="MB",
            note=f"after {RATE * SIZE} events/s for {bench.scale.calm_seconds:g} s; "
            "shared pages counted once",
        )
        yield limited(f"cold start, {name}", starts.cold, limit=COLD_SECONDS, unit="s")
        yield limited(f"warm start, {name}", starts.warm, limit=WARM_SECONDS, unit="s")


@contextmanager
def up(home: Path, *, split: bool) -> Iterator[float]:
    """The running platform, and how many seconds it took until every process was ready."""
    port = ports.free_port()
    env = {name: value for name, value in os.environ.items() if name not in SERVERS}
    env |= UNLIMITED | {
        "TILLSTREAM_DATA": str(home),
        "TILLSTREAM_PROFILE": "demo",
        "GATEWAY_PORT": str(port),
        "SPLIT": "1" if split else "",
    }
    words, began = home.with_suffix(".log"), time.monotonic()
    with words.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "up"], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            while not _all_ready(home, port):
                if supervisor.poll() is not None or time.monotonic() - began > PATIENCE_SECONDS:
                    raise NotUp(words.read_text()[-600:])
                time.sleep(LOOK_SECONDS)
            yield time.monotonic() - began
        finally:
            supervisor.terminate()
            supervisor.wait(STOP_SECONDS)


def resident_mb(home: Path) -> float:
    """Of all processes and the supervisor."""
    runtime: dict[str, Any] = read_runtime(home) or {}
    total = 0
    for name, record in {**runtime["processes"], "supervisor": runtime["supervisor"]}.items():
        if process := process_of(record):
            total += resident_bytes(process, alone=name == "supervisor")
    return total / (1 << 20)


def _all_ready(home: Path, port: int) -> bool:
    runtime: dict[str, Any] = read_runtime(home) or {}
    processes = runtime.get("processes", {})
    there = any(name.startswith("gateway") for name in processes)
    ready = all(record["state"] == "ready" for record in processes.values())
    return there and ready and says_ready(port)


def _load(home: Path, seconds: float) -> None:
    """A little work, because what has never worked takes less memory."""
    runtime: dict[str, Any] = read_runtime(home) or {}
    url = next(u for name, u in runtime["urls"].items() if name in {"gateway", "gateway-api"})
    target = Target(url=url + BATCH, headers={"X-API-Key": runtime["keys"]["scan_client_key"]})
    with Generator() as generator:
        generator.schedule(target, rate=RATE, seconds=seconds, size=SIZE)


@contextmanager
def _folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tillstream-platform-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        made.with_suffix(".log").unlink(missing_ok=True)
