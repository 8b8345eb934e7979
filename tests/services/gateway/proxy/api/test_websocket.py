"""WebSockets through a door, on a real server, to a real service behind it.

Also when a side goes away, is too slow, too loud or not allowed any more.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web

from libs.security.tokens import SigningKey
from libs.testing.polling import eventually
from libs.testing.servers import AsgiExchange, tcp_server
from tests.services.gateway.app import PAGE, READER, Keys, Service, open_app
from tests.services.gateway.doorstep import access_token
from tests.services.gateway.live import (
    BALCONY,
    LIVE,
    PATIENCE,
    ROOM,
    WITH_KEY,
    Live,
    Room,
    connected,
    refused,
    shaken,
)
from tests.services.gateway.test_bootstrap import served

CLOSE = aiohttp.WSMsgType.CLOSE
FRESH: dict[str, Any] = {"key_fresh_seconds": 0, "websocket_recheck_seconds": 0.05}


@pytest.fixture
def live(service: Service) -> Live:
    """What the service does with WebSockets."""
    service.answer = made = Live()
    return made


@pytest.fixture
def room(service: Service, keys: Keys, live: Live) -> Room:
    """Opens gateways in front of it, and sockets in them."""
    return Room(service, keys)


async def test_messages_go_both_ways_as_they_are(room: Room, service: Service) -> None:
    async with room.socket("?since=7") as socket:
        await socket.send_str("grüße")
        first = await socket.receive(PATIENCE)
        await socket.send_bytes(b"\x00\x01\xff")
        second = await socket.receive(PATIENCE)

    assert (first.type, first.data) == (aiohttp.WSMsgType.TEXT, "GRÜSSE")
    assert (second.type, second.data) == (aiohttp.WSMsgType.BINARY, b"\xff\x01\x00")
    assert service.requests[0].rel_url.raw_path_qs == f"{LIVE}?since=7"


async def test_the_service_gets_an_internal_token_and_not_the_key(
    room: Room, service: Service
) -> None:
    headers = WITH_KEY | {"Authorization": "Bearer mine", "X-Tenant": "other", "Cookie": "a=b"}
    async with room.open() as url, connected(f"{url}/room{LIVE}", headers):
        pass

    shown = service.requests[0].headers
    token = shown["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["tenant"], claims["aud"]) == ("demo", "ingest")
    assert {"X-API-Key", "X-Tenant", "Cookie"}.isdisjoint(shown)
    assert shown["X-Forwarded-For"] == "127.0.0.1"
    assert shown["X-Request-Id"]


@pytest.fixture
async def balcony(
    service: Service, keys: Keys, live: Live
) -> AsyncIterator[tuple[str, SigningKey]]:
    """A gateway with a door for scripts of pages, and the key of its tokens."""
    key = SigningKey.generate()
    options: dict[str, Any] = {"doors": (BALCONY,), "signing_key": key.to_pem(), **FRESH}
    async with open_app(service, keys, **options) as app, served(app) as url:
        yield url, key


async def test_a_script_of_a_page_sends_its_token_in_the_query_and_the_service_does_not_get_it(
    balcony: tuple[str, SigningKey],
    service: Service,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, key = balcony
    token = access_token(key, ["scan:read"])
    async with connected(f"{url}{LIVE}?a=%20b&token={token}&last_event_id=7", {}) as socket:
        await socket.send_str("here")
        assert await socket.receive_str(timeout=PATIENCE) == "HERE"

    [request] = service.requests
    assert request.rel_url.raw_path_qs == f"{LIVE}?a=%20b&last_event_id=7"
    bearer = request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(bearer, options={"verify_signature": False})
    assert (claims["tenant"], claims["aud"]) == ("demo", "ingest")
    captured = capfd.readouterr()
    assert token not in captured.out + captured.err + caplog.text


@pytest.mark.parametrize(
    "query",
    ["", "?token=", "?token=null", "?token={scanner}", "?token={reader}&%74oken={reader}"],
)
async def test_a_script_of_a_page_without_permission_sees_the_close_code(
    balcony: tuple[str, SigningKey], service: Service, query: str
) -> None:
    url, key = balcony
    reader, scanner = access_token(key, ["scan:read"]), access_token(key, ["scan:write"])
    query = query.format(reader=reader, scanner=scanner)
    async with connected(f"{url}{LIVE}{query}", {}) as socket:
        last = await socket.receive(PATIENCE)

    assert (last.type, last.data) == (CLOSE, 1008)
    assert service.requests == []


async def test_a_socket_ends_with_the_token_of_its_query(
    balcony: tuple[str, SigningKey], live: Live
) -> None:
    url, key = balcony
    token = access_token(key, ["scan:read"], lifetime=timedelta(seconds=2))
    async with connected(f"{url}{LIVE}?token={token}", {}) as socket:
        last = await socket.receive(PATIENCE)

    assert (last.type, last.data) == (CLOSE, 1008)
    assert await live.closed() == 1001


async def test_the_subprotocol_is_what_the_service_chose(room: Room) -> None:
    async with room.open() as url, connected(f"{url}{LIVE}", protocols=("v1", "v9")) as socket:
        assert socket.protocol == "v1"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (LIVE, {}, 401),
        (LIVE, {"X-API-Key": "wrong"}, 401),
        (LIVE, {"X-API-Key": READER}, 403),
        (LIVE, WITH_KEY | {"Origin": "https://evil.example"}, 403),
        ("/live/nowhere", WITH_KEY, 404),
        ("/plain", WITH_KEY, 404),
        ("/elsewhere", WITH_KEY, 404),
        ("/live/%2e%2e/metrics", WITH_KEY, 400),
        (f"{LIVE}?{'x' * 20_000}", WITH_KEY, 414),
        (LIVE, WITH_KEY | {"X-Much": "x" * 40_000}, 431),
    ],
    ids=range(10),
)
async def test_an_unauthorised_client_is_refused_before_the_handshake(
    room: Room, service: Service, path: str, headers: dict[str, str], status: int
) -> None:
    async with room.open() as url:
        assert await refused(f"{url}{path}", headers) == status

    assert service.requests == []


@pytest.mark.parametrize("origin", [PAGE, "the gateway's own"])
async def test_pages_that_may_call_may_connect(room: Room, origin: str) -> None:
    async with room.open() as url:
        headers = WITH_KEY | {"Origin": origin if origin == PAGE else url}
        async with connected(f"{url}{LIVE}", headers) as socket:
            await socket.send_str("here")
            assert await socket.receive_str(timeout=PATIENCE) == "HERE"


@pytest.mark.parametrize(
    ("headers", "status", "detail"),
    [
        # Who asks for a socket without a key can read why there is none.
        (
            {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            },
            401,
            "Invalid or missing API key",
        ),
        # Who only gets is told to upgrade.
        (WITH_KEY, 426, None),
    ],
    ids=("no key", "no upgrade"),
)
async def test_a_refusal_can_be_read(
    room: Room, headers: dict[str, str], status: int, detail: str | None
) -> None:
    async with (
        room.open() as url,
        aiohttp.ClientSession() as client,
        client.get(f"{url}{LIVE}", headers=headers) as answer,
    ):
        assert answer.status == status
        if detail is None:
            assert answer.headers["Upgrade"] == "websocket"
        else:
            assert await answer.json() == {"detail": detail}


@pytest.mark.parametrize(
    ("settings", "messages", "code", "reason"),
    [
        # The service closed.
        *(
            ({}, [f"close {code}"], code, "as you wish")
            for code in (1000, 1001, 1008, 1011, 1013, 3000, 4999)
        ),
        # A message of the client, or of the service, was too large.
        ({"websocket_max_bytes": 1000}, ["ü" * 500, "ü" * 500 + "!"], 1009, None),
        ({}, ["flood"], 1011, None),
        # The key was revoked meanwhile.
        (FRESH, ["revoke"], 1008, None),
    ],
    ids=range(10),
)
async def test_the_client_gets_the_close_code_of_the_service(
    room: Room, live: Live, keys: Keys, settings: Any, messages: list[str], code: int, reason: Any
) -> None:
    async with room.open(**settings) as url:
        async with connected(f"{url}{LIVE}") as socket:
            for message in messages:
                await socket.send_str(message)
                if settings and message is messages[0]:  # it still goes both ways
                    assert await socket.receive_str(timeout=PATIENCE) == message.upper()
            if messages == ["revoke"]:
                keys.callers.clear()
            last = await socket.receive(PATIENCE)
        closed = await live.closed()

    assert (last.type, last.data) == (CLOSE, code)
    assert reason is None or last.extra == reason
    assert code != 1009 or closed == 1001


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4321])
async def test_the_service_gets_the_close_code_of_the_client(
    room: Room, live: Live, code: int
) -> None:
    async with room.open() as url:
        async with connected(f"{url}{LIVE}") as socket:
            await socket.close(code=code)
        assert await live.closed() == code


async def test_pings_are_answered_on_both_sides(room: Room) -> None:
    async with room.open() as url, connected(f"{url}{LIVE}", autoping=False) as socket:
        await socket.ping(b"there?")
        pong = await socket.receive(PATIENCE)
        # A service that is not answered would have closed the connection at its next heartbeat.
        await socket.send_str("ping")
        pinged = await socket.receive(PATIENCE)

    assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"there?")
    assert pinged.data == "pinged"


async def test_each_handshake_counts_against_the_limit(room: Room) -> None:
    async with room.open(rate_limit_dashboard="1/hour") as url:
        async with connected(f"{url}{LIVE}"):
            pass
        assert await refused(f"{url}{LIVE}", WITH_KEY) == 429


async def test_only_so_many_are_open_at_once(room: Room, live: Live) -> None:
    async with room.open(websocket_connections=1) as url:
        async with connected(f"{url}{LIVE}"):
            assert await refused(f"{url}/live/lobby", {}) == 503
        await live.closed()

        async def enters() -> bool:
            try:
                async with connected(f"{url}/live/lobby", {}):
                    return True
            except aiohttp.WSServerHandshakeError:
                return False

        assert await eventually(enters, what="a free place")


async def test_a_client_that_vanishes_is_gone_for_the_service_too(room: Room, live: Live) -> None:
    async with room.open() as url, aiohttp.ClientSession() as client:
        socket = await client.ws_connect(f"{url}{LIVE}", headers=WITH_KEY)
        socket._response.close()
        assert await live.closed() == 1001


@pytest.mark.parametrize("how", ["vanishes", "answers no ping"])
async def test_an_answer_of_a_lost_service_is_not_complete(keys: Keys, how: str) -> None:
    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shaken(reader, writer)
        while await reader.read(100) and how != "vanishes":
            continue

    pings = {} if how == "vanishes" else {"websocket_ping_seconds": 0.1}
    async with (
        tcp_server(gone) as url,
        Room(Service(url=url), keys).open(**pings) as gateway,
        connected(f"{gateway}{LIVE}") as socket,
    ):
        if how == "vanishes":
            await socket.send_str("anybody?")
        message = await socket.receive(PATIENCE)

    assert (message.type, message.data) == (CLOSE, 1011)


async def test_sockets_stay_open_while_the_keys_are_out_of_reach(room: Room, keys: Keys) -> None:
    looked, look_up = 0, keys.look_up

    async def counted(hashed: str) -> Any:
        nonlocal looked
        looked += 1
        return await look_up(hashed)

    keys.look_up = counted  # type: ignore[method-assign]
    async with room.socket(**FRESH) as socket:
        keys.away = True
        before = looked
        await eventually(lambda: looked > before + 1, what="two looks at the key")
        await socket.send_str("still here")
        assert await socket.receive_str(timeout=PATIENCE) == "STILL HERE"


@pytest.mark.parametrize(
    ("answer", "status"),
    [(403, 403), (404, 404), (503, 503), (302, 502), ("never", 504), ("away", 503)],
)
async def test_what_the_service_refuses_or_does_not_answer_is_refused(
    service: Service, keys: Keys, answer: Any, status: int
) -> None:
    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        if answer == "never":
            await asyncio.Event().wait()
        return web.Response(status=answer, headers={"Location": "http://127.0.0.1:1/"})

    service.answer = refuse
    behind = Service(url="http://127.0.0.1:1") if answer == "away" else service
    limit = {"websocket_handshake_seconds": 0.2} if answer == "never" else {}
    async with Room(behind, keys).open(**limit) as url:
        assert await refused(f"{url}{LIVE}", WITH_KEY) == status

    assert len(service.requests) == (answer != "away")


async def test_an_open_socket_does_not_hold_up_the_end(room: Room, live: Live) -> None:
    async with aiohttp.ClientSession() as client:
        async with asyncio.timeout(PATIENCE), room.open() as url:
            socket = await client.ws_connect(f"{url}{LIVE}", headers=WITH_KEY)

        # What the server leaves behind, the end of the event loop cancels.
        (left,) = [task for task in asyncio.all_tasks() if "future_watcher" in str(task.get_coro())]
        left.cancel()
        assert await live.closed() == 1001
        assert not socket.closed


async def test_a_server_that_cannot_refuse_closes(service: Service, keys: Keys) -> None:
    exchange = AsgiExchange()
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
