"""Processes that are killed or stopped at a named place, come back, come twice, or come and go.

And transactions whose steps come in every order.
"""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

import asyncpg

from libs.eventsourcing.tail import Cursor, current
from libs.testing.polling import eventually
from tests.chaos.arena import Arena, open_arena, rounds
from tests.chaos.child import Member
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers
from tests.libs.eventsourcing.load import Interleaved, schedules

WRITERS: Final = 3
SHARDS: Final = 3
ENDINGS: Final = list(itertools.product(("COMMIT", "ROLLBACK"), repeat=WRITERS))

MOST_TIMES: Final = 4
"""The fail point strikes between the first and this many-th time it is reached."""
BEHIND: Final = 12
"""How many events come behind the open transaction before the relay begins."""
PAGES: Final = (500, 8)
INSIDE: Final = ("batch-projecting", "batch-advanced", "batch-committing")
"""Where a runner is stopped: before its page, holding its checkpoint, at the end of it."""
LONG_SECONDS: Final = 60.0

_AT_WORK: Final = """SELECT count(*) FROM pg_stat_activity
WHERE application_name = $1 AND state <> 'idle'"""

_LEADER: Final = """SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND datname = current_database()"""

MOST_MEMBERS = 4


@rounds("projector")
async def kill_relay(arena: Arena, number: int, *, points: Sequence[str]) -> None:
    """A relay dies while somebody's transaction, begun before, is still open: that one commits
    afterwards, with a position in the middle of what was under way. Pages are small and many, or
    hold all there is."""
    async with arena.straggler():
        await arena.moved(0, BEHIND)
        page = PAGES[number // len(points) % len(PAGES)]
        await arena.start("relay", failpoint=_at(arena, points, number), page=page).died()


async def kill_idle_relay(servers: Servers, plan: Plan, *, points: Sequence[str]) -> Outcome:
    """A relay dies when it has sent all there is: only then a confirmation is written alone.

    Somebody's transaction is open meanwhile, as above.
    """
    async with open_arena(servers, plan) as arena:
        arena.start("projector")
        for number in range(plan.rounds):
            async with arena.straggler():
                async with arena.clients():
                    await arena.moved(0, BEHIND)
                await arena.start("relay", failpoint=points[number % len(points)]).died()
        return await arena.verdict()


@rounds("relay")
async def kill_projector(arena: Arena, number: int, *, points: Sequence[str]) -> None:
    """A runner dies, wherever it is."""
    await arena.start("projector", failpoint=_at(arena, points, number)).died()


@rounds("relay")
async def kill_both_of_shards(arena: Arena, number: int, *, points: Sequence[str]) -> None:
    """Two runners divide the shards between them, and die: one goes on for the other until then."""
    both = [
        arena.start("projector", failpoint=_at(arena, points, number + n), shards=SHARDS)
        for n in range(2)
    ]
    for each in both:
        await each.died()


async def kill_clients(servers: Servers, plan: Plan, *, points: Sequence[str]) -> Outcome:
    """The process that appends dies; its clients, unanswered, ask another one again."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay", "projector")
        for number in range(plan.rounds):
            victim = arena.start_clients(_at(arena, points, number))
            await victim.died()
            arena.hear(victim)
        last = arena.start_clients()
        await arena.moved(0, 20)
        await last.end()
        if not arena.hear(last):
            arena.complaints.append("no client was ever answered")
        return await arena.verdict()


def _at(arena: Arena, points: Sequence[str], number: int) -> str:
    """Where the kill of this round strikes: each point in its turn."""
    return f"{points[number % len(points)]}=kill@{arena.dice.randint(1, MOST_TIMES)}"


async def zombie(servers: Servers, plan: Plan) -> Outcome:
    """A runner is stopped with a page in its hands and is replaced; then it goes on.

    Its session was ended by the database, and its lock with it, or is still there if none asks for
    the lock: then the compare-and-set alone refuses it."""
    locks = "follower lock" not in plan.without
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
    await eventually(lambda: arena.lab.pool.fetchval(_AT_WORK, f"child {member.pid}"), 0)


@rounds("projector")
async def zombie_relay(arena: Arena, number: int) -> None:
    """A relay is stopped with a page it has not written down; a transaction with a place in the
    middle of that page commits, another relay goes on, and the first one wakes.

    Nobody asks for the leader's lock, so the compare-and-set of batches alone keeps them apart.
    """
    async with arena.straggler():
        await arena.moved(0, 12)
        dead = _careless_relay(arena, "relay-saving=stop@1")
        await dead.stopped()
    _careless_relay(arena)
    await arena.moved(1, 40)
    dead.resume()
    await arena.moved(0, 60)
    arena.kill_all("relay")


def _careless_relay(arena: Arena, failpoint: str = "") -> Member:
    return arena.start("relay", failpoint=failpoint, hard=("leader lock",), page=500)


@rounds("projector", "relay", "relay", hard=("leader lock",))
async def both_lead(arena: Arena, number: int) -> None:
    """Two relays that do not ask for the lock: each deposes the other, again and again."""
    await arena.moved(0, 60)


@rounds("relay+projector", "relay+projector")
async def leader_cut(arena: Arena, number: int) -> None:
    """The leading relay loses its connection, and with it the lock, to the one that waits."""
    await arena.moved(1, arena.dice.randint(1, 60))
    leader = await eventually(lambda: arena.lab.pool.fetchval(_LEADER))
    await arena.lab.pool.execute("SELECT pg_terminate_backend($1)", leader)


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


async def storm(servers: Servers, plan: Plan) -> Outcome:
    """Runners join, leave and die all the time."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        members: list[Member] = []
        async with arena.clients():
            for _ in range(plan.rounds):
                if len(members) < 2 or (len(members) < MOST_MEMBERS and arena.dice.random() < 0.6):
                    members.append(arena.start("projector"))
                else:
                    await _leave(arena, members.pop(arena.dice.randrange(len(members))))
                await arena.moved(0, arena.dice.randint(10, 100))
        return await arena.verdict()


async def _leave(arena: Arena, member: Member) -> None:
    if arena.dice.random() < 0.5:
        member.kill()
    else:
        await member.end()


async def interleavings(servers: Servers, plan: Plan) -> Outcome:
    """Three transactions, step by step in every order: what the tail gives, look by look.

    As many schedules as there are rounds, all 13 440 at most, drawn by the seed. A look may
    fall between any two steps; what is committed must be there at the very next one.
    """
    dice = random.Random(plan.seed)
    drawn = list(itertools.product(schedules(WRITERS), ENDINGS))
    dice.shuffle(drawn)
    async with open_arena(servers, plan) as arena, arena.lab.pool.acquire() as watcher:
        model = Interleaved(Cursor(target=await current(watcher)))
        writers = [await asyncpg.connect(arena.address) for _ in range(WRITERS)]
        try:
            for number, (schedule, endings) in enumerate(drawn[: plan.rounds]):
                await model.play(f"order-{number}", schedule, endings, writers, watcher, dice)
        finally:
            for writer in writers:
                await writer.close()
    times = Counter(model.delivered)
    return Outcome(
        events=len(model.committed),
        lost=len(set(model.committed) - set(times)),
        doubled=sum(n - 1 for n in times.values()) + len(set(times) - set(model.committed)),
        complaints=(f"{model.late} looks gave something else than the model",) * bool(model.late),
    )
