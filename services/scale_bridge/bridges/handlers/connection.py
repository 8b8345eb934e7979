"""One connection of an agent to the service: it receives tasks and sends reports."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from libs.process.concurrency import race
from services.scale_bridge.bridges.adapters.link import Link, LinkLost
from services.scale_bridge.bridges.adapters.wire import Misunderstood, Parts, compressed, parts_of
from services.scale_bridge.bridges.domain import (
    HEARTBEAT_SECONDS,
    VERSION,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    Part,
    Ready,
    Reported,
    Settled,
    Welcome,
    Work,
    WorkStored,
)
from services.scale_bridge.bridges.handlers.runner import Runner

SEND_PAUSE_SECONDS: Final = 0.05
PROGRESS_SECONDS: Final = 1.0
"""The shortest time between two reports of progress."""
WAITING_CONTENTS: Final = 4

log = structlog.get_logger(__name__)


async def communicate(
    link: Link, runner: Runner, *, program: str, welcomed: Callable[[], None]
) -> None:
    """Exchange messages until the connection is lost. Calls `welcomed` after the greeting.

    Raises LinkLost.
    """
    holding = await runner.store.holding()
    await link.send(Hello(version=VERSION, program=program, holding=tuple(holding)))
    welcome = await link.receive()
    if not isinstance(welcome, Welcome):
        raise LinkLost("not welcomed")
    if welcome.program not in ("", program):
        log.warning("another version of the bridge is current", ours=program, its=welcome.program)
    welcomed()
    await race(_receive(link, runner), _send(link, runner))


async def _receive(link: Link, runner: Runner) -> None:
    parts, waiting = Parts(), OrderedDict[str, bytes]()
    while True:
        match await link.receive():
            case Part(md5=md5) as part:
                content = await _assembled(parts, part)
                if content is not None:
                    waiting[md5] = await asyncio.to_thread(compressed, content)
                    if len(waiting) > WAITING_CONTENTS:
                        waiting.popitem(last=False)
            case Work() as work:
                await _save(link, runner, work, waiting)
            case Settled(operation_id=operation_id, number=number):
                await runner.store.forget(operation_id, number)
            case HeartbeatAnswer():
                pass
            case other:
                log.warning("message not expected", type=type(other).__name__)


async def _assembled(parts: Parts, part: Part) -> bytes | None:
    try:
        # In a thread: the last part decompresses the whole catalogue.
        return await asyncio.to_thread(parts.take, part)
    except Misunderstood as error:
        raise LinkLost(str(error)) from None


async def _save(link: Link, runner: Runner, work: Work, waiting: OrderedDict[str, bytes]) -> None:
    named = {md5 for md5 in (work.catalogue, work.known) if md5 is not None}
    if named - waiting.keys():
        raise LinkLost("work without its catalogue")
    new = await runner.store.save(work, {md5: waiting[md5] for md5 in named})
    # Before the answer: a stored task is executed even if the answer is lost.
    runner.work.ring()
    log.info("task stored", operation_id=str(work.operation_id), kind=work.kind, again=not new)
    await link.send(WorkStored(operation_id=work.operation_id))


async def _send(link: Link, runner: Runner) -> None:
    """Send the reports that are not settled, then new ones, progress, room and heartbeats."""
    clock = asyncio.get_running_loop().time
    position, room, beat_at, progress_at = 0, -1, clock(), clock()
    while True:
        for sent, reported in await runner.store.reports(position):
            await _send_report(link, runner, reported)
            position, beat_at = sent, clock()
        if progress_at <= clock():
            while runner.progress:
                await link.send(runner.progress.popitem()[1])
                progress_at = clock() + PROGRESS_SECONDS
        if runner.room != room:
            room = runner.room
            await link.send(Ready(room=room))
        if beat_at <= clock():
            await link.send(await _heartbeat(runner))
            beat_at = clock() + HEARTBEAT_SECONDS
        await asyncio.sleep(SEND_PAUSE_SECONDS)
        await runner.news.wait(max(0.0, beat_at - clock()))


async def _send_report(link: Link, runner: Runner, reported: Reported) -> None:
    md5 = reported.report.content
    if md5 is not None and (packed := await runner.store.content(md5)) is not None:
        for part in parts_of(md5, packed):
            await link.send(part)
    await link.send(reported)


async def _heartbeat(runner: Runner) -> Heartbeat:
    exchanges = await runner.store.exchanges()
    ago = None if exchanges.last_at is None else max(0.0, runner.now() - exchanges.last_at)
    return Heartbeat(
        working=len(runner.running), completed=exchanges.completed, last_completed_seconds_ago=ago
    )
