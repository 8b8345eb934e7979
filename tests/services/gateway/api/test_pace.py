"""How slowly a client may send."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from services.gateway.api.fault import TooSlow
from services.gateway.api.pace import Paced, Patience
from tests.services.gateway.conftest import KEY, PAGE, Keys, Service, open_app
from tests.services.gateway.test_bootstrap import served

BATCH = "/api/v1/events/batch"


class Client:
    """Sends parts of so many bytes after so many seconds each, by a clock of its own."""

    def __init__(self, *parts: tuple[int, float]) -> None:
        self.left = list(parts)
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def __call__(self) -> Any:
        size, seconds = self.left.pop(0)
        self.time += seconds
        return {"type": "http.request", "body": b"x" * size, "more_body": bool(self.left)}


async def taken(client: Client) -> int:
    """How many parts were taken, with 10 s of patience and 100 bytes a second."""
    paced = Paced(client, Patience(seconds=10, rate=100, now=client.now))
    parts = len(client.left)
    for number in range(parts):
        try:
            await paced()
        except TooSlow:
            return number
    return parts


async def test_who_keeps_up_the_rate_may_take_as_long_as_it_takes() -> None:
    assert await taken(Client(*[(100, 1.0)] * 1000)) == 1000


async def test_who_trickles_is_cut_off_when_the_patience_is_used_up() -> None:
    # Every part is late by 0.9 s, which ten seconds pay for eleven times; the twelfth finds none.
    assert await taken(Client(*[(10, 1.0)] * 1000)) == 12


async def test_a_fast_beginning_is_no_credit_for_a_rest() -> None:
    stalled = asyncio.Event()

    async def stall() -> Any:
        if not stalled.is_set():
            stalled.set()
            return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}
        return await asyncio.Event().wait()

    paced = Paced(stall, Patience(seconds=0.05, rate=1))
    await paced()
    async with asyncio.timeout(10):
        with pytest.raises(TooSlow):
            await paced()


async def test_time_in_which_nobody_listens_does_not_count() -> None:
    client = Client(*[(10, 0.0)] * 20)
    paced = Paced(client, Patience(seconds=1, rate=1000, now=client.now))

    for _ in range(20):
        await paced()
        client.time += 60


async def test_who_waits_with_others_is_cut_off_alone() -> None:
    patience = Patience(seconds=0.2, rate=1)
    go_on = asyncio.Event()

    async def late() -> Any:
        await go_on.wait()
        return {"type": "http.request", "body": b"x" * 100}

    async def never() -> Any:
        await asyncio.Event().wait()

    slow = asyncio.create_task(Paced(never, patience)())
    await asyncio.sleep(0)
    go_on.set()
    message = await Paced(late, patience)()
    async with asyncio.timeout(10):
        with pytest.raises(TooSlow):
            await slow

    assert message["body"] == b"x" * 100
    assert slow.cancelling() == 0


async def test_who_gives_up_waiting_is_not_told_of_a_slow_client() -> None:
    patience = Patience(seconds=60, rate=1)

    async def never() -> Any:
        await asyncio.Event().wait()

    waiting = asyncio.create_task(Paced(never, patience)())
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


class Line:
    """A connection on which a request is written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, text: bytes) -> None:
        self.writer.write(text)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All there is until the server hangs up."""
        async with asyncio.timeout(10):
            return await self.reader.read()


@pytest.fixture
async def line(service: Service, keys: Keys) -> AsyncIterator[Line]:
    """To a gateway with little patience."""
    async with (
        open_app(service, keys, body_seconds=0.3, body_bytes_per_second=1_000_000) as app,
        served(app) as url,
    ):
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        yield Line(reader, writer)
        writer.close()
        await writer.wait_closed()


def head(length: int) -> bytes:
    lines = [
        f"POST {BATCH} HTTP/1.1",
        "Host: gateway",
        f"X-API-Key: {KEY}",
        f"Origin: {PAGE}",
        f"Content-Length: {length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def test_a_body_that_stalls_is_answered_and_the_connection_closed(
    line: Line, service: Service
) -> None:
    await line.write(head(100) + b'{"events":')

    answer = await line.rest()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b'{"detail":"The request body came too slowly"}')
    assert b"access-control-allow-origin: " + PAGE.encode() in answer
    assert service.asked == []


async def test_a_body_that_never_begins_is_not_waited_for(line: Line) -> None:
    await line.write(head(100))

    assert (await line.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_large_body_that_trickles_is_cut_off_on_its_way_to_the_service(
    line: Line, service: Service
) -> None:
    await line.write(head(1_000_000) + b"x" * 100_000)
    # Never resting for long, but never fast enough either.
    answering = asyncio.create_task(line.rest())
    while not answering.done():
        try:
            await line.write(b"x")
        except ConnectionError:
            break
        await asyncio.sleep(0.01)

    assert (await answering).startswith(b"HTTP/1.1 408 ")
    assert service.bodies == []


async def test_the_next_request_on_a_patient_connection_is_answered(line: Line) -> None:
    for _ in range(2):
        await line.write(head(13) + b'{"events":[]}')
        answer = await asyncio.wait_for(line.reader.readuntil(b'{"ok": true}'), 10)
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_takes_nothing_does_not_keep_the_service_busy(
    service: Service, keys: Keys
) -> None:
    left = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        finally:
            left.set()

    service.answer = endless
    asking = f"GET /api/v1/export/csv HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {KEY}\r\n\r\n"
    async with (
        open_app(service, keys, idle_seconds=0.3) as app,
        served(app) as url,
    ):
        host, _, port = url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(asking.encode())
        await asyncio.wait_for(left.wait(), 20)
        writer.transport.abort()


async def test_who_has_no_good_key_is_not_waited_for_any_longer(
    service: Service, keys: Keys
) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"events"'
        await asyncio.Event().wait()

    async with (
        open_app(service, keys, body_seconds=0.2) as app,
        served(app) as url,
        aiohttp.ClientSession() as client,
        client.post(f"{url}{BATCH}", data=trickle(), headers={"X-API-Key": "wrong"}) as answer,
    ):
        assert answer.status in (401, 408)
