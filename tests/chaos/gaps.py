"""Records that come twice, and records that are gone before another service has read them."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaProducer, ConsumerRecord

from libs.messaging import positions
from libs.messaging.dedup import Gap, Position, TopicPartition
from libs.messaging.wire import decode
from libs.testing.polling import eventually
from libs.testing.tables import REACTION_TABLES
from tests.chaos.arena import Arena, open_arena
from tests.chaos.plan import NeverStruck, Outcome, Plan, outcome_of
from tests.chaos.readers import inbox_of, read_all, stored
from tests.chaos.servers import Servers
from tests.libs.messaging.history import anomalies_of, value_of

UNREAD: Final = 90
"""How many records lie before the reader when some of them are taken away."""
MOST_COPIES: Final = 30
STOP_SECONDS: Final = 20.0
"""How long the reader may take to stop at a gap, and how long nothing else may stand still."""


async def gaps(servers: Servers, plan: Plan) -> Outcome:
    """Records stand in the topic twice, and records that were not read are deleted from it. The
    reader takes nothing twice; where something is missing it stops one partition, loudly, also if
    it is started anew, and goes on there when a person accepts what is missing, and that alone."""
    accepted: set[int] = set()
    async with open_arena(servers, plan) as arena:
        await arena.lab.pool.execute(";".join(REACTION_TABLES))
        arena.start("relay")
        arena.start("projector")
        async with arena.clients():
            for _ in range(plan.rounds):
                arena.start("reader")
                await _read_copies(arena)
                arena.kill_all("reader")
                await arena.moved(1, UNREAD)
                accepted |= await _gap(arena)
                arena.kill_all("reader")
        return await _judged(arena, accepted)


async def _read_copies(arena: Arena) -> None:
    """The last records of a partition are written again, and read."""
    await _grows(arena, 20)
    records = await arena.lab.records()
    at = arena.dice.choice(sorted({record.partition for record in records}))
    last = [record for record in records if record.partition == at]
    offset = await _send(arena, last[-arena.dice.randint(1, MOST_COPIES) :])
    await _passed(arena, (arena.lab.topic, at), offset)


async def _send(arena: Arena, records: Sequence[ConsumerRecord]) -> int:
    """Write records again, word for word; the offset of the last one."""
    offset = -1
    async with AIOKafkaProducer(bootstrap_servers=arena.lab.bootstrap) as producer:
        for one in records:
            words = {"key": one.key, "value": one.value, "headers": list(one.headers)}
            sent = await producer.send_and_wait(one.topic, partition=one.partition, **words)
            offset = sent.offset
    return offset


async def _gap(arena: Arena) -> set[int]:
    """Delete some of what was not read and start the reader; what a person accepts as missing."""
    at, deleted = await _delete(arena)
    arena.start("reader")
    gap = await _stopped(arena, at)
    if gap is None:
        return set()
    first, last = gap.numbers
    if not first <= min(deleted) <= max(deleted) <= last:
        arena.complaints.append(f"numbers {gap.numbers} are said to be missing")
    await _others_go_on(arena)
    arena.kill_all("reader")
    arena.start("reader")
    await _others_go_on(arena)
    await _accept(arena, at)
    async with arena.within(STOP_SECONDS, "going on behind a gap"):
        await _passed(arena, at, gap.offset)
    return {value for number, value in deleted.items() if first <= number <= last}


async def _delete(arena: Arena) -> tuple[TopicPartition, dict[int, int]]:
    """Delete some records before the reader, but not the last; values by number."""
    known = await _positions(arena)
    unread: dict[TopicPartition, list[ConsumerRecord]] = {at: [] for at in known}
    for record in await arena.lab.records():
        if record.offset >= known[record.topic, record.partition].next_offset:
            unread[record.topic, record.partition].append(record)
    at = max(unread, key=lambda one: len(unread[one]))
    if len(unread[at]) < 2:
        raise NeverStruck("nothing is left to delete")
    count = arena.dice.randint(1, len(unread[at]) - 1)
    await arena.lab.delete_records({at[1]: unread[at][count].offset})
    gone = map(decode, unread[at][:count])
    return at, {one.relay_seq: value_of(one.recorded) for one in gone}


async def _stopped(arena: Arena, at: TopicPartition) -> Gap | None:
    """Where the reader stops, None if it goes on as if nothing were missing."""
    before, until = (await _positions(arena))[at], monotonic() + STOP_SECONDS
    while monotonic() < until:
        async with arena.lab.pool.acquire() as connection:
            gap = (await positions.stopped(connection, "reader")).get(at)
        if gap is not None:
            return gap
        if (await _positions(arena))[at].next_offset > before.next_offset:
            return None
        await asyncio.sleep(0.05)
    raise NeverStruck("the reader neither stops nor goes on")


async def _others_go_on(arena: Arena) -> None:
    async with arena.within(STOP_SECONDS, "beside a gap the other partitions"):
        await _grows(arena, 20)
    async with arena.lab.pool.acquire() as connection:
        if not await positions.stopped(connection, "reader"):
            arena.complaints.append("a gap was forgotten")


async def _accept(arena: Arena, at: TopicPartition) -> None:
    async with arena.lab.pool.acquire() as connection, connection.transaction():
        await positions.skip(connection, "reader", at, reason="deleted", accepted_by="chaos")


async def _grows(arena: Arena, by: int) -> None:
    """Wait until the reader has stored so many more."""
    start = await stored(arena)

    async def grown() -> bool:
        return await stored(arena) >= start + by

    await eventually(grown, poll_seconds=0.05)


async def _passed(arena: Arena, at: TopicPartition, offset: int) -> None:
    """Wait until the reader is behind this offset."""

    async def passed() -> bool:
        position = (await _positions(arena)).get(at)
        return position is not None and position.next_offset > offset

    await eventually(passed, poll_seconds=0.05)


async def _positions(arena: Arena) -> dict[TopicPartition, Position]:
    async with arena.lab.pool.acquire() as connection:
        return await positions.read(connection, "reader")


async def _judged(arena: Arena, accepted: set[int]) -> Outcome:
    """Log and read model as always; the reader must have the log but for what was accepted."""
    arena.kill_all()
    arena.start("relay", "projector")
    await arena.level()
    await read_all(arena, without=len(accepted))
    history = (await arena.lab.history(arena.acks)).but(topic=())
    of_model = anomalies_of(history)
    of_reader = anomalies_of(history.but(acks=(), table=await inbox_of(arena)))
    missing = {f"unseen: {value} is not in the table" for value in accepted}
    found = [
        one
        for one in (*of_model, *(one for one in of_reader if one not in missing))
        if not one.endswith("the topic")
    ]
    return outcome_of(found, len(history.logged), arena.complaints)
