"""A broker that is far, deaf, cut off, dead, or refuses a record."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.messaging.topics import MAX_MESSAGE_BYTES
from tests.chaos.arena import Arena, open_arena
from tests.chaos.child import DEADLINE_SECONDS
from tests.chaos.plan import Outcome, Plan
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Servers, restart

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
    """Relay and projector reach the broker through a proxy that is unkind between times."""
    async with (
        Proxy(servers.proxied, servers.door) as proxy,
        open_arena(servers, plan) as arena,
    ):
        arena.bootstrap = proxy.address
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(2, arena.dice.randint(1, 50))
                await unkind(arena, proxy)
            await arena.moved(2, 1)
        arena.kill_all()
        if not proxy.passed:
            arena.complaints.append("nothing went through the proxy")
        return await arena.verdict()


async def broker_down(servers: Servers, plan: Plan, *, kill: bool) -> Outcome:
    """The broker is stopped, or killed, in the middle and comes back."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(2, 20)
                await restart(servers.kafka, kill=kill)
            await arena.moved(2, 20)
        return await arena.verdict()


async def oversize(servers: Servers, plan: Plan) -> Outcome:
    """The topic suddenly takes only small records; every page is refused until it is put right.

    A producer that was refused a batch can send no more: this is what the relay makes new ones
    for.
    """
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(1, 20)
                await _limit(arena, SMALL_BYTES)
                await _refused(arena)
                await _limit(arena, MAX_MESSAGE_BYTES)
            await arena.moved(2, 20)
        return await arena.verdict()


async def _refused(arena: Arena) -> None:
    """Wait until a page waits for its confirmation while others pile up behind it."""
    _, published, _ = await arena.standing()
    while True:
        await arena.moved(0, 60)
        before, published = published, (await arena.standing())[1]
        if before == published:
            return


async def _limit(arena: Arena, limit: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=arena.lab.bootstrap)
    await admin.start()
    try:
        configs = {"max.message.bytes": str(limit)}
        topic = ConfigResource(ConfigResourceType.TOPIC, arena.lab.topic, configs)
        await admin.alter_configs([topic])
    finally:
        await admin.close()
