"""WebSockets through a door, on a real server, to a real service behind it."""

import asyncio

import aiohttp
import jwt
import pytest

from tests.services.gateway.api.live import (
    LIVE,
    WITH_KEY,
    Live,
    connected,
    refused,
    standing,
)
from tests.services.gateway.conftest import PAGE, READER, Keys, Service


@pytest.fixture
def live(service: Service) -> Live:
    """What the service does with WebSockets."""
    made = Live()
    service.answer = made
    return made


async def test_messages_go_both_ways_as_they_are(service: Service, keys: Keys, live: Live) -> None:
    async with standing(service, keys) as url, connected(f"{url}{LIVE}?since=7") as socket:
        await socket.send_str("grüße")
        first = await socket.receive(10)
        await socket.send_bytes(b"\x00\x01\xff")
        second = await socket.receive(10)

    assert (first.type, first.data) == (aiohttp.WSMsgType.TEXT, "GRÜSSE")
    assert (second.type, second.data) == (aiohttp.WSMsgType.BINARY, b"\xff\x01\x00")
    assert service.asked[0].rel_url.raw_path_qs == f"{LIVE}?since=7"


async def test_the_service_is_shown_a_pass_and_not_the_key(
    service: Service, keys: Keys, live: Live
) -> None:
    headers = WITH_KEY | {"Authorization": "Bearer mine", "X-Tenant": "other", "Cookie": "a=b"}
    async with standing(service, keys) as url, connected(f"{url}/room{LIVE}", headers):
        pass

    told = service.asked[0].headers
    claims = jwt.decode(
        told["Authorization"].removeprefix("Bearer "), options={"verify_signature": False}
    )
    assert (claims["tenant"], claims["aud"]) == ("demo", "ingest")
    assert {"X-API-Key", "X-Tenant", "Cookie"}.isdisjoint(told)
    assert told["X-Forwarded-For"] == "127.0.0.1"
    assert told["X-Request-Id"]


async def test_the_subprotocol_is_what_the_service_chose(
    service: Service, keys: Keys, live: Live
) -> None:
    async with (
        standing(service, keys) as url,
        connected(f"{url}{LIVE}", protocols=("v1", "v9")) as socket,
    ):
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
)
async def test_who_may_not_pass_is_told_before_the_handshake_is_done(
    service: Service, keys: Keys, live: Live, path: str, headers: dict[str, str], status: int
) -> None:
    async with standing(service, keys) as url:
        assert await refused(f"{url}{path}", headers) == status

    assert service.asked == []


@pytest.mark.parametrize("origin", [PAGE, "the gateway's own"])
async def test_pages_that_may_call_may_connect(
    service: Service, keys: Keys, live: Live, origin: str
) -> None:
    async with standing(service, keys) as url:
        headers = WITH_KEY | {"Origin": origin if origin == PAGE else url}
        async with connected(f"{url}{LIVE}", headers) as socket:
            await socket.send_str("here")
            assert await socket.receive_str(timeout=10) == "HERE"


async def test_a_refusal_can_be_read(service: Service, keys: Keys) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    async with (
        standing(service, keys) as url,
        aiohttp.ClientSession() as client,
        client.get(f"{url}{LIVE}", headers=upgrade) as answer,
    ):
        assert answer.status == 401
        assert await answer.json() == {"detail": "Invalid or missing API key"}


async def test_who_only_gets_is_told_to_upgrade(service: Service, keys: Keys) -> None:
    async with (
        standing(service, keys) as url,
        aiohttp.ClientSession() as client,
        client.get(f"{url}{LIVE}", headers=WITH_KEY) as answer,
    ):
        assert answer.status == 426
        assert answer.headers["Upgrade"] == "websocket"


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1013, 3000, 4999])
async def test_the_client_is_told_why_the_service_closed(
    service: Service, keys: Keys, live: Live, code: int
) -> None:
    async with standing(service, keys) as url, connected(f"{url}{LIVE}") as socket:
        await socket.send_str(f"close {code}")
        message = await socket.receive(10)

    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert message.extra == "as you wish"


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4321])
async def test_the_service_is_told_why_the_client_closed(
    service: Service, keys: Keys, live: Live, code: int
) -> None:
    async with standing(service, keys) as url:
        async with connected(f"{url}{LIVE}") as socket:
            await socket.close(code=code)
        await asyncio.wait_for(live.over.wait(), 10)

    assert live.closed_with == code


async def test_pings_are_answered_on_both_sides(service: Service, keys: Keys, live: Live) -> None:
    async with (
        standing(service, keys) as url,
        connected(f"{url}{LIVE}", autoping=False) as socket,
    ):
        await socket.ping(b"there?")
        pong = await socket.receive(10)
        # A service that is not answered would have closed the connection at its next heartbeat.
        await socket.send_str("ping")
        pinged = await socket.receive(10)

    assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"there?")
    assert pinged.data == "pinged"
