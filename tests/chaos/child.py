"""The processes that are killed: a relay, a projector or clients, as a service would run them."""

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from deploy.local import leash
from libs import failpoints
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.messaging import projector
from libs.messaging.projector import Projector
from libs.messaging.publisher import Publisher
from libs.messaging.relay import Pace, Relay
from libs.messaging.subscription import Source
from libs.postgres import pool as pools
from libs.process.lifecycle import Task, main, run_until_signal
from tests.chaos.clients import keep_appending
from tests.chaos.patches import patch
from tests.libs.messaging.lab import SERVICE, WRITER_CODEC, Ledger

SESSION_MS: Final = 500
PAGE: Final = 20
POOL: Final = 6
DEADLINE_SECONDS: Final = 1.0
"""How long a page may take to be confirmed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a child is to be. `first` are the numbers its clients begin with, by client; what they
    are told they write to `acks`."""

    parts: tuple[str, ...]
    database: str
    bootstrap: str
    prefix: str
    log: str
    failpoint: str = ""
    without: tuple[str, ...] = ()
    idle_seconds: float = 1.0
    page: int = PAGE
    seed: int = 0
    first: Sequence[tuple[int, int]] = ()
    acks: str = ""


def live(role: Role) -> None:
    """Be it, until SIGTERM or worse. What it says goes to its log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leash.tie(signal.SIGKILL, os.getppid())
    words = os.open(role.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for said in (1, 2):
        os.dup2(words, said)
    failpoints.arm({"TILLSTREAM_PROFILE": "test", "TILLSTREAM_FAILPOINT": role.failpoint})
    projector.LOOK_SECONDS = 0.1  # type: ignore[misc]
    pools.IDLE_TIMEOUT = timedelta(seconds=role.idle_seconds)
    patch(role.without)
    main(_live(role))


async def _live(role: Role) -> int:
    parts = {"relay": _relay, "projector": _projector, "clients": _clients}
    # As in `libs.messaging.worker`: what a projector commits may be lost with the server.
    opened = {name: await _pool(role, waits_for_disk=name != "projector") for name in role.parts}
    return await run_until_signal(*(parts[name](role, pool) for name, pool in opened.items()))


async def _pool(role: Role, *, waits_for_disk: bool) -> Any:
    return await pools.open_pool(
        role.database,
        role=None,
        schema="public",
        size=POOL,
        application_name=f"child {os.getpid()}",
        waits_for_disk=waits_for_disk,
    )


def _relay(role: Role, pool: Any) -> Task:
    connect = partial(
        Publisher.connect,
        role.bootstrap,
        service=SERVICE,
        prefix=role.prefix,
        deadline_seconds=DEADLINE_SECONDS,
    )
    return Relay(pool, connect, pace=Pace(page=role.page, standby=0.05)).run


def _projector(role: Role, pool: Any) -> Task:
    source = Source(
        bootstrap=role.bootstrap,
        prefix=role.prefix,
        group=f"{role.prefix}.{SERVICE}",
        max_records=PAGE * 2,
        session_timeout_ms=SESSION_MS,
    )
    return Projector(pool, Ledger().projection, source).run


def _clients(role: Role, pool: Any) -> Task:
    store = EventStore(PostgresLog(pool), WRITER_CODEC)
    acks = os.open(role.acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def told(*numbers: int) -> None:
        # One write of one line: a reader sees all of it or nothing.
        os.write(acks, f"{' '.join(map(str, numbers))}\n".encode())

    async def clients(stop: asyncio.Event) -> None:
        await asyncio.gather(
            *(
                keep_appending(store, role.seed, client, first=first, told=told, stop=stop)
                for client, first in role.first
            )
        )

    return clients
