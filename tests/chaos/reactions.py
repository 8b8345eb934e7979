"""Reactions: killed, frozen until their claim is another one's, and without a broker for long."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Final

from libs.testing.polling import eventually
from libs.testing.tables import REACTION_TABLES
from tests.chaos.arena import Arena, open_arena
from tests.chaos.child import ACTS_ON, LEASE, is_later
from tests.chaos.plan import Outcome, Plan
from tests.chaos.readers import verdict_of_reader
from tests.chaos.servers import Servers, start_again
from tests.libs.messaging.history import value_of

FRESH_SECONDS: Final = 5.0
"""How long read models and reactions may need for the next of what they do."""
SCHEDULED_SECONDS: Final = 15.0
AGAIN_SECONDS: Final = 30.0
SETUP: Final = ";".join((*REACTION_TABLES, "CREATE TABLE deeds (n bigint)"))


async def kill_reactor(servers: Servers, plan: Plan, *, points: Sequence[str]) -> Outcome:
    """What reacts to the service's own facts dies, and the next one goes on when the claim ends."""
    async with open_arena(servers, plan) as arena:
        await _begin(arena)
        async with arena.clients():
            for number in range(plan.rounds):
                failpoint = f"{points[number % len(points)]}=kill@{arena.dice.randint(1, 4)}"
                await arena.start("reactor", failpoint=failpoint).died()
        return await _verdict(arena)


async def zombie_reactor(servers: Servers, plan: Plan) -> Outcome:
    """What reacts is stopped with a message in its hands until its claim is another one's, which
    finishes the message; then it goes on."""
    async with open_arena(servers, plan) as arena:
        await _begin(arena)
        async with arena.clients():
            for _ in range(plan.rounds):
                times = arena.dice.randint(1, 3)
                dead = arena.start("reactor", failpoint=f"reaction-completing=stop@{times}")
                await dead.stopped()
                arena.start("reactor")
                await asyncio.sleep(LEASE.total_seconds())
                await _acted(arena, 10)
                dead.resume()
                await _acted(arena, 10)
                arena.kill_all("reactor")
        return await _verdict(arena)


async def broker_away(servers: Servers, plan: Plan) -> Outcome:
    """The broker is away for long: read models stay fresh, reactions to the service's own facts
    and what these are scheduled for go on, nothing is lost, and readers of other services catch
    up."""
    async with open_arena(servers, plan) as arena:
        await _begin(arena)
        arena.start("reactor")
        arena.start("reader")
        async with arena.clients():
            for _ in range(plan.rounds):
                await arena.moved(1, 40)
                await _without_broker(arena, plan.away)
                async with arena.within(AGAIN_SECONDS, "the relay"):
                    await arena.moved(1, 1)
        outcome = await _verdict(arena)
        return await verdict_of_reader(arena) if outcome.clean else outcome


async def _without_broker(arena: Arena, seconds: float) -> None:
    kafka = arena.servers.kafka
    await asyncio.to_thread(kafka.stop)
    try:
        until = monotonic() + seconds
        while monotonic() < until:
            async with arena.within(FRESH_SECONDS, "without a broker a read model"):
                await arena.moved(2, 20)
            async with arena.within(FRESH_SECONDS, "without a broker a reaction"):
                await _acted(arena, 1)
            await asyncio.sleep(0.5)
        async with arena.within(SCHEDULED_SECONDS, "without a broker a schedule"):
            await _acted(arena, 3, scheduled=True)
    finally:
        await start_again(kafka)


async def _begin(arena: Arena) -> None:
    await arena.lab.pool.execute(SETUP)
    arena.start("relay")
    arena.start("projector", reacts=True)


async def _deeds(arena: Arena) -> Counter[int]:
    return Counter(row["n"] for row in await arena.lab.pool.fetch("SELECT n FROM deeds"))


async def _acted(arena: Arena, by: int, *, scheduled: bool = False) -> None:
    """Wait until so many more messages are done, of those that were due later if `scheduled`."""

    async def count() -> int:
        return sum(
            times for n, times in (await _deeds(arena)).items() if is_later(n) or not scheduled
        )

    start = await count()

    async def acted() -> bool:
        return await count() >= start + by

    await eventually(acted, poll_seconds=0.05)


async def _verdict(arena: Arena) -> Outcome:
    """As usual, and that everything was reacted to once."""
    outcome = await arena.verdict(reacts=True)
    if not outcome.clean:
        return outcome
    logged = (await arena.lab.history(())).logged
    due = {n for n in map(value_of, logged) if n % ACTS_ON == 0}
    arena.start("reactor")
    try:
        await eventually(lambda: _all_done(arena, due))
    except AssertionError:
        arena.complaints.append("reactions do not go on")
    arena.kill_all()
    done = await _deeds(arena)
    return Outcome(
        events=outcome.events,
        lost=len(due - done.keys()),
        doubled=sum(times - 1 for times in done.values()) + len(done.keys() - due),
        complaints=tuple(arena.complaints),
    )


async def _all_done(arena: Arena, due: set[int]) -> bool:
    return due <= (await _deeds(arena)).keys()
