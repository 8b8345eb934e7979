"""A read model is built anew, switched and rolled back while events come and readers read."""

from libs.messaging.rebuild import RebuildFailed
from tests.chaos.arena import Arena, open_arena
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers
from tests.libs.messaging.rebuilding import reading, rebuild


async def blue_green(servers: Servers, plan: Plan) -> Outcome:
    """Build and switch, and every other time roll back, with a projector at work all the time."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for number in range(plan.rounds):
                await arena.moved(2, arena.dice.randint(20, 200))
                await _switch(arena, back=number % 2 == 1)
        return await arena.verdict()


async def _switch(arena: Arena, *, back: bool) -> None:
    work = rebuild(arena.lab)
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
