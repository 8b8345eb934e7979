"""The processes that are killed: a relay, a projector or clients, as a service would run them.

A `Member` is such a child as its parent sees it.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import psutil

from deploy.local import leash
from libs import failpoints
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.messaging.batch_consumer import ConsumerConfig
from libs.messaging.foreign_subscription import ForeignSubscription
from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.leadership import IDLE_SECONDS
from libs.messaging.publisher import Publisher
from libs.messaging.reaction import Reaction, Schedule, feed_of
from libs.messaging.relay import Polling, Relay
from libs.postgres import pool as pools
from libs.process.lifecycle import Task, main, run_until_signal
from libs.projections import runner
from libs.projections.projection import by_stream
from libs.testing.polling import eventually
from tests.chaos.patches import patch
from tests.chaos.plan import NeverStruck
from tests.libs.messaging.clients import append_commands
from tests.libs.messaging.lab import SERVICE, WRITER_CODEC, Cursed, Ledger

PAGE: Final = 20
POOL: Final = 6
SESSION_MS: Final = 500
"""The shortest session the broker allows to members of a group, so that the dead are missed
soon."""
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
LONG_AFTER: Final = datetime(9000, 1, 1, tzinfo=UTC)
LEASE: Final = timedelta(seconds=1)
ACTS_ON: Final = 100
LATER: Final = timedelta(seconds=2)
DEADLINE_SECONDS: Final = 1.0
"""How long a page may take to be confirmed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a child is to be. `first` are the numbers its clients begin with, by client; what they
    are told they write to `acks`. With `slow` there is a second read model, which is not done with
    a cursed event in time; if it `reacts`, the inbox of a reaction is filled."""

    parts: tuple[str, ...]
    database: str
    bootstrap: str
    prefix: str
    log: str
    failpoint: str = ""
    without: tuple[str, ...] = ()
    idle_seconds: float = 1.0
    leader_idle_seconds: float = IDLE_SECONDS
    page: int = PAGE
    seed: int = 0
    first: Sequence[tuple[int, int]] = ()
    acks: str = ""
    statement_seconds: float = 30.0
    slow: bool = False
    reacts: bool = False
    shards: int = 1


def live(role: Role) -> None:
    """Be it, until SIGTERM or worse. What it says goes to its log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leash.tie(signal.SIGKILL, os.getppid())
    words = os.open(role.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for said in (1, 2):
        os.dup2(words, said)
    failpoints.arm({"TILLSTREAM_PROFILE": "test", "TILLSTREAM_FAILPOINT": role.failpoint})
    runner.REVIEW_SECONDS = 0.1  # type: ignore[misc]
    pools.IDLE_TIMEOUT = timedelta(seconds=role.idle_seconds)
    patch(role.without)
    main(_live(role))


async def _live(role: Role) -> int:
    parts = {"relay": _relay, "projector": _projector, "reader": _reader, "reactor": _reactor}
    parts["clients"] = _clients
    # As in `libs.messaging.worker`: what a projector commits may be lost with the server.
    opened = {
        name: await _pool(role, synchronous_commit=name != "projector") for name in role.parts
    }
    return await run_until_signal(*(parts[name](role, pool) for name, pool in opened.items()))


async def _pool(role: Role, *, synchronous_commit: bool) -> Any:
    return await pools.open_pool(
        role.database,
        role=None,
        schema="public",
        size=POOL,
        application_name=f"child {os.getpid()}",
        statement_timeout=timedelta(seconds=role.statement_seconds),
        synchronous_commit=synchronous_commit,
    )


def _relay(role: Role, pool: Any) -> Task:
    connect = partial(
        Publisher.connect,
        role.bootstrap,
        service=SERVICE,
        prefix=role.prefix,
        deadline_seconds=DEADLINE_SECONDS,
    )
    polling = Polling(page=role.page, standby=0.05, longest=0.05, idle=role.leader_idle_seconds)
    return Relay(pool, connect, polling=polling).run


def _projector(role: Role, pool: Any) -> Task:
    polling = runner.Polling(page=role.page * 2, standby=0.05)
    models = [replace(Ledger().projection, shard_key=by_stream)]
    if role.slow:
        models = [Ledger(cursed=False).projection, SLOW]
    if role.reacts:
        models.append(feed_of(DEEDS))
    return runner.ProjectionRunner(
        pool, models, service=SERVICE, polling=polling, shards=role.shards
    ).run


def _reader(role: Role, pool: Any) -> Task:
    config = ConsumerConfig(
        bootstrap=role.bootstrap,
        prefix=role.prefix,
        group=f"{role.prefix}.reader",
        max_records=role.page * 2,
        fetch_max_wait_ms=50,
        session_timeout_ms=SESSION_MS,
    )
    return ForeignSubscription(pool, READER, config).run


def _reactor(role: Role, pool: Any) -> Task:
    return InboxWorker(pool, DEEDS, lease=LEASE).run


async def _act(connection: Any, envelope: Any) -> None:
    await connection.execute("INSERT INTO deeds VALUES ($1)", envelope.event.n)


def is_later(number: int) -> bool:
    """Whether what is done about this number is due some time after it came."""
    return number % (5 * ACTS_ON) == 0


def _schedule(event: Any) -> Schedule | None:
    key = str(event.n // ACTS_ON % 10)
    due = datetime.now(UTC) + LATER if is_later(event.n) else LONG_AGO
    return Schedule(key, due) if event.n % ACTS_ON == 0 else None


DEEDS: Final = Reaction(
    name="deeds",
    topics=("lab.order",),
    codec=WRITER_CODEC,
    schedule_of=_schedule,
    react_in_transaction=_act,
)
"""Writes down every so many-th number, some of them later; each must happen exactly once."""


async def _do_nothing(_: Any) -> None: ...


READER: Final = Reaction(
    name="reader",
    topics=("lab.order",),
    codec=WRITER_CODEC,
    schedule_of=lambda _: Schedule("all", LONG_AFTER),
    react=_do_nothing,
)
"""Only stores what comes: its inbox is a copy of the topic."""


QUICK: Final = Ledger(cursed=False, table="slow").projection
"""A second ledger, named after its table."""


async def _take_long(connection: Any, events: Sequence[Any]) -> None:
    if any(isinstance(envelope.event, Cursed) for envelope in events):
        await connection.execute("SELECT pg_sleep(3600)")
    await QUICK.project(connection, events)


SLOW: Final = replace(QUICK, project=_take_long)
"""The same, but never done with some events in time."""


def _clients(role: Role, pool: Any) -> Task:
    store = EventStore(PostgresLog(pool), WRITER_CODEC)
    acks = os.open(role.acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_ack(*numbers: int) -> None:
        # One write of one line: a reader sees all of it or nothing.
        os.write(acks, f"{' '.join(map(str, numbers))}\n".encode())

    async def clients(stop: asyncio.Event) -> None:
        await asyncio.gather(
            *(
                append_commands(store, role.seed, client, first=first, on_ack=on_ack, stop=stop)
                for client, first in role.first
            )
        )

    return clients


# Children are forked from a process that has imported everything and does nothing else.
_fork = multiprocessing.get_context("forkserver")
# What the child would import again because it is the parent's main program.
_PRELOAD: Final = ["tests.chaos.child", *(["pytest"] if "pytest" in sys.modules else [])]


class Member:
    def __init__(self, role: Role) -> None:
        _fork.set_forkserver_preload(_PRELOAD)
        self.role = role
        self._process = _fork.Process(target=live, args=(role,), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or at least exists."""
        return self._process.exitcode is None

    async def died(self) -> None:
        """Wait until its fail point killed it. Raises NeverStruck."""
        await self._until(lambda: not self.alive)
        if self._process.exitcode != -signal.SIGKILL:
            raise NeverStruck(f"{self._description} ended with {self._process.exitcode}")

    async def stopped(self) -> None:
        """Wait until its fail point stopped it. Raises NeverStruck."""
        await self._until(lambda: psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)

    def freeze(self) -> None:
        """It keeps all it has, and does nothing, until it is resumed."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def end(self) -> None:
        """An orderly stop. Raises NeverStruck if it does not come about."""
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)
        await self._until(lambda: not self.alive)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, whether it runs or is stopped, and wait until it is gone."""
        self._process.kill()
        self._process.join()

    async def _until(self, happened: Callable[[], bool]) -> None:
        try:
            await eventually(happened)
        except AssertionError as error:
            raise NeverStruck(f"{self._description} goes on") from error

    @property
    def _description(self) -> str:
        role = self.role
        return f"{'+'.join(role.parts)} {self.pid} with {role.failpoint or 'no fail point'}"
