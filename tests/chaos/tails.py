"""What lies behind: a backlog of many pages in one difference, a topic that lost its end."""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from libs.messaging import positions, republish
from libs.testing.polling import eventually
from libs.testing.tables import REACTION_TABLES
from tests.chaos.arena import Arena, open_arena
from tests.chaos.plan import NeverStruck, Outcome, Plan
from tests.chaos.readers import verdict_of_reader
from tests.chaos.restored import LACKS, judged, unread
from tests.chaos.servers import Servers, start_again

PAGES: Final = 15
"""How many pages of the relay are in a backlog at least."""
PAGE: Final = 20
LAST_OF_RELAY: Final = ("relay-saving", "relay-saved", "partition-sent", "relay-flushed")
LAST_OF_RUNNER: Final = ("batch-projecting", "batch-advanced", "batch-committed")
LAST_OF_READER: Final = ("inbox-storing", "inbox-saving", "inbox-stored")
"""Where each of them dies on its way through the backlog."""
MOST_TIMES: Final = 2
LEVEL_SECONDS: Final = 60.0
"""How long the reader of a topic that was sent again may need, and a person with it."""

_PARTLY: Final = "SELECT NOT complete FROM relay"
_BATCH: Final = struct.Struct(">qi")
"""Offset and length, which does not include these two."""


async def backlog(servers: Servers, plan: Plan) -> Outcome:
    """Relay, runner and another service's reader each find many pages before them, die again and
    again on their way through, and the next one goes on in the middle of the difference."""
    async with open_arena(servers, plan) as arena:
        await arena.lab.pool.execute(";".join(REACTION_TABLES))
        for _ in range(plan.rounds):
            async with arena.straggler():
                await _append_many(arena)
                async with arena.clients():
                    await _die_one_after_the_other(arena, "relay", LAST_OF_RELAY)
            arena.start("relay")
            async with arena.clients():
                await _die_one_after_the_other(arena, "projector", LAST_OF_RUNNER)
                await _die_one_after_the_other(arena, "reader", LAST_OF_READER)
            arena.kill_all()
        outcome = await arena.verdict()
        return await verdict_of_reader(arena) if outcome.clean else outcome


async def _append_many(arena: Arena) -> None:
    async with arena.clients():
        await arena.moved(0, PAGES * PAGE)


async def _die_one_after_the_other(arena: Arena, part: str, points: Sequence[str]) -> None:
    partly = False
    for point in arena.dice.sample(points, len(points)):
        failpoint = f"{point}=kill@{arena.dice.randint(1, MOST_TIMES)}"
        await arena.start(part, failpoint=failpoint, page=PAGE).died()
        partly = partly or await arena.lab.pool.fetchval(_PARTLY)
    # Not after each: the first may die before it has saved a batch of this difference.
    if part == "relay" and not partly:
        arena.complaints.append("the backlog was no difference of many pages")


async def lost_tail(servers: Servers, plan: Plan) -> Outcome:
    """The broker comes back without the end of a topic, which had been confirmed. A reader that had
    not read it yet stops, loudly; one that had goes on. Then the topic is sent again from the log,
    a person accepts what is missing, and the reader has everything once."""
    async with open_arena(servers, plan) as arena:
        await arena.lab.pool.execute(";".join(REACTION_TABLES))
        arena.start("relay", "projector")
        lacking = 0
        for number in range(plan.rounds):
            await _work(arena, reads_all=number % 2 == 1)
            await _lose_tail(arena)
            async with arena.clients():
                await arena.moved(1, PAGE)
            arena.start("reader")
            lacking += await unread(arena)
            await _send_again(arena)
            arena.kill_all("reader")
        return await judged(arena, lacking)


async def _work(arena: Arena, *, reads_all: bool) -> None:
    """The reader has all that is on the topic when it dies, or dies before the end comes."""
    arena.start("reader")
    async with arena.clients():
        await arena.moved(1, 3 * PAGE)
    if not reads_all:
        arena.kill_all("reader")
        async with arena.clients():
            await arena.moved(1, 3 * PAGE)
    await arena.level()
    if reads_all:
        await eventually(lambda: arena.lab.pool.fetchval(LACKS), 0)
        arena.kill_all("reader")


async def _lose_tail(arena: Arena) -> None:
    kafka, log = arena.servers.kafka, arena.servers.home / "kafka" / "log"
    await asyncio.to_thread(kafka.stop)
    cut = sum(_cut(folder) for folder in log.glob(f"{arena.lab.topic}-*"))
    # What was known of the end is no more true: the broker looks at the files themselves.
    for file in (log / ".kafka_cleanshutdown", *log.glob("*-checkpoint")):
        file.unlink(missing_ok=True)
    await start_again(kafka)
    if not cut:
        raise NeverStruck("the topic lost nothing")


def _cut(folder: Path) -> int:
    """Take the last third of the batches of a partition away; how many these are."""
    segment = max(folder.glob("*.log"))
    content = segment.read_bytes()
    starts = [*_batches(content)]
    lost = starts[-(-len(starts) * 2 // 3) :]
    if lost:
        segment.write_bytes(content[: lost[0]])
    for known in ("*.index", "*.timeindex", "*.snapshot", "leader-epoch-checkpoint"):
        for file in folder.glob(known):
            file.unlink()
    return len(lost)


def _batches(content: bytes) -> Iterator[int]:
    """Where each batch of a segment begins."""
    at = 0
    while at + _BATCH.size <= len(content):
        yield at
        _, length = _BATCH.unpack_from(content, at)
        at += _BATCH.size + length


async def _send_again(arena: Arena) -> None:
    """As a person would: `relay republish`, then `inbox skip-gap` as often as the reader stops."""
    pool, topic = arena.lab.pool, arena.lab.topic
    await republish.request(pool, topic)
    await eventually(lambda: republish.progress(pool, topic), None)

    async def accepted() -> bool:
        async with pool.acquire() as connection, connection.transaction():
            for at in await positions.stopped(connection, "reader"):
                await positions.skip(connection, "reader", at, reason="lost", accepted_by="chaos")
        return not await pool.fetchval(LACKS)

    async with arena.within(LEVEL_SECONDS, "a reader of a topic that was sent again"):
        await eventually(accepted, poll_seconds=0.2)
