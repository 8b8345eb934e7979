"""One connection of an agent to the service: work comes in, reports go out."""

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
    Heard,
    Heartbeat,
    Hello,
    Kept,
    Part,
    Ready,
    Reported,
    Settled,
    Welcome,
    Work,
)
from services.scale_bridge.bridges.handlers.runner import Runner

SPOKEN_EVERY_SECONDS: Final = 0.05
PROGRESS_SECONDS: Final = 1.0
"""Progress comes more often than anybody wants to read it."""
WAITING_CONTENTS: Final = 4

log = structlog.get_logger(__name__)


async def communicate(
    link: Link, runner: Runner, *, program: str, welcomed: Callable[[], None]
) -> None:
    """Run until the connection is lost: raises LinkLost. `welcomed` is called once connected."""
    holding = await runner.store.holding()
    await link.send(Hello(version=VERSION, program=program, holding=tuple(holding)))
    welcome = await link.receive()
    if not isinstance(welcome, Welcome):
        raise LinkLost("not welcomed")
    if welcome.program not in ("", program):
        log.warning("another version of the bridge is current", ours=program, its=welcome.program)
    welcomed()
    await race(_listen(link, runner), _speak(link, runner))


async def _listen(link: Link, runner: Runner) -> None:
    parts, waiting = Parts(), OrderedDict[str, bytes]()
    while True:
        match await link.receive():
            case Part(md5=md5) as part:
                content = await _taken(parts, part)
                if content is not None:
                    waiting[md5] = await asyncio.to_thread(compressed, content)
                    if len(waiting) > WAITING_CONTENTS:
                        waiting.popitem(last=False)
            case Work() as work:
                await _save(link, runner, work, waiting)
            case Settled(operation_id=operation_id, number=number):
                await runner.store.settle(operation_id, number)
            case Heard():
                pass
            case other:
                log.warning("message not expected", type=type(other).__name__)


async def _taken(parts: Parts, part: Part) -> bytes | None:
    try:
        # The last one has the whole catalogue unpacked.
        return await asyncio.to_thread(parts.take, part)
    except Misunderstood as error:
        raise LinkLost(str(error)) from None


async def _save(link: Link, runner: Runner, work: Work, waiting: OrderedDict[str, bytes]) -> None:
    named = {md5 for md5 in (work.catalogue, work.known) if md5 is not None}
    if named - waiting.keys():
        raise LinkLost("work without its catalogue")
    new = await runner.store.save(work, {md5: waiting[md5] for md5 in named})
    # Before the service is told: what is kept is done, whether or not anybody hears of it.
    runner.work.ring()
    log.info("work kept", operation_id=str(work.operation_id), kind=work.kind, again=not new)
    await link.send(Kept(operation_id=work.operation_id))


async def _speak(link: Link, runner: Runner) -> None:
    """All that is not settled from the beginning, then what is new."""
    clock = asyncio.get_running_loop().time
    place, room, beat_at, progress_at = 0, -1, clock(), clock()
    while True:
        for told, reported in await runner.store.reports(place):
            await _tell(link, runner, reported)
            place, beat_at = told, clock()
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
        await asyncio.sleep(SPOKEN_EVERY_SECONDS)
        await runner.news.wait(max(0.0, beat_at - clock()))


async def _tell(link: Link, runner: Runner, reported: Reported) -> None:
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
