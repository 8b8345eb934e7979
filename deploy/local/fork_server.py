"""The parent of the services: it has imported all of them, and forks one for every request.

Run as `python -m deploy.local.fork_server <module> …`. Standard input brings requests, one
`ForkRequest` in JSON a line; standard output takes answers, one JSON object a line: "ready" once
everything is imported, "pid" for each request in its turn, "ended" (a pid) and "code" for each
child. It ends when its input does, and its children with it.

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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from deploy.local import leash

Answer: TypeAlias = dict[str, int]
CHUNK_BYTES = 1 << 16
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
    _pending: bytes = field(default=b"", init=False)

    def serve(self) -> ForkRequest | None:
        """Fork until the requests end. Returns in every child too, there with its request."""
        self.answer({"ready": True})
        with _deaths() as deaths:
            poller = select.poll()
            for descriptor in (self.requests, deaths):
                poller.register(descriptor, select.POLLIN)
            while True:
                readable = {descriptor for descriptor, _ in poller.poll()}
                if deaths in readable:
                    os.read(deaths, CHUNK_BYTES)
                    self._reap()
                if self.requests not in readable:
                    continue
                if not (chunk := os.read(self.requests, CHUNK_BYTES)):
                    return None
                for line in self._lines(chunk):
                    request = ForkRequest(**json.loads(line))
                    if self._fork(request) == 0:
                        return request

    def answer(self, answer: Answer) -> None:
        """Write one line; short enough to arrive whole."""
        os.write(self.answers, json.dumps(answer).encode() + b"\n")

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

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.answer({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


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
            importlib.import_module(f"{name}.__main__")
        if len([*Path("/proc/self/task").iterdir()]) > 1:
            raise RuntimeError(f"importing {name} starts a thread, so it cannot be forked")
    gc.collect()
    gc.freeze()


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
    """What `python -m` does; what was imported under the module's own name is run anew."""
    package = hasattr(sys.modules.get(module), "__path__")
    sys.modules.pop(f"{module}.__main__" if package else module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


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
    preload(sys.argv[1:])
    if (request := ForkServer(requests=0, answers=answers).serve()) is not None:
        become(request)
        run(request.module)


if __name__ == "__main__":
    main()
