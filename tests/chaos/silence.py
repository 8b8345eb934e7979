"""Silence instead of an end: servers whose bytes are swallowed, leaders that are frozen.

Nothing is closed, so that only a deadline can tell. Each play has a bound, in seconds, for who goes
on; it is generous, because the machine is busy.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final
from uuid import uuid4

from deploy.local.ports import free_port
from libs.eventsourcing.log import ANY, LogUnavailable
from libs.eventsourcing.postgres import PostgresLog
from libs.eventsourcing.store import EventStore
from libs.postgres.pool import open_pool
from tests.chaos.arena import Arena, open_arena, rounds
from tests.chaos.child import Member
from tests.chaos.plan import Outcome, Plan
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Servers
from tests.libs.messaging.lab import METADATA, WRITER_CODEC, Numbered

NEXT_SECONDS: Final = 15.0
"""When another one leads at the latest, after the one that led was frozen."""
IN_TRANSACTION_SECONDS: Final = 60.0
"""How long transactions may be idle, as in a service: longer than `NEXT_SECONDS`."""
SILENT_SECONDS: Final = 12.0
REFUSED_SECONDS: Final = 7.0
"""When the first caller of a silent log is refused at the latest: 5 s, and what this machine is
slow; those after it at once, which is `AT_ONCE_SECONDS` here."""
AT_ONCE_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 30.0
"""When relay and runner go on at the latest, after a server answers again."""
STATEMENT_SECONDS: Final = 5.0
CALLER: Final = 205
"""The client number of who calls the log through the proxy."""

FROZEN: Final = (
    ("relay-saved", "batch-advanced"),
    ("", ""),
    ("relay-confirming", "batch-committing"),
    ("relay-flushed", "batch-projecting"),
)
"""Where the two are frozen; without a name, wherever they are."""


@rounds()
async def frozen_leaders(arena: Arena, number: int) -> None:
    """Relay and runner are frozen with their locks; others take their places, and keep them when
    the first ones go on."""
    frozen = [
        await _frozen(arena, part, point)
        for part, point in zip(("relay", "projector"), FROZEN[number % len(FROZEN)], strict=True)
    ]
    arena.start("relay")
    arena.start("projector")
    async with arena.within(NEXT_SECONDS, "being replaced"):
        await asyncio.gather(arena.moved(1, 1), arena.moved(2, 1))
    for one in frozen:
        one.resume()
    await arena.moved(2, 60)
    arena.kill_all("relay")
    arena.kill_all("projector")


async def _frozen(arena: Arena, part: str, point: str) -> Member:
    failpoint = f"{point}=stop@{arena.dice.randint(1, 9)}" if point else ""
    member = arena.start(part, failpoint=failpoint, idle_seconds=IN_TRANSACTION_SECONDS)
    if point:
        await member.stopped()
    else:
        await arena.moved(1 if part == "relay" else 2, arena.dice.randint(1, 40))
        member.freeze()
    return member


async def broker_silent(servers: Servers, plan: Plan) -> Outcome:
    """The broker's bytes are swallowed both ways: read models go on as if nothing were, the relay
    as soon as it is answered."""
    async with (
        Proxy(servers.proxied, servers.door) as proxy,
        open_arena(servers, plan) as arena,
    ):
        arena.bootstrap = proxy.address
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(1, 40)
                proxy.swallows = True
                for _ in range(4):
                    async with arena.within(SILENT_SECONDS / 4, "a read model"):
                        await arena.moved(2, 20)
                    await asyncio.sleep(SILENT_SECONDS / 4)
                proxy.swallows = False
                async with arena.within(2 * AGAIN_SECONDS, "the relay"):
                    await arena.moved(1, 1)
        arena.kill_all()
        return await arena.verdict()


async def database_silent(servers: Servers, plan: Plan) -> Outcome:
    """The database's bytes are swallowed both ways: the first caller of the log is refused soon,
    the next ones at once, and all go on when it answers again."""
    port = int(servers.postgres.superuser_url.rpartition(":")[2].partition("/")[0])
    proxied = free_port()
    async with Proxy(proxied, port) as proxy, open_arena(servers, plan) as arena:
        direct = arena.address
        arena.address = direct.replace(f":{port}/", f":{proxied}/")
        crew = [
            arena.start(part, statement_seconds=STATEMENT_SECONDS)
            for part in ("relay", "projector")
        ]
        async with arena.clients(), _caller(arena) as append:
            for _ in range(plan.rounds):
                await arena.moved(2, 40)
                await append()
                proxy.swallows = True
                await _refusals(arena, append)
                await asyncio.sleep(SILENT_SECONDS - REFUSED_SECONDS)
                proxy.swallows = False
                async with arena.within(AGAIN_SECONDS, "relay and runner"):
                    await asyncio.gather(arena.moved(1, 1), arena.moved(2, 1))
        if not all(one.alive for one in crew):
            arena.complaints.append("a process ended when its database fell silent")
        arena.kill_all()
        arena.address = direct
        return await arena.verdict()


@asynccontextmanager
async def _caller(arena: Arena) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """What appends one event to the log, by way of the proxy, as a service does."""
    pool = await open_pool(
        arena.address, role=None, schema="public", size=2, application_name="caller"
    )
    store, numbers = EventStore(PostgresLog(pool), WRITER_CODEC), count(CALLER * 10_000_000)

    def append() -> Awaitable[object]:
        event = Numbered(next(numbers))
        return store.append(
            "order-caller", [event], expected=ANY, metadata=METADATA, command_id=uuid4()
        )

    try:
        yield append
    finally:
        await pool.close()


async def _refusals(arena: Arena, append: Callable[[], Awaitable[object]]) -> None:
    for limit in (REFUSED_SECONDS, AT_ONCE_SECONDS, AT_ONCE_SECONDS):
        async with arena.within(limit, "a refusal"):
            try:
                await append()
            except LogUnavailable:
                continue
            arena.complaints.append("a silent database acknowledged an event")
