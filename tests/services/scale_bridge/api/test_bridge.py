"""The service's door for daemons: who may knock, with which key, and what they may say."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import pytest

from libs.security.sealed_box import generate_private, public_of
from services.scale_bridge.adapters import bridge_wire
from services.scale_bridge.domain.bridge_message import (
    MISUNDERSTOOD,
    SUPERSEDED,
    VERSION,
    Heard,
    Heartbeat,
    Hello,
    Message,
    Part,
    Ready,
    Report,
    Reported,
    Settled,
    Stage,
    Welcome,
    Work,
)
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import daemon, enrolled
from tests.services.scale_bridge.bridging import (
    BRIDGE,
    OWNER,
    PASSWORD,
    House,
    standing,
    until,
)

HELLO: Final = Hello(version=VERSION, program="test", holding=())
KEY: Final = {"public_key": b64encode(public_of(generate_private())).decode(), "name": "back room"}


def told(house: House, **different: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.bearer(**different)}"}


async def shown(client: aiohttp.ClientSession, house: House, **different: Any) -> int:
    url = f"{house.url}/scales/bridges/key"
    async with client.post(url, json=KEY | different, headers=told(house)) as answer:
        return answer.status


async def say(socket: aiohttp.ClientWebSocketResponse, message: Message) -> None:
    await socket.send_str(bridge_wire.written(message))


async def hear(socket: aiohttp.ClientWebSocketResponse) -> Message:
    return bridge_wire.read(await socket.receive_str(timeout=10))


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    while (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
        pass
    return socket.close_code


async def test_a_daemon_shows_one_key_and_no_other(database: str) -> None:
    other = b64encode(public_of(generate_private())).decode()
    async with standing(database) as house, aiohttp.ClientSession() as client:
        assert await shown(client, house) == 204
        assert await shown(client, house, name="shop floor") == 204
        assert await shown(client, house, public_key=other) == 409
        for bad in ("", "AAAA", b64encode(bytes(32)).decode(), "no base64!", "A" * 1000):
            assert await shown(client, house, public_key=bad) == 422


async def test_only_daemons_may_knock(database: str) -> None:
    async with standing(database) as house, aiohttp.ClientSession() as client:
        for headers, status in (({}, 401), (told(house, scopes=["scales:write"]), 403)):
            async with client.post(
                f"{house.url}/scales/bridges/key", json=KEY, headers=headers
            ) as answer:
                assert answer.status == status
            with pytest.raises(aiohttp.WSServerHandshakeError) as no:
                await client.ws_connect(f"{house.url}/scales/bridge", headers=headers)
            assert no.value.status == status
        async with client.get(f"{house.url}/scales/bridges", headers=told(house)) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"v":1,"type":"Hello","data":{}}',
        '{"v":2,"type":"Hello","data":{"version":2,"program":"","holding":[]}}',
        '{"v":1,"type":"Goodbye","data":{}}',
        bridge_wire.written(Ready(room=3)),
        bridge_wire.written(Welcome(version=1)),
        "[" * 100_000,
    ],
)
async def test_who_does_not_greet_is_not_listened_to(database: str, text: str) -> None:
    async with standing(database) as house, aiohttp.ClientSession() as client:
        await shown(client, house)
        url = f"{house.url}/scales/bridge"
        async with client.ws_connect(url, headers=told(house)) as socket:
            await socket.send_str(text)
            assert await closed(socket) == MISUNDERSTOOD


async def test_whoever_has_shown_no_key_gets_no_work(database: str) -> None:
    async with standing(database) as house, aiohttp.ClientSession() as client:
        url = f"{house.url}/scales/bridge"
        async with client.ws_connect(url, headers=told(house)) as socket:
            await say(socket, HELLO)
            assert await closed(socket) == MISUNDERSTOOD


async def test_nonsense_after_the_greeting_ends_it(database: str) -> None:
    report = Report(stage=Stage.ENDED, attempt=1, outcome="done", content="0" * 32)
    lonely = Reported(operation_id=uuid4(), number=1, report=report, seconds_ago=0.0)
    async with standing(database) as house, aiohttp.ClientSession() as client:
        await shown(client, house)
        for nonsense in (
            Heard(),
            lonely,
            Part(md5="x", number=1, of=2, data=b""),
            Part(md5="x", number=0, of=1, data=b"no catalogue"),
        ):
            url = f"{house.url}/scales/bridge"
            async with client.ws_connect(url, headers=told(house)) as socket:
                await say(socket, HELLO)
                assert isinstance(await hear(socket), Welcome)
                await say(socket, nonsense)
                assert await closed(socket) == MISUNDERSTOOD


async def test_a_report_of_nothing_is_settled_and_forgotten(database: str) -> None:
    report = Report(stage=Stage.ENDED, attempt=1, outcome="done")
    of_nothing = Reported(operation_id=uuid4(), number=7, report=report, seconds_ago=0.0)
    async with standing(database) as house, aiohttp.ClientSession() as client:
        await shown(client, house)
        url = f"{house.url}/scales/bridge"
        async with client.ws_connect(url, headers=told(house)) as socket:
            await say(socket, HELLO)
            await hear(socket)
            await say(socket, of_nothing)
            settled = await hear(socket)

    assert settled == Settled(operation_id=of_nothing.operation_id, number=7)


async def test_the_newest_connection_counts(database: str) -> None:
    async with standing(database) as house, aiohttp.ClientSession() as client:
        await shown(client, house)
        url = f"{house.url}/scales/bridge"
        async with client.ws_connect(url, headers=told(house)) as old:
            await say(old, HELLO)
            await hear(old)
            async with client.ws_connect(url, headers=told(house)) as new:
                await say(new, HELLO)
                await hear(new)
                assert await closed(old) == SUPERSEDED
                await say(new, Heartbeat(working=0, completed=0, last_completed_seconds_ago=None))
                assert isinstance(await hear(new), Heard)


async def test_work_goes_out_once_and_again_to_who_lost_it(database: str) -> None:
    async with (
        standing(database) as house,
        aiohttp.ClientSession() as client,
        a_scale(3, password=PASSWORD) as scale,
    ):
        await shown(client, house)
        device_id = await house.device(scale)
        operation_id = await house.order(device_id, "fetch")
        url = f"{house.url}/scales/bridge"
        async with client.ws_connect(url, headers=told(house)) as socket:
            await say(socket, HELLO)
            await hear(socket)
            await say(socket, Ready(room=5))
            work = await hear(socket)
            assert isinstance(work, Work)
            assert (work.operation_id, work.kind) == (operation_id, "fetch")
            # Not before the claim has run out several times.
            with pytest.raises(asyncio.TimeoutError):
                await socket.receive_str(timeout=5)
        async with client.ws_connect(url, headers=told(house)) as socket:
            await say(socket, HELLO)
            await hear(socket)
            await say(socket, Ready(room=5))
            again = await hear(socket)
            assert isinstance(again, Work)
            assert again.operation_id == operation_id
            assert again.password != work.password


async def test_health_is_exchanges_with_scales_and_nothing_else(
    database: str, tmp_path: Path
) -> None:
    async with (
        standing(database) as house,
        aiohttp.ClientSession() as client,
        a_scale(3, "idle", password=PASSWORD) as scale,
    ):

        async def listed() -> list[dict[str, Any]]:
            headers = told(house, scopes=["scales:read"], subject=str(OWNER))
            async with client.get(f"{house.url}/scales/bridges", headers=headers) as answer:
                said: list[dict[str, Any]] = await answer.json()
                return said

        async def is_connected() -> bool:
            return [one["connected"] for one in await listed()] == [True]

        enrolled(tmp_path, house.url)
        async with daemon(tmp_path):
            await until(is_connected)
            device_id = await house.device(scale)
            assert (await house.done(device_id, "fetch")).outcome == "failed"
            [bridge] = await listed()
            assert bridge["id"] == str(BRIDGE)
            assert bridge["name"] == "back room"
            assert (bridge["exchanges"], bridge["last_exchange_at"]) == (0, None)
            scale.scale.faults.set([])
            assert (await house.done(device_id, "fetch")).outcome == "done"

            async def has_exchanged() -> bool:
                return [one["exchanges"] for one in await listed()] == [1]

            await until(has_exchanged)
            assert (await listed())[0]["last_exchange_at"] is not None

        async def is_gone() -> bool:
            return [one["connected"] for one in await listed()] == [False]

        await until(is_gone)
        for other in ({"tenant": "birch", "subject": str(OWNER)}, {"subject": str(uuid4())}):
            foreign = told(house, scopes=["scales:read"], **other)
            async with client.get(f"{house.url}/scales/bridges", headers=foreign) as answer:
                assert json.loads(await answer.text()) == []
