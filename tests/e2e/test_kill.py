"""Whatever is killed in the middle of the day, what was sent and what is shown agree in the end.

The day is the demo's own, in a process of its own; the test only reads `runtime.json` and kills.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.settings import ROOT

SPLIT = (
    *("scale_bridge-worker", "scale_bridge-api", "ingest-api", "ingest-worker"),
    *("gateway-api", "gateway-worker", "kafka", "postgres", "fleet"),
)
WHOLE = ("scale_bridge", "ingest", "gateway", "postgres", "kafka")
PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of its own. Not below pytest's: another run closes that to the database's user."""
    made = Path(tempfile.mkdtemp(prefix="tillstream-house-"))
    yield made
    shutil.rmtree(made)


@contextmanager
def demo(home: Path, *, split: bool, speed: int) -> Iterator[subprocess.Popen[bytes]]:
    """The demo, played once, its words in `demo.log`."""
    env = os.environ | {
        "TILLSTREAM_DATA": str(home),
        "GATEWAY_PORT": str(free_port()),
        "SPLIT": "1" if split else "",
        "SPEED": str(speed),
        "ONCE": "1",
    }
    with (home / "demo.log").open("wb") as words:
        playing = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo"], cwd=ROOT, env=env, stdout=words, stderr=words
        )
        try:
            yield playing
        finally:
            playing.terminate()
            playing.wait(60)


def runtime(home: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads((home / "runtime.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return said


def wait_until(happened: Callable[[], bool], what: str, playing: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert playing.poll() is None, f"the demo ended before {what}"
        assert time.monotonic() < deadline, f"gave up waiting until {what}"
        time.sleep(0.1)


def state(home: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = runtime(home).get("processes", {}).get(name, {})
    return found


def kill(home: Path, name: str, playing: subprocess.Popen[bytes]) -> None:
    """Kill one process for good and wait until the supervisor has brought it back."""
    before = state(home, name)
    os.kill(before["pid"], signal.SIGKILL)
    wait_until(
        lambda: (
            state(home, name).get("pid") not in {None, before["pid"]}
            and state(home, name).get("state") == "ready"
        ),
        f"{name} is back",
        playing,
    )


def is_scanning(home: Path) -> bool:
    return b"scanning" in (home / "demo.log").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(450)
@pytest.mark.parametrize(
    # A day must last until the last of them is back.
    ("split", "names", "speed"),
    [(True, SPLIT, 300), (False, WHOLE, 700)],
    ids=["split", "whole"],
)
def test_the_numbers_agree_although_every_process_was_killed_once(
    home: Path, split: bool, names: tuple[str, ...], speed: int
) -> None:
    with demo(home, split=split, speed=speed) as playing:
        wait_until(lambda: is_scanning(home), "the day began", playing)
        for name in names:
            kill(home, name, playing)
            time.sleep(1)  # let the day go on for a while between two blows
        status = playing.wait(200)

    words = (home / "demo.log").read_text()
    assert status == 0, words
    assert "agree in all" in words
