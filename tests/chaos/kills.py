"""SIGKILL at a named place, again and again: whoever comes next finds what was left."""

from collections.abc import Sequence
from typing import Final

from tests.chaos.arena import Arena, open_arena
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers

MOST_TIMES: Final = 4
"""The fail point strikes between the first and this many-th time it is reached."""
BEHIND: Final = 12
"""How many events come behind the open transaction before the relay begins."""
PAGES: Final = (500, 8)


async def kill_relay(servers: Servers, plan: Plan, *, points: Sequence[str]) -> Outcome:
    """A relay dies while somebody's transaction, begun before, is still open: that one commits
    afterwards, with a position in the middle of what was under way. Pages are small and many, or
    hold all there is."""
    async with open_arena(servers, plan) as arena:
        arena.start("projector")
        async with arena.clients():
            for number in range(plan.rounds):
                async with arena.straggler():
                    await arena.moved(0, BEHIND)
                    page = PAGES[number // len(points) % len(PAGES)]
                    failpoint = _at(arena, points, number)
                    await arena.start("relay", failpoint=failpoint, page=page).died()
        return await arena.verdict()


async def kill_projector(servers: Servers, plan: Plan, *, points: Sequence[str]) -> Outcome:
    """A projector dies; the group misses it when its session is over."""
    async with open_arena(servers, plan) as arena:
        arena.start("relay")
        async with arena.clients():
            for number in range(plan.rounds):
                await arena.start("projector", failpoint=_at(arena, points, number)).died()
        return await arena.verdict()


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
