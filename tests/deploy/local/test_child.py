"""A program is started apart, stopped in order, and never left behind.

What a supervisor that was killed left running is found by what it wrote down, and ended.
"""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.local.child import (
    LONGEST_SECONDS,
    STALLED_SECONDS,
    Child,
    Program,
    StartTimeout,
    wait_ready,
)
from deploy.local.runtime import (
    only_one,
    process_of,
    read_runtime,
    runtime_file,
    stop_leftovers,
    write_runtime,
)
from deploy.local.settings import ROOT
from deploy.local.trouble import CannotStart, Interrupted
from libs.testing.clock import MonotonicClock
from libs.testing.polling import wait_until

SLEEP = "import time; time.sleep(600)"
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
Make = Callable[..., Program]


def logged(program: Program) -> str:
    return program.log_file.read_text() if program.log_file.exists() else ""


def test_a_program_that_listens_stops_in_order(python: Make) -> None:
    child = Child(python(SLEEP))

    assert child.stop()

    assert child.exit_code() == -signal.SIGTERM


@pytest.mark.parametrize(
    "how", [{"grace_seconds": 0.05}, {"grace_seconds": 1e6, "hurried": lambda: True}]
)
def test_a_program_that_does_not_listen_is_killed_when_its_grace_is_over_or_in_a_hurry(
    python: Make, how: dict[str, Any]
) -> None:
    program = python(DEAF)
    child = Child(program)
    wait_until(lambda: "deaf" in logged(program))

    assert not child.stop(**how)

    assert child.exit_code() == -signal.SIGKILL


def test_what_a_program_started_ends_with_it(python: Make) -> None:
    source = f"""
        import subprocess, sys, time
        print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid, flush=True)
        time.sleep(600)
    """
    program = python(textwrap.dedent(source))
    child = Child(program)
    wait_until(lambda: logged(program).endswith("\n"))
    grandchild = psutil.Process(int(logged(program)))

    child.stop()

    wait_until(lambda: not is_alive(grandchild))


def test_the_terminal_cannot_interrupt_a_program(python: Make) -> None:
    child = Child(python(SLEEP))

    assert os.getsid(child.pid) == child.pid
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_a_program_does_not_outlive_a_supervisor_that_is_killed(home: Path) -> None:
    source = f"""
        import sys, time
        from pathlib import Path
        from deploy.local.child import Child, Program
        program = Program(
            name="orphan", command=(sys.executable, "-c", {SLEEP!r}), ready=bool, pulse=bool,
            log_file=Path({str(home / "orphan.log")!r}),
        )
        print(Child(program).pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        orphan = psutil.Process(int(supervisor.stdout.readline()))
        assert is_alive(orphan)

        supervisor.kill()

        wait_until(lambda: not is_alive(orphan))


@pytest.mark.parametrize(
    ("source", "options", "trouble", "sentence"),
    [
        (
            "raise SystemExit('no sheep')",
            {},
            CannotStart,
            r"child ended \(exit code 1\)(?s:.*)no sh",
        ),
        (SLEEP, {"stalled_seconds": 0}, CannotStart, "made no progress for 0 seconds"),
        (SLEEP, {"interrupted": lambda: True}, Interrupted, "^$"),
    ],
    ids=["it ends, and its log is shown", "it makes no progress", "the person asks to stop"],
)
def test_waiting_for_a_program_ends_before_it_is_ready(
    python: Make, source: str, options: dict[str, Any], trouble: type[Exception], sentence: str
) -> None:
    child = Child(python(source, ready=lambda: False))
    if "stalled_seconds" in options:
        options = {"patience": StartTimeout(child, **options)}

    with pytest.raises(trouble, match=sentence):
        wait_ready(child, **options)

    child.stop()


@pytest.mark.parametrize(
    "working",
    ["print('still here', flush=True); time.sleep(0.01)", "sum(range(100_000))"],
    ids=["it logs", "it computes"],
)
def test_a_program_with_progress_does_not_time_out(python: Make, working: str) -> None:
    child, clock = Child(python(f"import time\nwhile True: {working}")), MonotonicClock()
    patience = StartTimeout(child, clock=clock)
    clock.advance(STALLED_SECONDS + 1)

    wait_until(lambda: not patience.fault(), what="progress")
    child.stop()


def test_a_program_times_out_in_the_end_in_spite_of_progress(python: Make) -> None:
    child, clock = Child(python(SLEEP)), MonotonicClock()
    patience = StartTimeout(child, stalled_seconds=2 * LONGEST_SECONDS, clock=clock)
    clock.advance(LONGEST_SECONDS)
    assert not patience.fault()

    clock.advance(1)

    assert patience.fault() == "was not ready within 600 seconds"
    child.stop()


def test_a_log_that_has_grown_is_put_aside_at_the_next_start(python: Make) -> None:
    program = python("print('new')")
    program.log_file.parent.mkdir()
    program.log_file.write_bytes(b"old\n" * 3_000_000)

    child = Child(program)
    wait_until(lambda: child.exit_code() is not None)

    assert logged(program) == "new\n"
    assert program.log_file.with_name("child.log.1").stat().st_size == 12_000_000


def is_alive(process: psutil.Process) -> bool:
    """A zombie has ended; only its parent has not noticed."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def left() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def record(process: psutil.Process, *, started_at: float | None = None) -> dict[str, object]:
    started_at = process.create_time() if started_at is None else started_at
    return {"pid": process.pid, "started_at": started_at, "stop_signal": 15}


def test_leftovers_are_stopped_and_forgotten(home: Path, left: psutil.Process) -> None:
    write_runtime(home, {"processes": {"ingest": record(left)}})

    assert stop_leftovers(home) == ["ingest"]

    assert not left.is_running()
    assert read_runtime(home) is None


def test_another_process_with_the_same_pid_is_left_alone(home: Path, left: psutil.Process) -> None:
    write_runtime(home, {"processes": {"ingest": record(left, started_at=1.0)}})

    assert stop_leftovers(home) == []

    assert left.is_running()


def test_a_program_that_is_being_restarted_has_no_process() -> None:
    assert process_of({"pid": None, "started_at": None}) is None


def test_only_its_owner_may_read_what_runs_where(home: Path) -> None:
    write_runtime(home, {"database_url": "postgresql://me:hush@127.0.0.1/shop"})

    assert stat.S_IMODE(runtime_file(home).stat().st_mode) == 0o600


def test_a_half_written_file_means_that_nothing_is_known(home: Path) -> None:
    runtime_file(home).write_text('{"processes": {')

    assert read_runtime(home) is None


def test_only_one_may_run_from_a_folder(home: Path) -> None:
    with only_one(home) as first, only_one(home) as second:
        assert (first, second) == (True, False)

    with only_one(home) as after:
        assert after
