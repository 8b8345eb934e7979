"""Three transactions, step by step in every order: what the tail gives, look by look."""

import itertools
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from libs.eventsourcing.snapshot import Snapshot
from libs.messaging.tail import Difference, current
from tests.chaos.arena import open_arena
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers
from tests.libs.messaging.load import INSERT

WRITERS: Final = 3
STEPS: Final = 3
ENDINGS: Final = list(itertools.product(("COMMIT", "ROLLBACK"), repeat=WRITERS))


def schedules() -> Iterator[tuple[int, ...]]:
    """Every order in which three transactions can begin, insert and end: who takes each step."""
    for first in itertools.combinations(range(WRITERS * STEPS), STEPS):
        rest = [place for place in range(WRITERS * STEPS) if place not in first]
        for second in itertools.combinations(rest, STEPS):
            yield tuple(
                0 if place in first else 1 if place in second else 2
                for place in range(WRITERS * STEPS)
            )


@dataclass(slots=True)
class _Model:
    """What must have been delivered, and what was."""

    moment: Snapshot
    committed: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    late: int = 0

    async def look(self, watcher: Any) -> None:
        news = Difference(self.moment, await current(watcher))
        page = await news.page(watcher, after=0, limit=100)
        self.moment = news.target
        self.delivered += [event.stream for event in page.events]
        self.late += sorted(self.delivered) != sorted(self.committed)


async def interleavings(servers: Servers, plan: Plan) -> Outcome:
    """As many schedules as there are rounds, all 13 440 at most, drawn by the seed. A look may
    fall between any two steps; what is committed must be there at the very next one."""
    dice = random.Random(plan.seed)
    drawn = list(itertools.product(schedules(), ENDINGS))
    dice.shuffle(drawn)
    async with open_arena(servers, plan) as arena, arena.lab.pool.acquire() as watcher:
        model = _Model(await current(watcher))
        writers = [await asyncpg.connect(arena.address) for _ in range(WRITERS)]
        try:
            for number, (schedule, endings) in enumerate(drawn[: plan.rounds]):
                await _play(f"order-{number}", schedule, endings, writers, watcher, model, dice)
        finally:
            for writer in writers:
                await writer.close()
    return _outcome(model)


async def _play(
    name: str,
    schedule: Sequence[int],
    endings: Sequence[str],
    writers: Sequence[Any],
    watcher: Any,
    model: _Model,
    dice: random.Random,
) -> None:
    done = Counter[int]()
    for who in schedule:
        stream = f"{name}.{who}"
        match done[who]:
            case 0:
                # Half of them take their xid long before they write.
                early = "; SELECT pg_current_xact_id()" if dice.random() < 0.5 else ""
                await writers[who].execute(f"BEGIN{early}")
            case 1:
                await writers[who].execute(INSERT, uuid.uuid4(), stream, 1)
            case _:
                await writers[who].execute(endings[who])
                model.committed += [stream] if endings[who] == "COMMIT" else []
        done[who] += 1
        if dice.random() < 0.6:
            await model.look(watcher)
    await model.look(watcher)


def _outcome(model: _Model) -> Outcome:
    times = Counter(model.delivered)
    return Outcome(
        events=len(model.committed),
        lost=len(set(model.committed) - set(times)),
        doubled=sum(n - 1 for n in times.values()) + len(set(times) - set(model.committed)),
        complaints=(f"{model.late} looks gave something else than the model",) * bool(model.late),
    )
