"""Postgres and Kafka of one's own, to be killed at will, and a broker door that a proxy stands in.

The broker has two doors: one for whoever judges, and one whose advertised address is where a
scenario may put its proxy.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deploy.local.child import Child, wait_ready
from deploy.local.download import Tell, quietly
from deploy.local.kafka import KafkaServer, kafka_program
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.postgres import PostgresServer, start_postgres
from deploy.local.server import Server
from tests.chaos.child import SESSION_MS

POSTGRES: Final[Mapping[str, str]] = {
    "max_connections": "200",
    "max_prepared_transactions": "8",
    # What was logged with the least of the log cannot be restored to another timeline.
    "wal_level": "replica",
}
HURRIED: Final[Mapping[str, str]] = {"fsync": "off", "full_page_writes": "off"}
"""Durability that only matters if the machine crashes, which no scenario does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Servers:
    """Both servers. `proxied` is what clients behind the proxy are told, `door` where it leads."""

    home: Path
    postgres: PostgresServer
    kafka: KafkaServer
    proxied: int
    door: int


@contextmanager
def open_servers(home: Path, *, hurried: bool, tell: Tell = quietly) -> Iterator[Servers]:
    """Both servers below `home`, ready; stopped when the block ends. Raises `CannotStart`."""
    settings = {**POSTGRES, **(HURRIED if hurried else {})}
    program, bootstrap = kafka_program(home, java=None, tell=tell)
    proxied, door = free_port(), free_port()
    overrides = _second_door(bootstrap, proxied, door)
    words = [word for one in overrides for word in ("--override", one)]
    program = replace(program, command=(*program.command, *words))
    with (
        start_postgres(home, settings=settings) as postgres,
        KafkaServer(program=program, bootstrap=bootstrap) as kafka,
    ):
        yield Servers(home=home, postgres=postgres, kafka=kafka, proxied=proxied, door=door)


def _second_door(bootstrap: str, proxied: int, door: int) -> list[str]:
    controller = free_port()
    listeners = (
        f"PLAINTEXT://{bootstrap},PROXIED://{LOOPBACK}:{door},CONTROLLER://{LOOPBACK}:{controller}"
    )
    return [
        f"listeners={listeners}",
        f"controller.quorum.voters=1@{LOOPBACK}:{controller}",
        f"advertised.listeners=PLAINTEXT://{bootstrap},PROXIED://{LOOPBACK}:{proxied}",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        f"group.min.session.timeout.ms={SESSION_MS}",
    ]


async def restart(server: Server, *, kill: bool) -> None:
    """Stop it orderly or kill it, start it again, and wait until it is ready."""
    if kill:
        server.kill()
    else:
        await asyncio.to_thread(server.stop)
    await start_again(server)


async def start_again(server: Server) -> None:
    """Start what was stopped, and wait until it is ready.

    Started from this thread: a server dies with the thread that started it.
    """
    server.child = Child(server.program)
    await asyncio.to_thread(wait_ready, server.child)
