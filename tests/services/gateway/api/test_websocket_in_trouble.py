"""WebSockets when a side goes away, is too slow, too loud or not allowed any more."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.services.gateway.api.live import (
    LIVE,
    ROOM,
    WITH_KEY,
    Live,
    connected,
    refused,
    shaken,
    standing,
)
from tests.services.gateway.conftest import Exchange, Keys, Service, crooked, open_app, until


@pytest.fixture
def live(service: Service) -> Live:
    """What the service does with WebSockets."""
    made = Live()
    service.answer = made
    return made


async def test_each_handshake_counts_against_the_limit(
    service: Service, keys: Keys, live: Live
) -> None:
    async with standing(service, keys, rate_limit_dashboard="1/hour") as url:
        async with connected(f"{url}{LIVE}"):
            pass
        assert await refused(f"{url}{LIVE}", WITH_KEY) == 429


async def test_only_so_many_are_open_at_once(service: Service, keys: Keys, live: Live) -> None:
    async with standing(service, keys, websocket_connections=1) as url:
        async with connected(f"{url}{LIVE}"):
            assert await refused(f"{url}/live/lobby", {}) == 503
        await asyncio.wait_for(live.over.wait(), 10)
        async with asyncio.timeout(10):
            while True:
                try:
                    async with connected(f"{url}/live/lobby", {}):
                        break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.01)


async def test_a_client_that_vanishes_is_gone_for_the_service_too(
    service: Service, keys: Keys, live: Live
) -> None:
    async with standing(service, keys) as url:
        client = aiohttp.ClientSession()
        socket = await client.ws_connect(f"{url}{LIVE}", headers=WITH_KEY)
        transport = socket.get_extra_info("socket")
        assert transport is not None
        socket._response.close()
        await asyncio.wait_for(live.over.wait(), 10)
        await client.close()

    assert live.closed_with == 1001


async def test_a_service_that_vanishes_does_not_look_as_if_it_had_finished(keys: Keys) -> None:
    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shaken(reader, writer)
        await reader.read(1)

    async with (
        crooked(vanish) as url,
        standing(Service(url=url), keys) as gateway,
        connected(f"{gateway}{LIVE}") as socket,
    ):
        await socket.send_str("anybody?")
        message = await socket.receive(10)

    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)


async def test_a_message_that_is_too_large_ends_it(
    service: Service, keys: Keys, live: Live
) -> None:
    async with standing(service, keys, websocket_max_bytes=1000) as url:
        async with connected(f"{url}{LIVE}") as socket:
            await socket.send_str("ü" * 500)
            assert len(await socket.receive_str(timeout=10)) == 500
            await socket.send_str("ü" * 500 + "!")
            message = await socket.receive(10)
        await asyncio.wait_for(live.over.wait(), 10)

    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1009)
    assert live.closed_with == 1001


async def test_a_message_of_the_service_that_is_too_large_ends_it(
    service: Service, keys: Keys, live: Live
) -> None:
    async with standing(service, keys) as url, connected(f"{url}{LIVE}") as socket:
        await socket.send_str("flood")
        message = await socket.receive(10)

    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)


async def test_a_service_that_answers_no_ping_counts_as_gone(keys: Keys) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shaken(reader, writer)
        while await reader.read(100):
            continue

    async with (
        crooked(deaf) as url,
        standing(Service(url=url), keys, websocket_ping_seconds=0.1) as gateway,
        connected(f"{gateway}{LIVE}") as socket,
    ):
        message = await socket.receive(10)

    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1011)


async def test_a_revoked_key_loses_its_open_sockets(
    service: Service, keys: Keys, live: Live
) -> None:
    fresh = {"key_fresh_seconds": 0, "websocket_recheck_seconds": 0.05}
    async with standing(service, keys, **fresh) as url, connected(f"{url}{LIVE}") as socket:
        await socket.send_str("still here")
        assert await socket.receive_str(timeout=10) == "STILL HERE"
        keys.callers.clear()
        message = await socket.receive(10)

    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_sockets_stay_open_while_nobody_can_tell_whether_the_key_is_good(
    service: Service, keys: Keys, live: Live
) -> None:
    looked = 0
    look_up = keys.look_up

    async def counted(hashed: str) -> Any:
        nonlocal looked
        looked += 1
        return await look_up(hashed)

    keys.look_up = counted  # type: ignore[method-assign]
    fresh = {"key_fresh_seconds": 0, "websocket_recheck_seconds": 0.05}
    async with standing(service, keys, **fresh) as url, connected(f"{url}{LIVE}") as socket:
        keys.away = True
        asked = looked
        await until(lambda: looked > asked + 1)
        await socket.send_str("still here")
        assert await socket.receive_str(timeout=10) == "STILL HERE"


@pytest.mark.parametrize(("says", "status"), [(403, 403), (404, 404), (503, 503), (302, 502)])
async def test_what_the_service_refuses_is_refused(
    service: Service, keys: Keys, says: int, status: int
) -> None:
    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=says, headers={"Location": "http://127.0.0.1:1/"})

    service.answer = refuse
    async with standing(service, keys) as url:
        assert await refused(f"{url}{LIVE}", WITH_KEY) == status

    assert len(service.asked) == 1


async def test_a_service_that_is_away_or_too_slow_is_worth_another_try(
    service: Service, keys: Keys
) -> None:
    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    service.answer = never
    async with standing(service, keys, websocket_handshake_seconds=0.2) as url:
        assert await refused(f"{url}{LIVE}", WITH_KEY) == 504
    async with standing(Service(url="http://127.0.0.1:1"), keys) as url:
        assert await refused(f"{url}{LIVE}", WITH_KEY) == 503


async def test_an_open_socket_does_not_hold_up_the_end_of_the_gateway(
    service: Service, keys: Keys, live: Live
) -> None:
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(20), standing(service, keys) as url:
            socket = await client.ws_connect(f"{url}{LIVE}", headers=WITH_KEY)

        # What the server leaves behind, the end of the event loop cancels.
        (left,) = [task for task in asyncio.all_tasks() if "future_watcher" in str(task.get_coro())]
        left.cancel()
        await asyncio.wait_for(live.over.wait(), 10)

    assert live.closed_with == 1001
    assert not socket.closed


async def test_a_server_that_cannot_answer_a_handshake_closes_it(
    service: Service, keys: Keys
) -> None:
    exchange = Exchange()
    scope = {
        "type": "websocket",
        "path": LIVE,
        "raw_path": LIVE.encode(),
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "scheme": "ws",
    }
    exchange.incoming.put_nowait({"type": "websocket.connect"})
    async with open_app(service, keys, doors=(ROOM,)) as app:
        await app(scope, exchange.receive, exchange.send)

    assert await exchange.next() == {"type": "websocket.close", "code": 1008}
