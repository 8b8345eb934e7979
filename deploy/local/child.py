"""One program we started: what it is, whether it runs, and how it is made to stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Protocol

import psutil

from deploy.local import leash
from deploy.local.files import rotate, tail
from deploy.local.trouble import CannotStart, Interrupted

POLL_SECONDS = 0.05
STALLED_SECONDS = 60.0
LONGEST_SECONDS = 600.0


def _nothing() -> None:
    return None


def _never() -> bool:
    return False


def _always() -> bool:
    return True


class Process(Protocol):
    """What is started, as `subprocess.Popen` shows it."""

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def wait(self) -> int | None:
        """Return when it has ended."""

    def send_signal(self, number: int, /) -> None:
        """Nothing happens when it has ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """Who a program runs as, when not as us."""

    uid: int
    gid: int


def start_apart(
    program: "Program", *, stdin: int = subprocess.DEVNULL, stdout: int | None = None
) -> "subprocess.Popen[bytes]":
    """Start it as a process of its own; output goes to the log unless `stdout` says where."""
    with program.log_file.open("ab") as log:
        return subprocess.Popen(
            leashed(program),
            cwd=program.cwd,
            env={**os.environ, **program.env},
            stdin=stdin,
            stdout=log if stdout is None else stdout,
            stderr=log,
            start_new_session=True,
            bufsize=0,
        )


def leashed(program: "Program") -> list[str]:
    """The command line that ties the program's life to this process."""
    user = program.user or User(uid=-1, gid=-1)
    arguments = (int(program.death_signal), os.getpid(), user.uid, user.gid)
    wrapper = (sys.executable, "-I", "-S", leash.__file__)
    return [*wrapper, *map(str, arguments), *program.command]


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What to run and how to tell that it is well. `command[0]` is a full path.

    `launch` starts it, in a session of its own so that the terminal's Ctrl-C does not reach it,
    and on its leash; output is appended to the log. Until `can_start` a restart waits.

    `ready` is the strict question asked until it first says yes, `pulse` the cheap one asked
    from then on, None without an answer in time; both take about a second and never raise.
    `prepare` clears away what a crash left, before every start; it may raise `CannotStart`.
    `death_signal` is what the kernel sends it should we be killed ourselves.
    """

    name: str
    command: tuple[str, ...]
    log_file: Path
    ready: Callable[[], bool]
    pulse: Callable[[], bool | None]
    launch: "Callable[[Program], Process]" = start_apart
    can_start: Callable[[], bool] = _always
    prepare: Callable[[], None] = _nothing
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    user: User | None = None
    stop_signal: Signals = signal.SIGTERM
    death_signal: Signals = signal.SIGKILL
    grace_seconds: float = 10.0
    port: int | None = None
    url: str | None = None
    is_service: bool = False


class Child:
    """A running program."""

    def __init__(self, program: Program) -> None:
        """Start it. Raises what `prepare` and `launch` raise."""
        program.prepare()
        rotate(program.log_file)
        self.program = program
        self._process = program.launch(program)
        self.started_at = 0.0
        # One that was forked may have ended, and be gone, by now.
        with suppress(psutil.NoSuchProcess):
            self.started_at = psutil.Process(self.pid).create_time()

    @property
    def pid(self) -> int:
        """The program's own process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._process.poll()

    def stop(
        self, *, grace_seconds: float | None = None, hurried: Callable[[], bool] = _never
    ) -> bool:
        """Ask it to stop; kill it when the grace is over or `hurried`. False when killed."""
        grace = self.program.grace_seconds if grace_seconds is None else grace_seconds
        deadline = time.monotonic() + grace
        if self.exit_code() is None:
            self._process.send_signal(self.program.stop_signal)
        while self.exit_code() is None and time.monotonic() < deadline and not hurried():
            time.sleep(POLL_SECONDS / 5)
        in_time = self.exit_code() is not None
        self.kill()
        return in_time

    def kill(self) -> None:
        """End it and everything it started in its group at once; wait until it is gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class StartTimeout:
    """The timeout of a starting program, which is extended while it makes progress.

    Progress is a line in its log or a second of CPU time, its children's included, because a start
    takes many times longer on a busy machine. The timeout is `stalled_seconds` without progress,
    and `longest_seconds` in any case.
    """

    def __init__(
        self,
        child: Child,
        *,
        stalled_seconds: float = STALLED_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._child = child
        self._clock = clock
        self._stalled_seconds = stalled_seconds
        self._longest_seconds = longest_seconds
        self._began = self._moved_at = clock()
        self._progress = self._measure()

    def fault(self) -> str:
        """Why the program has timed out; empty if it has not."""
        now = self._clock()
        if now - self._moved_at > self._stalled_seconds:
            progress = self._measure()
            if progress == self._progress:
                return f"made no progress for {self._stalled_seconds:.0f} seconds"
            self._progress, self._moved_at = progress, now
        if now - self._began > self._longest_seconds:
            return f"was not ready within {self._longest_seconds:.0f} seconds"
        return ""

    def _measure(self) -> tuple[int, int]:
        """Bytes in the log, and whole seconds of CPU time."""
        log = self._child.program.log_file
        seconds = 0.0
        with suppress(psutil.Error):
            process = psutil.Process(self._child.pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    times = one.cpu_times()
                    seconds += times.user + times.system
        return (log.stat().st_size if log.exists() else 0), int(seconds)


def wait_ready(
    child: Child,
    *,
    patience: StartTimeout | None = None,
    interrupted: Callable[[], bool] = _never,
) -> None:
    """Return once the program is ready. Raises `CannotStart` with the end of its log when it
    ends before that or is past all `patience`, `Interrupted` if a stop is requested meanwhile."""
    program, patience = child.program, patience or StartTimeout(child)
    while not program.ready():
        if interrupted():
            raise Interrupted
        code = child.exit_code()
        if code is not None:
            raise CannotStart(
                f"{program.name} ended (exit code {code}) before it was ready.",
                remedy=_see(program),
            )
        if fault := patience.fault():
            raise CannotStart(f"{program.name} {fault}.", remedy=_see(program))
        time.sleep(POLL_SECONDS)


def _see(program: Program) -> str:
    return f"Its log {program.log_file} ends with:\n{tail(program.log_file) or '(nothing)'}"
