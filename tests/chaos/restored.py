"""A database that is restored from a backup while Kafka holds what came after it."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import uuid4

from libs.messaging import positions
from libs.messaging.wire import decode
from libs.testing.polling import eventually
from libs.testing.tables import REACTION_TABLES
from tests.chaos.arena import Arena, open_arena
from tests.chaos.plan import Outcome, Plan, outcome_of
from tests.chaos.servers import Servers, start_again
from tests.libs.messaging.clients import STREAMS
from tests.libs.messaging.history import Ack, anomalies_of
from tests.libs.messaging.lab import Numbered

RECOVERY: Final = "restore_command = 'false'\nrecovery_target_timeline = 'latest'\n"
"""Recover what is there and go on on a timeline of its own, as after every restore."""
READER_SECONDS: Final = 15.0
AFTER: Final = 206
"""The client number of events that come after the database was restored."""

_LEVEL: Final = """SELECT (SELECT count(*) FROM events) =
    (SELECT coalesce(sum(cardinality(seen)), 0) FROM ledger)
    AND NOT EXISTS (SELECT FROM events, relay WHERE NOT (relay.complete AND relay.confirmed
        AND pg_visible_in_snapshot(xid, relay.target)))"""
LACKS: Final = """SELECT count(*) FROM events
WHERE event_id NOT IN (SELECT event_id FROM inbox WHERE reaction = 'reader')"""


async def restored(servers: Servers, plan: Plan) -> Outcome:
    """What came after the backup is gone from the log and not from Kafka. The log begins another
    incarnation, its own read models go on, and readers of other services stop or lack nothing."""
    async with open_arena(servers, plan) as arena:
        await arena.lab.pool.execute(";".join(REACTION_TABLES))
        for number in range(plan.rounds):
            await _work(arena)
            known = list(arena.acks)
            await _stopped(servers, _back_up)
            await _work(arena)
            await _stopped(servers, _restore)
            arena.acks[:] = known
            await _append_few(arena, number)
        arena.start("relay", "projector", "reader")
        await _level(arena)
        lacking = await unread(arena)
        arena.kill_all()
        return await judged(arena, lacking)


async def _work(arena: Arena) -> None:
    """Everybody is at work for a while, and killed in the middle."""
    arena.start("relay", "projector", "reader")
    async with arena.clients():
        await asyncio.gather(arena.moved(1, 60), arena.moved(2, 60))
    arena.kill_all()


async def _append_few(arena: Arena, round_number: int) -> None:
    """Fewer than were lost: a reader that does not read the incarnation has seen their numbers."""
    for number in range(STREAMS):
        value, stream = AFTER * 10_000_000 + round_number * 100 + number, f"order-after-{uuid4()}"
        version = (await arena.lab.appended(stream, Numbered(value))).version
        arena.acks.append(Ack(stream, (value,), version))


async def _stopped(servers: Servers, work: Callable[[Path, Path], None]) -> None:
    """Do something to data folder and backup while the server stands still."""
    await asyncio.to_thread(servers.postgres.stop)
    await asyncio.to_thread(work, servers.home / "postgres", servers.home / "backup")
    await start_again(servers.postgres)


def _back_up(data: Path, backup: Path) -> None:
    subprocess.run(["cp", "-a", str(data), str(backup)], check=True)


def _restore(data: Path, backup: Path) -> None:
    shutil.rmtree(data)
    backup.rename(data)
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(RECOVERY)
    (data / "recovery.signal").touch()


async def _level(arena: Arena) -> None:
    """Wait until the log's own read model is level and all of the log is on Kafka."""
    await eventually(lambda: arena.lab.pool.fetchval(_LEVEL))


async def unread(arena: Arena) -> int:
    """How many events a reader lacks and believes to be complete without."""
    until, lacks = monotonic() + READER_SECONDS, 0
    while monotonic() < until:
        async with arena.lab.pool.acquire() as connection:
            if await positions.stopped(connection, "reader"):
                return 0
            lacks = int(await connection.fetchval(LACKS))
        if not lacks:
            return 0
        await asyncio.sleep(0.2)
    return lacks


async def judged(arena: Arena, lacking: int) -> Outcome:
    """Log and read model as always; of the topic, that each event of the log is there: numbers
    begin anew with the incarnation, and what was lost with the database is there, too."""
    history = await arena.lab.history(arena.acks)
    sent = {decode(record).recorded.event_id for record in history.topic}
    found = [one for one in anomalies_of(history.but(topic=())) if not one.endswith("the topic")]
    lacking += sum(one.event_id not in sent for one in history.logged)
    return outcome_of(found, len(history.logged), arena.complaints, unread=lacking)
