"""What surrounds the processes: a broker and a database in trouble, clocks that jump, a rebuild."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import asyncpg
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.messaging.topics import MAX_MESSAGE_BYTES
from libs.projections.rebuild import Rebuild, RebuildFailed
from libs.projections.versions import VersionSchemas
from tests.chaos.arena import Arena, open_arena, rounds
from tests.chaos.child import DEADLINE_SECONDS
from tests.chaos.plan import NeverStruck, Outcome, Plan
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Servers, restart
from tests.libs.messaging.lab import open_admin
from tests.libs.projections.rebuilding import reading

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
Unkind: TypeAlias = Callable[[Arena, Proxy], Awaitable[None]]

SMALL_BYTES: Final = 300
"""Less than any of our records with its headers."""


async def drop(arena: Arena, proxy: Proxy) -> None:
    """Every connection is reset, and new ones are for a while."""
    proxy.open = False
    proxy.cut()
    await asyncio.sleep(arena.dice.random() * 0.3)
    proxy.open = True


async def delay(arena: Arena, proxy: Proxy) -> None:
    """Everything takes up to a third of a second longer."""
    proxy.delay = arena.dice.random() / 3
    await arena.moved(0, 60)
    proxy.delay = 0.0


async def half_close(arena: Arena, proxy: Proxy) -> None:
    """The broker hears that nothing more will come, on connections that still listen."""
    proxy.close_half()


async def deaf(arena: Arena, proxy: Proxy) -> None:
    """The broker hears everything and its answers are lost, for longer than a page may take."""
    proxy.deaf = True
    await asyncio.sleep(DEADLINE_SECONDS + 0.5)
    proxy.deaf = False
    proxy.cut()


async def through_proxy(servers: Servers, plan: Plan, *, unkind: Unkind) -> Outcome:
    """The relay reaches the broker through a proxy that is unkind between times."""
    async with (
        Proxy(servers.proxied, servers.door) as proxy,
        open_arena(servers, plan) as arena,
    ):
        arena.bootstrap = proxy.address
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(1, arena.dice.randint(1, 50))
                await unkind(arena, proxy)
            await arena.moved(1, 1)
        arena.kill_all()
        if not proxy.passed:
            arena.complaints.append("nothing went through the proxy")
        return await arena.verdict()


@rounds("relay", "projector", after=(1, 20))
async def broker_down(arena: Arena, number: int, *, kill: bool) -> None:
    """The broker is stopped, or killed, in the middle and comes back."""
    await arena.moved(1, 20)
    await restart(arena.servers.kafka, kill=kill)


@rounds("relay", "projector", after=(1, 20))
async def oversize(arena: Arena, number: int) -> None:
    """The topic suddenly takes only small records; every page is refused until it is put right.

    A producer that was refused a batch can send no more: this is what the relay makes new ones
    for.
    """
    await arena.moved(1, 20)
    await _limit(arena, SMALL_BYTES)
    await _refused(arena)
    await _limit(arena, MAX_MESSAGE_BYTES)


async def _refused(arena: Arena) -> None:
    """Wait until a page waits for its confirmation while others pile up behind it."""
    _, published, _ = await arena.positions()
    while True:
        await arena.moved(0, 60)
        before, published = published, (await arena.positions())[1]
        if before == published:
            return


async def _limit(arena: Arena, limit: int) -> None:
    configs = {"max.message.bytes": str(limit)}
    topic = ConfigResource(ConfigResourceType.TOPIC, arena.lab.topic, configs)
    async with open_admin(arena.lab.bootstrap) as admin:
        await admin.alter_configs([topic])


@rounds("relay", "projector", after=(2, 1))
async def backends_cut(arena: Arena, number: int) -> None:
    """Every connection to the database is terminated, again and again."""
    await arena.moved(arena.dice.randrange(3), arena.dice.randint(1, 40))
    await arena.lab.terminate_backends()


@rounds("relay", "projector", after=(2, 20))
async def database_down(arena: Arena, number: int, *, kill: bool) -> None:
    """The database is stopped, or killed, in the middle and comes back."""
    await arena.moved(2, arena.dice.randint(20, 60))
    await restart(arena.servers.postgres, kill=kill)


@rounds("relay", "projector")
async def strangers(arena: Arena, number: int, *, prepared: bool) -> None:
    """Transactions stay open: one in another database, one in the log itself, idle or prepared.

    Meanwhile everything else must come through, and afterwards they too.
    """
    async with _idle_elsewhere(arena.servers), arena.straggler(prepared=prepared):
        try:
            await asyncio.gather(arena.moved(1, 60), arena.moved(2, 60))
        except NeverStruck:
            arena.complaints.append("everything waited for a stranger's transaction")


@asynccontextmanager
async def _idle_elsewhere(servers: Servers) -> AsyncIterator[None]:
    """A transaction with an id, in another database of the cluster."""
    connection = await asyncpg.connect(servers.postgres.superuser_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_current_xact_id()")
            yield
    finally:
        await connection.close()


class MadClock:
    """Jumps by hours both ways, and often stands still."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.times: list[datetime] = []

    def __call__(self) -> datetime:
        stands = self.times and self._dice.random() < 0.5
        jump = timedelta(hours=self._dice.randint(-30, 30))
        self.times.append(self.times[-1] if stands else NOON + jump)
        return self.times[-1]


async def jumps(servers: Servers, plan: Plan) -> Outcome:
    """The clients' clock and the projector's jump; many events bear the same time."""
    clock = MadClock(plan.seed)
    async with open_arena(servers, plan, clock=clock) as arena:
        arena.start("relay", hard=("mad clock",))
        arena.start("projector", hard=("mad clock",))
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(2, 100)
        if clock.times == sorted(clock.times):
            arena.complaints.append("the clock did not jump")
        return await arena.verdict(hard=("mad clock",))


@rounds("relay", "projector")
async def blue_green(arena: Arena, number: int) -> None:
    """A read model is built anew and switched, and every other time rolled back, while events
    come, readers read and a projector is at work."""
    await arena.moved(2, arena.dice.randint(20, 200))
    await _switch(arena, back=number % 2 == 1)


async def _switch(arena: Arena, *, back: bool) -> None:
    models = [arena.lab.ledger.projection]
    work = Rebuild(arena.lab.pool, models, VersionSchemas("public"), service="lab", page=50)
    try:
        diffs = await work.build()
        async with reading(arena.lab) as counted:
            await work.switch()
        if back:
            await work.roll_back()
    except RebuildFailed as error:
        arena.complaints.append(f"a rebuild failed: {error}")
        return
    arena.complaints += [f"{d.table}: {d.samples}" for d in diffs if not d.same]
    if any(one != sorted(one) for one in counted):
        arena.complaints.append("a reader saw the model go backwards in a switch")
