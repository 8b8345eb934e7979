"""Read models that cannot go on: events they fail on, events that take too long."""

from contextlib import suppress
from typing import Any, Final

from libs.projections import parking
from libs.projections.parking import NotParked
from libs.projections.projection import Projection
from libs.testing.polling import eventually
from tests.chaos.arena import Arena, open_arena, rounds
from tests.chaos.child import QUICK
from tests.chaos.plan import NeverStruck, Outcome, Plan, judge
from tests.chaos.servers import Servers
from tests.libs.messaging.clients import STREAMS
from tests.libs.messaging.lab import LEDGER, Ledger

PARKED_STREAMS: Final = 3
OTHERS_SECONDS: Final = 15.0
"""How long an event that takes too long may hold up the read models beside it."""
ALONE_SECONDS: Final = 60.0
"""How long the detached read model may look for the event, set it aside, and rejoin the others."""
STATEMENT_SECONDS: Final = 0.5

_DETACHED: Final = "SELECT checkpoint <> 'main' FROM projections WHERE name = 'slow'"


@rounds("relay", "projector", after=(2, 20))
async def cursed(arena: Arena, number: int) -> None:
    """The read model fails on events in the middle of streams; these wait from there on. Later it
    can apply them, and they are retried under load."""
    await arena.moved(2, arena.dice.randint(1, 40))
    await arena.curse(*arena.dice.sample(range(STREAMS), PARKED_STREAMS))
    await eventually(lambda: _parked(arena), PARKED_STREAMS)
    # What comes meanwhile is behind the parked events, too.
    await arena.moved(0, 120)
    await arena.moved(2, 20)
    await _retry_all(arena, Ledger(cursed=False).projection)


async def _parked(arena: Arena, model: str = "ledger") -> int:
    return len(await parking.list_parked(arena.lab.pool, model))


async def _retry_all(arena: Arena, projection: Projection[Any]) -> None:
    while parked := await parking.list_parked(arena.lab.pool):
        for one in parked:
            with suppress(NotParked):
                await parking.retry(arena.lab.pool, projection, (one.tenant, one.stream))


async def timing_out(servers: Servers, plan: Plan) -> Outcome:
    """One of two read models is never done with some events in time: it is detached, the streams
    of these events are parked, it rejoins, and the other one goes on all the while. In the end,
    when its streams were retried, it shows the same as the other one."""
    async with open_arena(servers, plan) as arena:
        await arena.lab.pool.execute(LEDGER.replace("ledger", "slow"))
        arena.start("relay")
        arena.start("projector", slow=True, statement_seconds=STATEMENT_SECONDS)
        async with arena.clients():
            await arena.moved(2, 40)
            for number in range(plan.rounds):
                await _one_time_out(arena, number % STREAMS)
        outcome = await arena.verdict(slow=True)
        return await _verdict_of_slow(arena) if outcome.clean else outcome


async def _verdict_of_slow(arena: Arena) -> Outcome:
    """Judge the read model that was detached as if it were the other one."""
    arena.start("projector", slow=True, statement_seconds=STATEMENT_SECONDS)
    try:
        await eventually(lambda: arena.lab.pool.fetchval(_DETACHED), False)
    except AssertionError:
        arena.complaints.append("the read model does not rejoin the others")
    arena.kill_all()
    await _retry_all(arena, QUICK)
    history = await arena.lab.history(arena.acks)
    return judge(history.but(table=await arena.lab.table("slow")), arena.complaints)


async def _one_time_out(arena: Arena, stream: int) -> None:
    before = await _parked(arena, "slow")
    await arena.curse(stream)
    async with arena.within(OTHERS_SECONDS, "the other read model"):
        await eventually(lambda: arena.lab.pool.fetchval(_DETACHED))
        await arena.moved(2, 40)
    async with arena.within(ALONE_SECONDS, "parking what takes too long"):
        try:
            await eventually(lambda: _parked(arena, "slow"), before + 1)
            await eventually(lambda: arena.lab.pool.fetchval(_DETACHED), False)
        except AssertionError as error:
            raise NeverStruck(str(error)) from error
