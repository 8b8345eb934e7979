"""Clocks that jump: what happened when says nothing about what came first."""

import random
from datetime import UTC, datetime, timedelta

from tests.chaos.arena import open_arena
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class MadClock:
    """Jumps by hours both ways, and often stands still."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.said: list[datetime] = []

    def __call__(self) -> datetime:
        stands = self.said and self._dice.random() < 0.5
        jump = timedelta(hours=self._dice.randint(-30, 30))
        self.said.append(self.said[-1] if stands else NOON + jump)
        return self.said[-1]


async def jumps(servers: Servers, plan: Plan) -> Outcome:
    """The clients' clock and the projector's jump; many events bear the same time."""
    clock = MadClock(plan.seed)
    async with open_arena(servers, plan, clock=clock) as arena:
        arena.start("relay", hard=("mad clock",))
        arena.start("projector", hard=("mad clock",))
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(2, 100)
        if clock.said == sorted(clock.said):
            arena.complaints.append("the clock did not jump")
        return await arena.verdict(hard=("mad clock",))
