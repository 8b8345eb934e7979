"""Programs under test start as slowly as the machine lets them: a wait ends when nothing moves.

Whoever waits for a program fails at once, with the end of its log, when the program has ended.
"""

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit
from uuid import uuid4

from deploy.local import ports
from deploy.local.child import Child, Program
from deploy.local.files import tail
from deploy.local.postgres import query
from deploy.local.server import Server
from libs.testing.waiting import wait_until

POLL_SECONDS = 0.05
SLOW_STATEMENT_SECONDS = 120.0


class ProgramFailed(Exception):
    """A program ended where it should have gone on, or ended badly; with the end of its log."""


def wait_ready(*children: Child) -> None:
    """Wait until programs that were started side by side are ready. Raises ProgramFailed."""
    for child in children:
        _wait_ready(child)


def _wait_ready(child: Child) -> None:
    program = child.program

    def ready() -> bool:
        must_live(child)
        return program.ready()

    try:
        wait_until(ready, progress=partial(progress_of, program), poll_seconds=POLL_SECONDS)
    except AssertionError as error:
        said = f"{progress_of(program)}\n{tail(program.log_file, lines=40)}"
        raise ProgramFailed(f"{program.name}: {error}\n{said}") from error


def must_live(child: Child) -> None:
    """Raises ProgramFailed if it has ended."""
    if (code := child.exit_code()) is not None:
        program = child.program
        raise ProgramFailed(f"{program.name} ended ({code}):\n{tail(program.log_file, lines=40)}")


def progress_of(program: Program) -> object:
    """Changes while a log in its folder grows, or its `/ready` answers something else."""
    folder = program.log_file.parent
    logs = [*folder.glob("*.log"), *folder.glob("*/*.log")]
    return sum(log.stat().st_size for log in logs), _readiness(program.port if program.url else 0)


def _readiness(port: int | None) -> str:
    if not port:
        return ""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=2)
    with suppress(OSError, http.client.HTTPException), closing(connection):
        connection.request("GET", "/ready")
        return connection.getresponse().read().decode(errors="replace")
    return ""


@dataclass(kw_only=True)
class PatientServer(Server):
    """A server that may take its time to start, as long as it makes progress."""

    def start(self) -> None:
        """Start (again) and wait until ready. Raises ProgramFailed, with nothing left running."""
        self.child = Child(self.program)
        try:
            wait_ready(self.child)
        except BaseException:
            self.child.kill()
            raise


@contextmanager
def own_database(postgres_url: str, prefix: str = "house") -> Iterator[str]:
    """The address of an empty database, dropped afterwards."""
    name = f"{prefix}_{uuid4().hex[:12]}"
    ask = partial(query, postgres_url, timeout_seconds=SLOW_STATEMENT_SECONDS)
    ask(f"create database {name}")
    try:
        yield urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
    finally:
        ask(f"drop database {name} with (force)")
