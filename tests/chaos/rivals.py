"""Two where there should be one: projectors that come back from the dead, relays that both lead."""

import asyncio
from typing import Final

from tests.chaos.arena import WAIT_SECONDS, Arena, open_arena
from tests.chaos.crew import Member
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers

INSIDE: Final = ("batch-projecting", "batch-received", "batch-committing")
"""Where a projector is stopped: in its transaction, before it, at its end."""
LONG_SECONDS: Final = 60.0

_AT_WORK: Final = """SELECT count(*) FROM pg_stat_activity
WHERE application_name = $1 AND state <> 'idle'"""

_LEADER: Final = """SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND datname = current_database()"""


async def zombie(servers: Servers, plan: Plan) -> Outcome:
    """A projector is stopped with a batch in its hands, misses its session and is replaced; then
    it goes on. Its transaction, if it had one, was ended by the database, or still stands if
    nobody waits for its locks: then the compare-and-set alone refuses it."""
    locks = "checkpoint lock" not in plan.without
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        async with arena.clients():
            # Somebody was there before: making the first checkpoints is a lock in itself.
            first = arena.start("projector")
            await arena.moved(2, 60)
            await first.end()
            for number in range(plan.rounds):
                point = INSIDE[number % len(INSIDE)] if locks else INSIDE[0]
                await _one_zombie(arena, point, idle_seconds=1.0 if locks else LONG_SECONDS)
        return await arena.verdict()


async def _one_zombie(arena: Arena, point: str, *, idle_seconds: float) -> None:
    times = arena.dice.randint(1, 3)
    dead = arena.start("projector", failpoint=f"{point}=stop@{times}", idle_seconds=idle_seconds)
    await dead.stopped()
    arena.start("projector")
    await arena.moved(2, 100)
    dead.resume()
    await _ended(arena, dead)
    await arena.moved(2, 100)
    arena.kill_all("projector")


async def _ended(arena: Arena, member: Member) -> None:
    """Wait until the transaction it had is over, one way or the other."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await arena.lab.pool.fetchval(_AT_WORK, f"child {member.pid}"):
            await asyncio.sleep(0.01)


async def zombie_relay(servers: Servers, plan: Plan) -> Outcome:
    """A relay is stopped with a page it has not written down; a transaction with a place in the
    middle of that page commits, another relay goes on, and the first one wakes.

    Nobody asks for the leader's lock, so the compare-and-set of ticks alone keeps them apart.
    """
    async with open_arena(servers, plan) as arena:
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                async with arena.straggler():
                    await arena.moved(0, 12)
                    dead = _careless_relay(arena, "tick-saving=stop@1")
                    await dead.stopped()
                _careless_relay(arena)
                await arena.moved(1, 40)
                dead.resume()
                await arena.moved(0, 60)
                arena.kill_all("relay")
        return await arena.verdict()


def _careless_relay(arena: Arena, failpoint: str = "") -> Member:
    return arena.start("relay", failpoint=failpoint, hard=("leader lock",), page=500)


async def both_lead(servers: Servers, plan: Plan) -> Outcome:
    """Two relays that do not ask for the lock: each deposes the other, again and again."""
    async with open_arena(servers, plan) as arena:
        arena.start("projector")
        arena.start("relay", hard=("leader lock",))
        arena.start("relay", hard=("leader lock",))
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(0, 60)
        return await arena.verdict()


async def leader_cut(servers: Servers, plan: Plan) -> Outcome:
    """The leading relay loses its connection, and with it the lock, to the one that waits."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay", "projector")
        arena.start("relay", "projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(1, arena.dice.randint(1, 60))
                leader = await _leader(arena)
                await arena.lab.pool.execute("SELECT pg_terminate_backend($1)", leader)
        return await arena.verdict()


async def _leader(arena: Arena) -> int:
    """The leading connection; waits until somebody leads."""
    while (pid := await arena.lab.pool.fetchval(_LEADER)) is None:
        await asyncio.sleep(0.02)
    return int(pid)


async def zombie_clients(servers: Servers, plan: Plan) -> Outcome:
    """A process is stopped when it is about to append. Others append to the same streams; then it
    wakes and writes what was decided on what was then."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay", "projector")
        for _ in range(plan.rounds):
            failpoint = f"group-writing=stop@{arena.dice.randint(1, 9)}"
            dead = arena.start_clients(failpoint)
            await dead.stopped()
            async with arena.clients():
                await arena.moved(0, 100)
                dead.resume()
                await arena.moved(0, 100)
            await dead.end()
            arena.hear(dead)
        return await arena.verdict()
