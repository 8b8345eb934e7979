"""Three transactions, step by step in every order: what the tail gives, look by look."""

import itertools
import random
from collections import Counter
from typing import Final

import asyncpg

from libs.messaging.tail import current
from tests.chaos.arena import open_arena
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers
from tests.libs.messaging.load import Interleaved, schedules

WRITERS: Final = 3
ENDINGS: Final = list(itertools.product(("COMMIT", "ROLLBACK"), repeat=WRITERS))


async def interleavings(servers: Servers, plan: Plan) -> Outcome:
    """As many schedules as there are rounds, all 13 440 at most, drawn by the seed. A look may
    fall between any two steps; what is committed must be there at the very next one."""
    dice = random.Random(plan.seed)
    drawn = list(itertools.product(schedules(WRITERS), ENDINGS))
    dice.shuffle(drawn)
    async with open_arena(servers, plan) as arena, arena.lab.pool.acquire() as watcher:
        model = Interleaved(await current(watcher))
        writers = [await asyncpg.connect(arena.address) for _ in range(WRITERS)]
        try:
            for number, (schedule, endings) in enumerate(drawn[: plan.rounds]):
                await model.play(f"order-{number}", schedule, endings, writers, watcher, dice)
        finally:
            for writer in writers:
                await writer.close()
    return _outcome(model)


def _outcome(model: Interleaved) -> Outcome:
    times = Counter(model.delivered)
    return Outcome(
        events=len(model.committed),
        lost=len(set(model.committed) - set(times)),
        doubled=sum(n - 1 for n in times.values()) + len(set(times) - set(model.committed)),
        complaints=(f"{model.late} looks gave something else than the model",) * bool(model.late),
    )
