"""The peer as a process: granian, one worker, a database of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deploy.local import ports
from deploy.local.child import Program
from deploy.local.server import Server
from deploy.local.services import fetch
from deploy.local.settings import ROOT
from tests.bench.generator import Target
from tests.bench.house import House

KEY: Final = "a-key-for-the-peer-only"


class Peer:
    """The running peer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def at(self, path: str) -> Target:
        """One of its paths."""
        url = f"http://{ports.LOOPBACK}:{self._port}{path}"
        return Target(url=url, headers={"X-API-Key": KEY})


@contextmanager
def open_peer(house: House) -> Iterator[Peer]:
    """Start the peer, with as many processes as our API has: one."""
    port = ports.free_port()
    with house.database() as url:
        program = Program(
            name="peer",
            command=(
                *(sys.executable, "-m", "granian", "--interface", "asgi", "--factory"),
                *("--host", ports.LOOPBACK, "--port", str(port), "--workers", "1"),
                *("--loop", "uvloop", "tests.bench.peer.app:create_app"),
            ),
            log_file=house.home / "logs" / "peer.log",
            ready=lambda: fetch(port, "/openapi.json") is not None,
            pulse=lambda: ports.answers(port),
            cwd=ROOT,
            env={
                "DATABASE_URL": url.replace("postgresql://", "postgresql+asyncpg://", 1),
                "API_KEY": KEY,
            },
        )
        with Server(program=program):
            yield Peer(port)
