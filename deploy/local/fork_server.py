"""The parent of the services: it has imported all of them, and forks one for every request.

Run as `python -m deploy.local.fork_server <module> …`. Standard input brings requests, one
`ForkRequest` in JSON a line; standard output takes answers, one JSON object a line: "ready" once
everything is imported, "pid" for each request in its turn, "ended" (a pid) and "code" for each
child. It ends when its input does, and its children with it. When nothing was asked for a while,
or after the line `"rest"`, it gives its memory back and says "ready" 0: see `resting`.

A fork copies one thread and all open files, so nothing here opens a connection, makes an event loop
or starts a thread, and a module that does so while it is imported ends the start. Not the fork
server of `multiprocessing`: that one adds a tracker process, shares its objects without freezing
them, and its children outlive it. Linux only, as the leash is.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import typer.main

from deploy.local import leash, resting

Answer: TypeAlias = dict[str, int]
CHUNK_BYTES = 1 << 16
REST: Final = "rest"
REST_SECONDS = 30.0
"""A start that waits for so long between two forks is slow anyway."""
RETRY_SECONDS = 2.0
COMMANDS: dict[str, Any] = {}
"""The command lines of imported packages; to make one takes five megabytes in every child."""
FILLING: list[bytes] = []
# Python's own allocator gives out sizes that are multiples of 16 up to 512; so much a `bytes` takes
# empty; so many places in a row are none between objects. With another allocator there may be none.
SMALLEST_BYTES, LARGEST_SMALL_BYTES, EMPTY_BYTES, ROW, MOST = 48, 512, 33, 16, 2_000
# Where `/proc/<pid>/stat` says from where to where in memory the command line is, behind the name.
COMMAND_LINE = slice(45, 47)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForkRequest:
    """`python -m <module> <arguments>` as a child. `env` is all of its environment."""

    module: str
    arguments: list[str]
    env: dict[str, str]
    cwd: str
    log_file: str
    death_signal: int


@dataclass(kw_only=True)
class ForkServer:
    """Serves requests from one descriptor and answers at another."""

    requests: int
    answers: int
    is_to_rest: bool = field(default=False, init=False)
    _pending: bytes = field(default=b"", init=False)

    def serve(self) -> ForkRequest | None:
        """Fork until the requests end, or until it `is_to_rest`. Returns in every child too, there
        with its request."""
        self.answer({"ready": True})
        with _deaths() as deaths:
            poller = select.poll()
            for descriptor in (self.requests, deaths):
                poller.register(descriptor, select.POLLIN)
            while True:
                readable = {descriptor for descriptor, _ in poller.poll(REST_SECONDS * 1000)}
                if deaths in readable:
                    os.read(deaths, CHUNK_BYTES)
                    resting.reap(self.answers)
                self.is_to_rest = not readable
                if self.requests in readable:
                    if not (chunk := os.read(self.requests, CHUNK_BYTES)):
                        return None
                    if request := self._serve(chunk):
                        return request
                if self.is_to_rest and not self._pending:
                    return None

    def answer(self, answer: Answer) -> None:
        """Answer a request, or say something unasked."""
        resting.answer(self.answers, json.dumps(answer))

    def _serve(self, chunk: bytes) -> ForkRequest | None:
        """Do what is asked for; in a child the request it was forked for."""
        for line in filter(None, self._lines(chunk)):
            asked = json.loads(line)
            self.is_to_rest = asked == REST
            if not self.is_to_rest and self._fork(request := ForkRequest(**asked)) == 0:
                return request
        return None

    def _lines(self, chunk: bytes) -> list[bytes]:
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        return lines

    def _fork(self, request: ForkRequest) -> int:
        """0 in the child, which by then leads a group of its own and is on its leash."""
        parent, (reading, writing) = os.getpid(), os.pipe()
        if (pid := os.fork()) == 0:
            os.setsid()
            leash.tie(request.death_signal, parent)
            os.close(writing)
            return 0
        os.close(writing)
        # Until the child has closed its end, or has died.
        os.read(reading, 1)
        os.close(reading)
        self.answer({"pid": pid})
        return pid


@contextmanager
def _deaths() -> Iterator[int]:
    """A descriptor that can be read when a child has died. The child itself leaves, too."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def preload(modules: Iterable[str]) -> None:
    """Import modules, and packages with their `__main__`; put all objects out of the collector's
    reach, because it writes to what it looks at. Raises `RuntimeError` when one began a thread."""
    gc.disable()
    for name in modules:
        if hasattr(importlib.import_module(name), "__path__"):
            program = importlib.import_module(f"{name}.__main__")
            if isinstance(app := getattr(program, "app", None), typer.Typer):
                COMMANDS[name] = typer.main.get_command(app)
                # What was used once need not be loaded and copied in every child.
                COMMANDS[name].make_context(name, ["run"])
        if len([*Path("/proc/self/task").iterdir()]) > 1:
            raise RuntimeError(f"importing {name} starts a thread, so it cannot be forked")
    gc.collect()
    fill_gaps()
    gc.freeze()


def fill_gaps() -> None:
    """Use up the small free places between Python's objects, so that what a child makes lies close
    together in pages of its own, instead of making it copy one of ours for each."""
    for size in range(SMALLEST_BYTES, LARGEST_SMALL_BYTES + 1, 16):
        last, row = 0, 0
        for _ in range(MOST):
            FILLING.append(bytes(size - EMPTY_BYTES))
            row = row + 1 if id(FILLING[-1]) - last == size else 0
            last = id(FILLING[-1])
            if row == ROW:
                break


def become(request: ForkRequest) -> None:
    """Turn a fresh child into what `python -m` would have started."""
    silence = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for ours, standard in ((silence, 0), (log, 1), (log, 2)):
        os.dup2(ours, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    sys.argv = [request.module, *request.arguments]
    show_command((sys.executable, "-m", *sys.argv))
    gc.enable()


def run(module: str) -> None:
    """What `python -m` does. A command line that was made while it was imported is called as it
    is; what else was imported under the module's own name is run anew."""
    if (command := COMMANDS.get(module)) is not None:
        command(prog_name=f"python -m {module}")
    package = hasattr(sys.modules.get(module), "__path__")
    sys.modules.pop(f"{module}.__main__" if package else module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def rest(answers: int, modules: Iterable[str]) -> NoReturn:
    """Become a process that takes no memory; its children stay its own."""
    os.dup2(answers, 1)
    command = (sys.executable, "-I", "-S", resting.__file__, *modules)
    os.execv(sys.executable, command)  # noqa: S606  # no shell is the point


def show_command(words: Iterable[str]) -> None:
    """Show these words, as far as there is room for them, where `ps` shows a command line."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, fields[COMMAND_LINE])
    text = "\0".join(words).encode()[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def main() -> None:
    """Import what the command line names, then serve standard input."""
    answers = os.dup(1)
    # Whatever a module prints while it is imported goes to the log.
    os.dup2(2, 1)
    is_again = sys.argv[1] == resting.AGAIN
    modules = sys.argv[1 + is_again :]
    try:
        preload(modules)
    except Exception:
        if not is_again:
            raise
        # The programs were changed while they ran: those that run are not to end for that.
        traceback.print_exc()
        time.sleep(RETRY_SECONDS)
        rest(answers, modules)
    server = ForkServer(requests=0, answers=answers)
    if (request := server.serve()) is not None:
        become(request)
        run(request.module)
    elif server.is_to_rest:
        rest(answers, modules)


if __name__ == "__main__":
    main()
