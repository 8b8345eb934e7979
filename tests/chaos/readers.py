"""Readers of another service's topic: killed, doubled, and what they make of a restored log."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from libs.testing.tables import REACTION_TABLES
from tests.chaos.arena import Arena, open_arena
from tests.chaos.plan import Outcome, Plan, judge
from tests.chaos.servers import Servers

MOST_TIMES: Final = 4
JOIN_SECONDS: Final = 10.0
"""How long a reader may need until it stores the first message."""

_INBOX: Final = """SELECT stream, version, (data->>'n')::integer AS n FROM inbox
WHERE reaction = 'reader' ORDER BY sequence"""


async def kill_reader(servers: Servers, plan: Plan, *, points: Sequence[str]) -> Outcome:
    """A reader dies, wherever it is, while another one is at work and the leader changes."""
    async with open_arena(servers, plan) as arena:
        await arena.lab.pool.execute(";".join(REACTION_TABLES))
        arena.start("projector")
        arena.start("relay")
        async with arena.clients():
            for number in range(plan.rounds):
                times = arena.dice.randint(1, MOST_TIMES)
                failpoint = f"{points[number % len(points)]}=kill@{times}"
                await arena.start("reader", failpoint=failpoint).died()
        outcome = await arena.verdict()
        return await verdict_of_reader(arena) if outcome.clean else outcome


async def verdict_of_reader(arena: Arena) -> Outcome:
    """Let a fresh reader finish, then judge its inbox as if it were the read model."""
    await read_all(arena)
    history = await arena.lab.history(arena.acks)
    return judge(history.but(table=await inbox_of(arena)), arena.complaints)


async def read_all(arena: Arena, *, without: int = 0) -> None:
    """Let a fresh reader store all of the log but for so many, or as much as it ever will."""
    arena.start("reader")
    logged = int(await arena.lab.pool.fetchval("SELECT count(*) FROM events"))
    before, moved_at = -1, monotonic()
    while monotonic() - moved_at < max(arena.plan.patience, JOIN_SECONDS):
        now = await stored(arena)
        if now >= logged - without:
            break
        if now != before:
            before, moved_at = now, monotonic()
        await asyncio.sleep(0.05)
    arena.kill_all()


async def stored(arena: Arena) -> int:
    """How many events the reader has stored."""
    query = "SELECT count(*) FROM inbox WHERE reaction = 'reader'"
    return int(await arena.lab.pool.fetchval(query))


async def inbox_of(arena: Arena) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
    """What came of every stream, in the order in which it came: values and versions."""
    streams: dict[str, list[Any]] = defaultdict(list)
    for row in await arena.lab.pool.fetch(_INBOX):
        streams[row["stream"]].append((row["n"], row["version"]))
    return {
        stream: ([value for value, _ in came], [version for _, version in came])
        for stream, came in streams.items()
    }
