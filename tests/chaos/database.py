"""A database that cuts connections, goes away, or is held up by strangers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.chaos.arena import open_arena
from tests.chaos.plan import NeverStruck, Outcome, Plan
from tests.chaos.servers import Servers, restart


async def backends_cut(servers: Servers, plan: Plan) -> Outcome:
    """Every connection to the database is terminated, again and again."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(arena.dice.randrange(3), arena.dice.randint(1, 40))
                await arena.lab.terminate_backends()
            await arena.moved(2, 1)
        return await arena.verdict()


async def database_down(servers: Servers, plan: Plan, *, kill: bool) -> Outcome:
    """The database is stopped, or killed, in the middle and comes back."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(2, arena.dice.randint(20, 60))
                await restart(servers.postgres, kill=kill)
            await arena.moved(2, 20)
        return await arena.verdict()


async def strangers(servers: Servers, plan: Plan, *, prepared: bool) -> Outcome:
    """Transactions stay open: one in another database, one in the log itself, idle or prepared.

    Meanwhile everything else must come through, and afterwards they too.
    """
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                async with _idle_elsewhere(servers), arena.straggler(prepared=prepared):
                    try:
                        await arena.moved(2, 60, seconds=10)
                    except NeverStruck:
                        arena.complaints.append("everything waited for a stranger's transaction")
        return await arena.verdict()


@asynccontextmanager
async def _idle_elsewhere(servers: Servers) -> AsyncIterator[None]:
    """A transaction with an id, in another database of the cluster."""
    connection = await asyncpg.connect(servers.postgres.url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_current_xact_id()")
            yield
    finally:
        await connection.close()
