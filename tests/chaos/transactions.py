"""Other transactions: with subtransactions, or open from the beginning to the end."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import asyncpg

from tests.chaos.arena import INSERT, Arena, open_arena, rounds
from tests.chaos.plan import Outcome, Plan
from tests.chaos.servers import Servers
from tests.libs.messaging.history import Ack

NESTED: Final = 207
"""The client number of events written in subtransactions."""
SIZES: Final = (10, 160)
"""How many subtransactions a transaction has: few, or more than the 64 that Postgres notes of it in
shared memory, even if a quarter is undone."""
STREAMS: Final = 3
FRESH_SECONDS: Final = 10.0

_OVERFLOWED: Final = """SELECT s.subxact_overflowed
FROM pg_stat_get_backend_idset() AS id, pg_stat_get_backend_subxact(id) AS s
WHERE pg_stat_get_backend_pid(id) = pg_backend_pid()"""

Write: TypeAlias = Callable[[int], Awaitable[None]]


@rounds("relay", "projector")
async def subtransactions(arena: Arena, number: int) -> None:
    """A transaction writes every event in a subtransaction; some lie within others, some are
    undone. Others write and are followed meanwhile, and afterwards comes all that was not undone.
    """
    many = SIZES[number % len(SIZES)]
    async with _nested(arena, number, overflows=many > 64) as write:
        for _ in range(2):
            await write(many // 2)
            await asyncio.gather(arena.moved(1, 40), arena.moved(2, 40))


@asynccontextmanager
async def _nested(arena: Arena, number: int, *, overflows: bool) -> AsyncIterator[Write]:
    """What writes so many subtransactions of one transaction, which commits with the block."""
    connection = await asyncpg.connect(arena.address)
    streams: list[list[int]] = [[] for _ in range(STREAMS)]
    values = iter(range(NESTED * 10_000_000 + number * 1000, NESTED * 10_000_000 + 10_000_000))

    async def write(count: int) -> None:
        for _ in range(count):
            await _subtransaction(arena, connection, number, next(values), streams)

    try:
        await connection.execute("BEGIN")
        yield write
        if overflows and not await connection.fetchval(_OVERFLOWED):
            arena.complaints.append("there were too few subtransactions")
        await connection.execute("COMMIT")
    finally:
        await connection.close()
    for at, written in enumerate(streams):
        arena.acks.append(Ack(_stream(number, at), tuple(written), len(written)))


async def _subtransaction(
    arena: Arena, connection: Any, number: int, value: int, streams: list[list[int]]
) -> None:
    at = value % STREAMS
    version = len(streams[at]) + 1
    await connection.execute("SAVEPOINT one")
    given = (uuid.uuid4(), _stream(number, at), version, f'{{"n": {value}}}', datetime.now(UTC))
    await connection.execute(INSERT, *given)
    fate = arena.dice.choice(("ROLLBACK TO one", "RELEASE one", "RELEASE one", ""))
    if fate:
        await connection.execute(fate)
    # Without an end the next ones lie within it.
    if not fate.startswith("ROLLBACK"):
        streams[at].append(value)


def _stream(number: int, at: int) -> str:
    return f"order-nested-{number}-{at}"


async def open_for_long(servers: Servers, plan: Plan) -> Outcome:
    """Strangers' transactions are open all the time: one only reads, one has an id and writes
    nothing, one has written an event, one is prepared. Relay and runner pass them with one
    difference after the other and are replaced now and then; nothing waits, and in the end the
    strangers' events come, too."""
    async with open_arena(servers, plan) as arena:
        crew = {part: arena.start(part) for part in ("relay", "projector")}
        async with AsyncExitStack() as strangers:
            await strangers.enter_async_context(arena.straggler())
            await strangers.enter_async_context(arena.straggler(prepared=True))
            for query in ("SELECT count(*) FROM events", "SELECT pg_current_xact_id()"):
                await strangers.enter_async_context(_open(arena, query))
            async with arena.clients():
                for number in range(plan.rounds):
                    async with arena.within(FRESH_SECONDS, "going on beside open transactions"):
                        await asyncio.gather(arena.moved(1, 60), arena.moved(2, 60))
                    if number % 3 == 0:
                        part = arena.dice.choice(sorted(crew))
                        crew[part].kill()
                        crew[part] = arena.start(part)
        return await arena.verdict()


@asynccontextmanager
async def _open(arena: Arena, query: str) -> AsyncIterator[None]:
    """A transaction that has run this query and stays idle during the block."""
    connection = await asyncpg.connect(arena.address)
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute(query)
            yield
    finally:
        await connection.close()
