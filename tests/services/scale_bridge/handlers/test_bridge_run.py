"""The daemon's own rules, with nobody at the other end but what the test says.

Longer than most: one story each for what may go wrong on either side of a conversation.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from libs.security.sealed_box import public_of, seal_to
from services.scale_bridge.adapters.bridge_identity import read_identity
from services.scale_bridge.adapters.bridge_link import Link, LinkLost
from services.scale_bridge.adapters.bridge_rows import Task
from services.scale_bridge.adapters.simulator.server import Simulator
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.api.bridge_command import open_desk
from services.scale_bridge.domain.bridge_message import (
    Hello,
    Kept,
    Message,
    Ready,
    Reported,
    Settled,
    Stage,
    Welcome,
    Work,
    context_of,
)
from services.scale_bridge.handlers import bridge_desk, bridge_run
from services.scale_bridge.handlers.bridge_desk import BridgeDesk, Teller
from services.scale_bridge.handlers.bridge_run import LONGEST_PAUSE_SECONDS, Office, pause_after
from services.scale_bridge.handlers.bridge_talk import converse
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import an_order, enrolled
from tests.services.scale_bridge.bridging import (
    PASSWORD,
    until,
)


class Script(Link):
    """A service that says what it is told to say, and hears everything."""

    def __init__(self, *said: Message) -> None:
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        self.heard: list[Message] = []
        for message in said:
            self.say(message)

    def say(self, message: Message) -> None:
        self.said.put_nowait(message)

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.heard if isinstance(message, kind)]

    async def send(self, message: Message) -> None:
        self.heard.append(message)

    async def receive(self) -> Message:
        return await self.said.get()

    @property
    def ends(self) -> list[Reported]:
        told = [message for message in self.heard if isinstance(message, Reported)]
        return [one for one in told if one.report.stage is Stage.ENDED]


def work_on(scale: Simulator, home: Path, kind: str = "fetch", seconds: float = 30.0) -> Work:
    operation_id, device_id = uuid4(), uuid4()
    key = public_of(read_identity(home).private_key)
    return Work(
        operation_id=operation_id,
        device_id=device_id,
        kind=kind,
        full=False,
        address=scale.host,
        port=scale.port,
        password=seal_to(key, PASSWORD, context_of(operation_id, device_id)),
        seconds_left=seconds,
    )


@asynccontextmanager
async def working(home: Path) -> AsyncIterator[BridgeDesk]:
    async with open_desk(an_order(home)) as desk:
        running = asyncio.create_task(desk.run())
        yield desk
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def talking(desk: BridgeDesk, *said: Message) -> AsyncIterator[Script]:
    script = Script(Welcome(version=1), *said)
    talk = asyncio.create_task(converse(script, desk, program="test", welcomed=lambda: None))
    yield script
    talk.cancel()
    await asyncio.gather(talk, return_exceptions=True)


async def test_what_comes_twice_is_done_once(tmp_path: Path) -> None:
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with a_scale(5, password=PASSWORD) as scale, working(tmp_path) as desk:
        work = work_on(scale, tmp_path)
        async with talking(desk, work, work) as script:
            await until(lambda: script.ends)
            script.say(work)
            await until(lambda: len(script.of(Kept)) == 3)
        # Not even after it was told, on another connection, and settled.
        async with talking(desk, work) as script:
            await until(lambda: script.ends)
            [end] = script.ends
            script.say(Settled(operation_id=work.operation_id, number=end.number))
            script.say(work)
            await until(lambda: len(script.of(Kept)) == 2)
            assert await desk.store.reports() == []
        async with talking(desk) as script:
            await until(lambda: script.of(Ready))
            assert script.heard[0] == Hello(version=1, program="test", holding=())
            assert script.ends == []

        assert list(scale.transcript.steps()).count(Step.CREATE) == 1


class Broken(Script):
    """A service that nothing reaches after the greeting."""

    async def send(self, message: Message) -> None:
        if isinstance(message, Kept):
            raise LinkLost("gone")
        await super().send(message)


async def test_what_was_kept_is_done_though_the_line_broke_before_anybody_heard_of_it(
    tmp_path: Path,
) -> None:
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with a_scale(5, password=PASSWORD) as scale, working(tmp_path) as desk:
        script = Broken(Welcome(version=1), work_on(scale, tmp_path))
        with pytest.raises(LinkLost):
            await converse(script, desk, program="test", welcomed=lambda: None)
        await until(lambda: Step.CREATE in scale.transcript.steps())


async def test_what_was_kept_while_everything_was_broken_off_is_found_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_desk, "AGAIN_SECONDS", 0.1)
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with a_scale(5, password=PASSWORD) as scale, working(tmp_path) as desk:
        await desk.store.keep(work_on(scale, tmp_path), {})
        await until(lambda: Step.CREATE in scale.transcript.steps())


async def test_work_that_came_too_late_is_not_begun(tmp_path: Path) -> None:
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with a_scale(5, password=PASSWORD) as scale, working(tmp_path) as desk:
        async with talking(desk, work_on(scale, tmp_path, seconds=-1.0)) as script:
            await until(lambda: script.ends)

        assert script.ends[0].report.code == "NotBegun"
        assert scale.transcript.connections == 0


async def test_a_password_sealed_to_somebody_else_is_not_guessed_at(tmp_path: Path) -> None:
    enrolled(tmp_path, "http://127.0.0.1:9")
    enrolled(tmp_path / "other", "http://127.0.0.1:9")
    async with a_scale(5, password=PASSWORD) as scale, working(tmp_path) as desk:
        async with talking(desk, work_on(scale, tmp_path / "other")) as script:
            await until(lambda: script.ends)

        assert script.ends[0].report.code == "SecretUnreadable"
        assert scale.transcript.connections == 0


@pytest.mark.parametrize(("kind", "outcome"), [("fetch", "failed"), ("upload", "unknown")])
async def test_what_nobody_thought_of_ends_an_operation_and_not_the_daemon(
    tmp_path: Path, kind: str, outcome: str
) -> None:
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with a_scale(5, password=PASSWORD) as scale, working(tmp_path) as desk:
        right, wrong = desk.carry_out, [True]

        async def carry_out(task: Task, teller: Teller) -> None:
            if wrong.pop():
                raise LookupError("of all things")
            await right(task, teller)

        desk.carry_out = carry_out
        wrong.insert(0, False)
        async with talking(desk, work_on(scale, tmp_path, kind)) as script:
            await until(lambda: script.ends)
            assert script.ends[0].report.code == "BridgeFault"
            assert script.ends[0].report.outcome == outcome
            script.say(work_on(scale, tmp_path))
            await until(lambda: len(script.ends) == 2)
            assert script.ends[1].report.outcome == "done"


async def test_two_operations_never_meet_on_one_scale(tmp_path: Path) -> None:
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with a_scale(50, password=PASSWORD) as scale, working(tmp_path) as desk:
        several = [work_on(scale, tmp_path) for _ in range(6)]
        async with talking(desk, *several) as script:
            await until(lambda: len(script.ends) == 6)

        assert {end.report.outcome for end in script.ends} == {"done"}


async def test_a_connection_that_is_not_welcomed_is_lost(tmp_path: Path) -> None:
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with working(tmp_path) as desk:
        with pytest.raises(LinkLost):
            await converse(Script(Ready(room=1)), desk, program="test", welcomed=lambda: None)


@pytest.mark.parametrize("failure", [MemoryError, asyncio.CancelledError])
async def test_the_watchdog_begins_again_whatever_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    failures: list[str] = []

    async def broken(*_: object) -> None:
        failures.append("link")
        raise failure

    monkeypatch.setattr(bridge_run, "_connected", broken)
    enrolled(tmp_path, "http://127.0.0.1:9")
    async with aiohttp.ClientSession() as client, open_desk(an_order(tmp_path)) as desk:
        office = an_office(tmp_path, client, longest_pause=0.01)
        running = asyncio.create_task(bridge_run.run(desk, office))
        await until(lambda: len(failures) > 3)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_pauses_grow_and_are_scattered(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as client:
        early = an_office(tmp_path, client, chance=0.0)
        late = an_office(tmp_path, client, chance=1.0)
        assert [pause_after(n, late) for n in (0, 1, 2, 3)] == [0.5, 1.0, 2.0, 4.0]
        assert [pause_after(n, early) for n in (0, 1, 2, 3)] == [0.25, 0.5, 1.0, 2.0]
        assert pause_after(10_000, late) == LONGEST_PAUSE_SECONDS


def an_office(
    home: Path,
    client: aiohttp.ClientSession,
    *,
    chance: float = 0.5,
    longest_pause: float = LONGEST_PAUSE_SECONDS,
) -> Office:
    return Office(
        home=home,
        client=client,
        program="test",
        name="test",
        chance=lambda: chance,
        longest_pause=longest_pause,
    )
