"""`.data/runtime.json`: what runs where, for scripts, for `status`, and for the next start."""

import contextlib
import fcntl
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from deploy.local.files import write_whole

Runtime: TypeAlias = dict[str, Any]
STOP_SECONDS = 30.0
KILL_SECONDS = 5.0


def runtime_file(home: Path) -> Path:
    """The path of the file."""
    return home / "runtime.json"


def read_runtime(home: Path) -> Runtime | None:
    """What the file says; None when there is none, that is when nothing was left running."""
    with suppress(FileNotFoundError, json.JSONDecodeError):
        content: Runtime = json.loads(runtime_file(home).read_text())
        return content
    return None


def write_runtime(home: Path, runtime: Runtime) -> None:
    """Replace the file in one step; for its owner only, because addresses carry passwords."""
    write_whole(runtime_file(home), json.dumps(runtime, indent=2) + "\n", mode=0o600)


def forget_runtime(home: Path) -> None:
    """Nothing runs any more."""
    runtime_file(home).unlink(missing_ok=True)


@contextmanager
def only_one(home: Path) -> Iterator[bool]:
    """Hold the right to run from `home`; yields False when another process holds it.

    The operating system gives it back when the holder dies, however it dies.
    """
    home.mkdir(parents=True, exist_ok=True)
    with lock_file(home).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def lock_file(home: Path) -> Path:
    """The lock file of a running installation; it also marks the folder as ours."""
    return home / "supervisor.lock"


def process_of(record: Runtime) -> psutil.Process | None:
    """The process a record means, and not a stranger who was given its number later."""
    with contextlib.suppress(psutil.Error, KeyError, TypeError):
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["started_at"]) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    return None


def stop_leftovers(home: Path) -> list[str]:
    """End what a supervisor that was killed left running; their names. Call it with the lock held.

    Services and servers alike are asked first and killed when they do not listen.
    """
    runtime = read_runtime(home) or {}
    records: dict[str, Runtime] = runtime.get("processes", {})
    alive = {name: process for name, r in records.items() if (process := process_of(r))}
    for name, process in reversed(alive.items()):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.Signals(records[name]["stop_signal"]))
    _, stubborn = psutil.wait_procs(list(alive.values()), timeout=STOP_SECONDS)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=KILL_SECONDS)
    forget_runtime(home)
    return list(alive)
