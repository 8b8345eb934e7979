"""The WebSocket and the key of agents: callers, keys and messages that are accepted."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import pytest

from libs.clock import utc_now
from libs.security.sealed_box import generate_private, public_of
from libs.testing.polling import PATIENCE_SECONDS, eventually
from services.scale_bridge.bridges.adapters import wire
from services.scale_bridge.bridges.domain import (
    MISUNDERSTOOD,
    SUPERSEDED,
    VERSION,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    Message,
    Part,
    Ready,
    Report,
    Reported,
    ReportStage,
    Settled,
    Welcome,
    Work,
)
from services.scale_bridge.transfer.domain import failure_texts
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.remote import (
    BRIDGE,
    OWNER,
    PASSWORD,
    Remote,
    credentials,
    open_agent,
    open_remote,
)

HELLO: Final = Hello(version=VERSION, program="test", holding=())
KEY: Final = {"public_key": b64encode(public_of(generate_private())).decode(), "name": "back room"}


class Agent:
    """The agent's end of a connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, message: Message) -> None:
        await self.socket.send_str(wire.written(message))

    async def receive(self, seconds: float = PATIENCE_SECONDS) -> Message:
        return wire.read(await self.socket.receive_str(timeout=seconds))

    async def close_code(self) -> int | None:
        """The code with which the service closes the connection."""
        while (await self.socket.receive(timeout=PATIENCE_SECONDS)).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.socket.close_code


@asynccontextmanager
async def connected(remote: Remote, *, greets: bool = True) -> AsyncIterator[Agent]:
    """A connection of the agent; welcomed if it `greets`."""
    url = f"{remote.url}/scales/bridge"
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(url, headers=credentials()) as socket,
    ):
        agent = Agent(socket)
        if greets:
            await agent.send(HELLO)
            assert isinstance(await agent.receive(), Welcome)
        yield agent


async def put_key(remote: Remote, headers: dict[str, str] | None = None, **different: Any) -> int:
    """Register the agent's key; the status of the answer."""
    url = f"{remote.url}/scales/bridges/key"
    given = credentials() if headers is None else headers
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, json=KEY | different, headers=given) as answer,
    ):
        return answer.status


@pytest.fixture
async def remote(database: str, tmp_path: Path) -> AsyncIterator[Remote]:
    async with open_remote(database, tmp_path) as remote:
        yield remote


async def test_an_agent_has_one_key(remote: Remote) -> None:
    other = b64encode(public_of(generate_private())).decode()
    for name in ("back room", "shop floor"):
        assert await put_key(remote, name=name) == 204
    assert await put_key(remote, public_key=other) == 409
    for bad in ("", "AAAA", b64encode(bytes(32)).decode(), "no base64!", "A" * 1000):
        assert await put_key(remote, public_key=bad) == 422


async def test_only_agents_may_connect(remote: Remote) -> None:
    """An agent without a key gets no tasks."""
    async with aiohttp.ClientSession() as client:
        for headers, status in (({}, 401), (credentials(["scales:write"]), 403)):
            assert await put_key(remote, headers) == status
            with pytest.raises(aiohttp.WSServerHandshakeError) as no:
                await client.ws_connect(f"{remote.url}/scales/bridge", headers=headers)
            assert no.value.status == status
    async with connected(remote, greets=False) as agent:
        await agent.send(HELLO)
        assert await agent.close_code() == MISUNDERSTOOD


async def test_an_invalid_message_ends_the_connection(
    remote: Remote,
) -> None:
    await put_key(remote)
    for text in (
        *("", "{", "[]", "[" * 100_000, '{"v":1,"type":"Hello","data":{}}'),
        '{"v":2,"type":"Hello","data":{"version":2,"program":"","holding":[]}}',
        '{"v":1,"type":"Goodbye","data":{}}',
        wire.written(Ready(room=3)),
        wire.written(Welcome(version=1)),
    ):
        async with connected(remote, greets=False) as agent:
            await agent.socket.send_str(text)
            assert await agent.close_code() == MISUNDERSTOOD, text[:100]
    report = Report(stage=ReportStage.ENDED, attempt=1, outcome="done", content="0" * 32)
    for nonsense in (
        HeartbeatAnswer(),
        Reported(operation_id=uuid4(), number=1, report=report, seconds_ago=0.0),
        Part(md5="x", number=1, of=2, data=b""),
        Part(md5="x", number=0, of=1, data=b"no catalogue"),
    ):
        async with connected(remote) as agent:
            await agent.send(nonsense)
            assert await agent.close_code() == MISUNDERSTOOD, nonsense


async def test_a_report_of_an_unknown_task_is_settled(remote: Remote) -> None:
    report = Report(stage=ReportStage.ENDED, attempt=1, outcome="done")
    of_nothing = Reported(operation_id=uuid4(), number=7, report=report, seconds_ago=0.0)
    await put_key(remote)
    async with connected(remote) as agent:
        await agent.send(of_nothing)
        settled = await agent.receive()

    assert settled == Settled(operation_id=of_nothing.operation_id, number=7)


async def test_the_newest_connection_counts(remote: Remote) -> None:
    await put_key(remote)
    async with connected(remote) as old, connected(remote) as new:
        assert await old.close_code() == SUPERSEDED
        await new.send(Heartbeat(working=0, completed=0, last_completed_seconds_ago=None))
        assert isinstance(await new.receive(), HeartbeatAnswer)


async def test_a_task_is_sent_once_and_again_to_an_agent_that_lost_it(remote: Remote) -> None:
    await put_key(remote)
    async with a_scale(3, password=PASSWORD) as scale:
        operation_id = await remote.order(await remote.register(scale), "fetch")
        works: list[Work] = []
        for _ in range(2):
            async with connected(remote) as agent:
                await agent.send(Ready(room=5))
                work = await agent.receive()
                assert isinstance(work, Work)
                assert (work.operation_id, work.kind) == (operation_id, "fetch")
                works.append(work)
                if len(works) == 1:
                    # Not before the claim has run out several times.
                    with pytest.raises(asyncio.TimeoutError):
                        await agent.receive(seconds=5)
        assert works[0].password != works[1].password


@pytest.mark.parametrize(("kind", "outcome"), [("upload", "unknown"), ("fetch", "failed")], ids=str)
async def test_an_assigned_task_without_a_report_is_unknown(
    remote: Remote, kind: str, outcome: str
) -> None:
    async with a_scale(4, password=PASSWORD) as scale:
        async with open_agent(remote):
            device_id = await remote.read(scale)
        await remote.set_price(device_id, 1, 5.5)
        operation_id = await remote.order(device_id, kind)
        async with connected(remote) as agent:
            await agent.send(Ready(room=1))
            while not isinstance(await agent.receive(), Work):
                pass
        hours = timedelta(hours=1)
        remote.context = replace(remote.context, clock=lambda: utc_now() + hours)

        async def is_over() -> bool:
            await remote.sweep()
            return bool(await remote.ends(operation_id))

        await eventually(is_over)
        ended = await remote.end(operation_id)
        assert (ended.outcome, ended.code) == (outcome, "NoReport")
        assert (failure_texts.UNKNOWN_OUTCOME_TEXT in ended.detail) is (outcome == "unknown")
        assert (await remote.copy(device_id)).dirty


async def test_the_health_of_an_agent_is_its_exchanges_with_scales(remote: Remote) -> None:
    async def list_agents(**caller: Any) -> list[dict[str, Any]]:
        headers = credentials(["scales:read"], **{"subject": OWNER, **caller})
        url = f"{remote.url}/scales/bridges"
        async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
            bridges: list[dict[str, Any]] = await answer.json()
            return bridges

    async def field(name: str) -> list[Any]:
        return [one[name] for one in await list_agents()]

    async with a_scale(3, "idle", password=PASSWORD) as scale, open_agent(remote):
        await eventually(lambda: field("connected"), [True])
        device_id = await remote.register(scale)
        assert (await remote.done(device_id, "fetch")).outcome == "failed"
        [bridge] = await list_agents()
        assert (bridge["id"], bridge["name"]) == (str(BRIDGE), "back room")
        assert (bridge["exchanges"], bridge["last_exchange_at"]) == (0, None)
        scale.faults.set([])
        assert (await remote.done(device_id, "fetch")).outcome == "done"
        await eventually(lambda: field("exchanges"), [1])
        assert (await list_agents())[0]["last_exchange_at"] is not None

    await eventually(lambda: field("connected"), [False])
    assert await list_agents(tenant="birch") == []
    assert await list_agents(subject=uuid4()) == []
