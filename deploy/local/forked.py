"""The supervisor's side of the fork server: programs that are forked instead of started apart."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from signal import SIGKILL
from typing import IO, Final

import psutil

from deploy.local.child import POLL_SECONDS, Program, start_apart
from deploy.local.fork_server import CHUNK_BYTES, REST, ForkRequest
from deploy.local.settings import ROOT
from deploy.local.trouble import CannotStart

NAME: Final = "preload"
FORK_SECONDS: Final = 30.0
CAN_FORK: Final = sys.platform == "linux"
"""Elsewhere programs are started apart: no other system ends children with their parent."""


class RunningForkServer:
    """One run of the fork server, and the pipes to it. Safe for several threads."""

    def __init__(self, program: Program) -> None:
        self._process = start_apart(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid
        self.is_ready = False
        self.is_lost = False
        self._is_resting = False
        self._is_woken = False
        self._requests, self._answers = _pipes(self._process)
        self._pending = b""
        self._pids: deque[int] = deque()
        self._codes: dict[int, int] = {}
        self._lock = threading.RLock()

    def fork(self, request: ForkRequest) -> int:
        """The new child's process id. Raises `CannotStart` without a fork server that answers."""
        with self._lock:
            self._write(json.dumps(asdict(request)))
            while not self._pids and not self.is_lost and self._read(FORK_SECONDS):
                pass
            if not self._pids:
                # An answer that comes after all would be taken for another request's.
                self._process.kill()
                raise CannotStart("The parent of the services is gone.", remedy="It is restarted.")
            return self._pids.popleft()

    def rest(self) -> None:
        """Have it give its memory back until there is something to fork."""
        self._write(json.dumps(REST))

    def can_fork(self) -> bool:
        """Whether it forks at once. If it rests it is woken, and can some seconds later."""
        self.read()
        if self._is_resting and not self._is_woken:
            self._is_woken = True
            self._write("")
        return self.is_ready and not (self._is_resting or self.is_lost)

    def poll(self) -> int | None:
        """Its own exit code; None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Return when it has ended; no request reaches it any more."""
        code = self._process.wait()
        with self._lock:
            self.is_ready, self.is_lost = False, True
            for pipe in (self._requests, self._answers):
                pipe.close()
        return code

    def send_signal(self, number: int) -> None:
        """Nothing happens when it has ended."""
        self._process.send_signal(number)

    def exit_code(self, pid: int) -> int | None:
        """None while the child runs, or while it is not known how it ended."""
        with self._lock:
            self.read()
            return self._codes.get(pid)

    def read(self) -> None:
        """Take in the answers that have come."""
        with self._lock:
            while self._read(0.0):
                pass

    def _write(self, line: str) -> None:
        with self._lock:
            try:
                self._requests.write(f"{line}\n".encode())
            except (OSError, ValueError):
                self.is_lost = True

    def _read(self, seconds: float) -> bool:
        """Whether something came within so many seconds."""
        if self.is_lost or not select.select([self._answers], [], [], seconds)[0]:
            return False
        chunk = os.read(self._answers.fileno(), CHUNK_BYTES)
        self.is_lost = not chunk
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(chunk)

    def _take(self, answer: dict[str, int]) -> None:
        match answer:
            case {"pid": pid}:
                self._pids.append(pid)
            case {"ended": pid, "code": code}:
                self._codes[pid] = code
            case _:
                self.is_ready, self._is_woken = True, False
                self._is_resting = not answer["ready"]


class ForkedProcess:
    """A child of the fork server, to be handled like a `subprocess.Popen`."""

    def __init__(self, parent: RunningForkServer, pid: int) -> None:
        self.pid = pid
        self._parent = parent

    def poll(self) -> int | None:
        """The exit code; None while it runs. With its parent it has died of its leash."""
        code = self._parent.exit_code(self.pid)
        if code is None and self._parent.is_lost and not _runs(self.pid):
            return -SIGKILL
        return code

    def wait(self) -> int | None:
        """Return when it has ended, also when its parent no longer tells how."""
        while self.poll() is None and _runs(self.pid):
            time.sleep(POLL_SECONDS / 5)
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Nothing happens when it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Preloaded:
    """The fork server as a program to be supervised, and what it forks instead of starting it.

    `modules` are imported before the first fork. Its programs run `python -m` as it does.
    """

    def __init__(self, modules: Iterable[str], log_file: Path) -> None:
        self._running: RunningForkServer | None = None
        self.program = Program(
            name=NAME,
            command=(sys.executable, "-m", "deploy.local.fork_server", *modules),
            log_file=log_file,
            launch=self._launch,
            ready=self.is_ready,
            pulse=self.is_ready,
            cwd=ROOT,
            is_service=True,
        )

    def forked(self, program: Program) -> Program:
        """The same program, to be forked from here as soon as that is possible."""
        return replace(program, launch=self._fork, can_start=self.can_fork)

    def rest(self) -> None:
        """Nothing is to be forked for some time."""
        if self._running is not None:
            self._running.rest()

    def can_fork(self) -> bool:
        """Whether everything is imported now."""
        return self._running is not None and self._running.can_fork()

    def is_ready(self) -> bool:
        """Whether everything was imported."""
        if (running := self._running) is None:
            return False
        running.read()
        return running.is_ready and not running.is_lost

    def _launch(self, program: Program) -> RunningForkServer:
        self._running = RunningForkServer(program)
        return self._running

    def _fork(self, program: Program) -> ForkedProcess:
        if (running := self._running) is None:
            raise CannotStart("The parent of the services is not there.", remedy="Start it first.")
        _, _, module, *arguments = program.command
        request = ForkRequest(
            module=module,
            arguments=arguments,
            env={**os.environ, **program.env},
            cwd=str(program.cwd),
            log_file=str(program.log_file),
            death_signal=int(program.death_signal),
        )
        return ForkedProcess(running, running.fork(request))


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("it was started without pipes")
    return process.stdin, process.stdout


def _runs(pid: int) -> bool:
    """A zombie has ended; only its parent has not noticed."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
