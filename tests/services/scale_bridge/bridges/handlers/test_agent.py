"""The agent with a scripted service: tasks are executed once and reported; and its tokens, which
are refreshed although an answer is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from libs.security.sealed_box import public_of, seal_to
from libs.testing.polling import eventually
from libs.testing.servers import http_server
from services.scale_bridge.bridges.adapters import login
from services.scale_bridge.bridges.adapters.identity import read_identity
from services.scale_bridge.bridges.adapters.link import Link, LinkLost
from services.scale_bridge.bridges.cli import open_runner
from services.scale_bridge.bridges.domain import (
    Hello,
    Message,
    Ready,
    Reported,
    ReportStage,
    Settled,
    Welcome,
    Work,
    WorkStored,
    context_of,
)
from services.scale_bridge.bridges.handlers import gateway_client, runner
from services.scale_bridge.bridges.handlers.connection import communicate
from services.scale_bridge.bridges.handlers.gateway_client import (
    AGAIN_SECONDS,
    LONGEST_PAUSE_SECONDS,
    pause_after,
)
from services.scale_bridge.bridges.handlers.runner import Reporter, Runner
from services.scale_bridge.bridges.stores.agent_store import AgentTask
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.adapters.server import Simulator
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.remote import PASSWORD, enrolled, gateway_client_of, options_of


class Script(Link):
    """A service that sends the messages of a test and records those of the agent."""

    def __init__(self, *messages: Message) -> None:
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        self.received: list[Message] = []
        for message in messages:
            self.queue.put_nowait(message)

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.received if isinstance(message, kind)]

    async def send(self, message: Message) -> None:
        self.received.append(message)

    async def receive(self) -> Message:
        return await self.queue.get()

    @property
    def ends(self) -> list[Reported]:
        reports = [message for message in self.received if isinstance(message, Reported)]
        return [one for one in reports if one.report.stage is ReportStage.ENDED]


@dataclass
class RunningAgent:
    """An agent at work, and a scale."""

    runner: Runner
    scale: Simulator
    home: Path

    def work(self, kind: str = "fetch", seconds: float = 60.0, home: Path | None = None) -> Work:
        """A task for the scale, with its password sealed to an agent."""
        operation_id, device_id = uuid4(), uuid4()
        key = public_of(read_identity(home or self.home).private_key)
        return Work(
            operation_id=operation_id,
            device_id=device_id,
            kind=kind,
            full=False,
            address=self.scale.host,
            port=self.scale.port,
            password=seal_to(key, PASSWORD, context_of(operation_id, device_id)),
            seconds_left=seconds,
        )

    @property
    def reads(self) -> int:
        """How often the scale was read."""
        return list(self.scale.transcript.steps()).count(Step.CREATE)

    @asynccontextmanager
    async def conversation(self, *messages: Message) -> AsyncIterator[Script]:
        """A connection on which the service sends messages after the greeting."""
        script = Script(Welcome(version=1), *messages)
        talk = asyncio.create_task(
            communicate(script, self.runner, program="test", welcomed=lambda: None)
        )
        yield script
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[RunningAgent]:
    """An agent at work, and a scale."""
    async with AsyncExitStack() as stack:
        scale = await stack.enter_async_context(a_scale(50, password=PASSWORD))
        runner = await stack.enter_async_context(open_runner(options_of(enrolled(tmp_path))))
        running = asyncio.create_task(runner.run())
        yield RunningAgent(runner, scale, tmp_path)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_repeated_task_is_executed_once(agent: RunningAgent) -> None:
    work = agent.work()
    async with agent.conversation(work, work) as script:
        await eventually(lambda: script.ends)
        script.queue.put_nowait(work)
        await eventually(lambda: len(script.of(WorkStored)), 3)
    # Not even after it was reported, on another connection, and settled.
    async with agent.conversation(work) as script:
        [end] = await eventually(lambda: script.ends)
        script.queue.put_nowait(Settled(operation_id=work.operation_id, number=end.number))
        script.queue.put_nowait(work)
        await eventually(lambda: len(script.of(WorkStored)), 2)
        assert await agent.runner.store.reports() == []
    async with agent.conversation() as script:
        await eventually(lambda: script.of(Ready))
        assert script.received[0] == Hello(version=1, program="test", holding=())
        assert script.ends == []

    assert agent.reads == 1


class DeafService(Script):
    """A service that receives nothing after the greeting."""

    async def send(self, message: Message) -> None:
        if isinstance(message, WorkStored):
            raise LinkLost("gone")
        await super().send(message)


async def test_a_stored_task_is_executed_without_its_confirmation(
    agent: RunningAgent,
) -> None:
    script = DeafService(Welcome(version=1), agent.work())
    with pytest.raises(LinkLost):
        await communicate(script, agent.runner, program="test", welcomed=lambda: None)
    await eventually(lambda: agent.reads)


async def test_a_task_that_was_stored_during_a_failure_is_executed(
    agent: RunningAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "AGAIN_SECONDS", 0.1)
    await agent.runner.store.save(agent.work(), {})
    await eventually(lambda: agent.reads)


@pytest.mark.parametrize(
    ("seconds", "sealed_to", "code"),
    [(-1.0, "", "NotBegun"), (60.0, "other", "SecretUnreadable")],
    ids=["too late", "password of another agent"],
)
async def test_a_task_that_cannot_be_executed_is_not_begun(
    agent: RunningAgent, seconds: float, sealed_to: str, code: str
) -> None:
    home = enrolled(agent.home / sealed_to) if sealed_to else None
    work = agent.work(seconds=seconds, home=home)
    async with agent.conversation(work) as script:
        await eventually(lambda: script.ends)

    assert script.ends[0].report.code == code
    assert agent.scale.transcript.connections == 0


@pytest.mark.parametrize(("kind", "outcome"), [("fetch", "failed"), ("upload", "unknown")])
async def test_an_unexpected_error_ends_the_task_and_not_the_agent(
    agent: RunningAgent, kind: str, outcome: str
) -> None:
    right, failures = agent.runner.handle, [LookupError("of all things")]

    async def handle(task: AgentTask, reporter: Reporter) -> None:
        if failures:
            raise failures.pop()
        await right(task, reporter)

    agent.runner.handle = handle
    async with agent.conversation(agent.work(kind)) as script:
        await eventually(lambda: script.ends)
        assert script.ends[0].report.code == "BridgeFault"
        assert script.ends[0].report.outcome == outcome
        script.queue.put_nowait(agent.work())
        await eventually(lambda: len(script.ends), 2)
        assert script.ends[1].report.outcome == "done"


async def test_two_tasks_of_one_scale_never_overlap(agent: RunningAgent) -> None:
    several = [agent.work() for _ in range(6)]
    async with agent.conversation(*several) as script:
        await eventually(lambda: len(script.ends), 6)

    assert {end.report.outcome for end in script.ends} == {"done"}


async def test_a_connection_without_a_welcome_is_closed(agent: RunningAgent) -> None:
    with pytest.raises(LinkLost):
        await communicate(
            Script(Ready(room=1)), agent.runner, program="test", welcomed=lambda: None
        )


@pytest.mark.parametrize("failure", [MemoryError, asyncio.CancelledError])
async def test_failed_parts_of_the_agent_are_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    failures: list[str] = []

    async def broken(*_: object) -> None:
        failures.append("link")
        raise failure

    monkeypatch.setattr(gateway_client, "_connect", broken)
    options = options_of(enrolled(tmp_path))
    async with aiohttp.ClientSession() as client, open_runner(options) as runner:
        gateway = gateway_client_of(tmp_path, client, chance=0.5, longest_pause=0.01)
        running = asyncio.create_task(gateway_client.run(runner, gateway))
        await eventually(lambda: len(failures) > 3)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_pauses_grow_and_have_jitter(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as client:
        early, late = [gateway_client_of(tmp_path, client, chance=chance) for chance in (0.0, 1.0)]
        assert [pause_after(n, late) for n in (0, 1, 2, 3)] == [0.5, 1.0, 2.0, 4.0]
        assert [pause_after(n, early) for n in (0, 1, 2, 3)] == [0.25, 0.5, 1.0, 2.0]
        assert pause_after(10_000, late) == LONGEST_PAUSE_SECONDS


GRACE_SECONDS = 30.0
"""For how long the gateway gives a lost pair again, unless less is configured."""


class Gateway:
    """Answers a refresh token with its successor, also when it is repeated; loses some answers."""

    def __init__(self) -> None:
        self.url = ""
        self.lost: list[str] = []
        self.refreshed: list[str] = []
        self.connected: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/oauth/token":
            self.connected.append(request.headers["Authorization"])
            return web.Response(status=503)
        token = str((await request.post())["refresh_token"])
        self.refreshed.append(token)
        await self._lose(request)
        number = int(token.rpartition(" ")[2]) + 1
        pair = {"access_token": f"a{number}", "refresh_token": f"refresh {number}"}
        return web.json_response({**pair, "expires_in": 300})

    async def _lose(self, request: web.BaseRequest) -> None:
        match self.lost.pop(0) if self.lost else "":
            case "hang up":
                assert request.transport is not None
                request.transport.close()
            case "silence":
                await asyncio.Event().wait()
            case "bad gateway":
                raise web.HTTPBadGateway(text="<html>")
            case _:
                pass


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    async with http_server(gateway) as gateway.url:
        yield gateway


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pauses after failed attempts. None ends, so there is no further attempt."""
    begun: list[int] = []

    def pause_after(failures: int, _: object) -> float:
        begun.append(failures)
        return 3600.0

    monkeypatch.setattr(gateway_client, "pause_after", pause_after)
    monkeypatch.setattr(gateway_client, "AGAIN_SECONDS", (0.05, 0.05))
    return begun


@asynccontextmanager
async def running(home: Path, gateway: Gateway) -> AsyncIterator[None]:
    """An agent that connects to this gateway."""
    enrolled(home, gateway.url)
    async with aiohttp.ClientSession() as client, open_runner(options_of(home)) as runner:
        connecting = asyncio.create_task(
            gateway_client.run(runner, gateway_client_of(home, client, chance=0.5))
        )
        try:
            yield
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)


@pytest.mark.parametrize("how", ["hang up", "silence", "bad gateway"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.usefixtures("pauses")
async def test_a_lost_answer_is_requested_again(
    tmp_path: Path, gateway: Gateway, how: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "silence":
        monkeypatch.setattr(login, "REFRESH", aiohttp.ClientTimeout(total=2))
    gateway.lost = [how] * times
    async with running(tmp_path, gateway):
        await eventually(lambda: gateway.connected)

    assert gateway.refreshed == ["refresh 0"] * (times + 1)
    assert gateway.connected == ["Bearer a1"]
    assert read_identity(tmp_path).refresh_token == "refresh 1"


async def test_requests_to_a_gateway_that_loses_every_answer_are_limited(
    tmp_path: Path, gateway: Gateway, pauses: list[int]
) -> None:
    gateway.lost = ["hang up"] * 20
    async with running(tmp_path, gateway):
        await eventually(lambda: pauses)

    assert gateway.connected == []
    assert gateway.refreshed == ["refresh 0"] * 3
    assert read_identity(tmp_path).refresh_token == "refresh 0"


def test_all_repetitions_end_before_the_gateway_forgets_its_answer() -> None:
    assert login.REFRESH.total is not None
    assert max(AGAIN_SECONDS) < 5
    last_begins = len(AGAIN_SECONDS) * login.REFRESH.total + sum(AGAIN_SECONDS)
    assert last_begins < GRACE_SECONDS
