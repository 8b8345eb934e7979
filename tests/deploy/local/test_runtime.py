"""What a supervisor that was killed left running is found by what it wrote down, and ended."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.runtime import (
    only_one,
    process_of,
    read_runtime,
    runtime_file,
    stop_leftovers,
    write_runtime,
)


@pytest.fixture
def left() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def record(process: psutil.Process, *, started_at: float | None = None) -> dict[str, object]:
    began = process.create_time() if started_at is None else started_at
    return {"pid": process.pid, "started_at": began, "stop_signal": 15}


def test_leftovers_are_stopped_and_forgotten(home: Path, left: psutil.Process) -> None:
    write_runtime(home, {"processes": {"ingest": record(left)}})

    assert stop_leftovers(home) == ["ingest"]

    assert not left.is_running()
    assert read_runtime(home) is None


def test_a_stranger_with_the_same_number_is_left_alone(home: Path, left: psutil.Process) -> None:
    write_runtime(home, {"processes": {"ingest": record(left, started_at=1.0)}})

    assert stop_leftovers(home) == []

    assert left.is_running()


def test_a_program_that_is_between_two_lives_means_no_process() -> None:
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
