"""Forwarding requests to a service, also to one that is away, slow, broken or cut off."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count

import pytest
from aiohttp import web

from libs.testing.clock import MonotonicClock
from libs.testing.polling import PATIENCE_SECONDS, eventually
from libs.testing.servers import AsgiExchange, tcp_server
from services.gateway.proxy.adapters.upstream import (
    AnswerCutShort,
    CircuitBreaker,
    UpstreamAway,
    UpstreamBroke,
)
from tests.services.gateway.app import Service
from tests.services.gateway.proxy.adapters.relaying import PATIENT, POST, connect, relayed, request


async def test_request_and_answer_arrive_as_they_are_with_nothing_added(service: Service) -> None:
    post = request("POST", "/a%20b?c=%D0%B0", b"{}")
    async with connect(service.url) as upstream:
        status, headers, body = await relayed(upstream, post)
        await relayed(upstream)

    assert (status, body) == (200, b'{"ok": true}')
    assert headers[b"x-consistency-token"] == b"7"
    assert service.requests[0].raw_path == "/a%20b?c=%D0%B0"
    assert service.bodies == [b"{}", b""]
    assert set(service.requests[1].headers) == {"Host"}


async def test_connections_are_used_again(service: Service) -> None:
    async with connect(service.url) as upstream:
        for _ in range(3):
            await relayed(upstream)

    assert len({request.transport for request in service.requests}) == 1


async def test_compressed_answers_and_redirects_stay_as_they_are(service: Service) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        headers = {"Content-Encoding": "gzip", "Location": "/elsewhere", "Set-Cookie": "a=1"}
        return web.Response(status=302, body=b"not really gzip", headers=headers)

    service.answer = answer
    async with connect(service.url) as upstream:
        status, headers, body = await relayed(upstream)
        await relayed(upstream)

    assert (status, body) == (302, b"not really gzip")
    assert headers[b"location"] == b"/elsewhere"
    assert all("Cookie" not in request.headers for request in service.requests)


async def test_interim_answers_are_skipped() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nx")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
        await asyncio.sleep(0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with tcp_server(answer) as url, connect(url) as upstream:
        status, headers, body = await relayed(upstream, POST)

    assert (status, headers, body) == (200, {b"content-length": b"2"}, b"ok")


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", None, None), ("POST", None, "0"), ("POST", b"", "0"), ("PUT", b"xy", "2")],
)
async def test_the_length_of_the_body_is_sent(
    service: Service, method: str, body: bytes | None, length: str | None
) -> None:
    async with connect(service.url) as upstream:
        await relayed(upstream, request(method, body=body))

    assert service.requests[0].headers.get("Content-Length") == length


async def test_a_body_is_passed_on_part_by_part(service: Service) -> None:
    go_on = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert await request.content.readany() == b"first"
        go_on.set()
        return web.Response(body=await request.content.read())

    service.answer = answer
    async with connect(service.url) as upstream:
        _, _, body = await relayed(upstream, request("POST", body=parts()))

    assert body == b"second"


async def test_when_the_client_hangs_up_the_service_is_let_go(service: Service) -> None:
    gone = asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"tick")
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    service.answer = endless
    exchange = AsgiExchange()
    async with connect(service.url) as upstream:
        relaying = asyncio.create_task(upstream.relay(request(), exchange.receive, exchange.send))
        await eventually(lambda: exchange.outgoing.qsize() > 3)
        exchange.incoming.put_nowait({"type": "http.disconnect"})
        await eventually(relaying.done)
        await relaying
        await eventually(gone.is_set)


async def test_whether_a_service_is_ready_is_only_a_question(service: Service) -> None:
    async with connect(service.url) as upstream, connect("http://127.0.0.1:1") as away:
        assert await upstream.is_ready(seconds=PATIENCE_SECONDS)
        assert not await away.is_ready()


@pytest.fixture
def away() -> Iterator[tuple[str, socket.socket]]:
    """The address of a service that is away, and the socket that may listen there later."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}", bound


async def test_a_service_that_stays_away_is_left_alone(away: tuple[str, socket.socket]) -> None:
    url, bound = away
    async with connect(url, failures=2) as upstream:
        for _ in range(2):
            with pytest.raises(UpstreamAway):
                await relayed(upstream)
        bound.listen()
        with pytest.raises(UpstreamAway) as refused:
            await relayed(upstream)

    assert refused.value.retry_after == 60


async def test_a_long_upload_is_not_taken_for_a_slow_service(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload lasts three times as long as the service may take to answer."""
    received = asyncio.Semaphore(0)
    loop, skipped = asyncio.get_running_loop(), 0.0
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + skipped)

    async def parts() -> AsyncIterator[bytes]:
        nonlocal skipped
        for _ in range(5):
            yield b"part"
            await received.acquire()
            skipped += 0.6 * PATIENT.answer

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        size = 0
        while part := await request.content.readany():
            size += len(part)
            received.release()
        return web.json_response(size)

    service.answer = answer
    async with connect(service.url, replace(PATIENT, idle=10 * PATIENT.answer)) as upstream:
        _, _, body = await relayed(upstream, request("POST", body=parts()))

    assert body == b"20"


@pytest.mark.parametrize(
    ("method", "tries"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)]
)
async def test_only_a_safe_request_is_sent_again_and_only_once(method: str, tries: int) -> None:
    counted = count()

    async def disconnect(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        next(counted)

    async with tcp_server(disconnect) as url, connect(url) as upstream:
        with pytest.raises(UpstreamBroke):
            await relayed(upstream, request(method))

    assert next(counted) == tries


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_the_same_holds_on_a_connection_that_was_used_before(method: str) -> None:
    counted = count()

    async def once_good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        next(counted)

    async with tcp_server(once_good) as url, connect(url) as upstream:
        await relayed(upstream)
        if method == "GET":
            await relayed(upstream, request(method))
        else:
            with pytest.raises(UpstreamBroke):
                await relayed(upstream, request(method))

    assert next(counted) == 1


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", UpstreamBroke, id="nonsense"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", AnswerCutShort, id="length"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
            AnswerCutShort,
            id="chunked",
        ),
    ],
)
async def test_a_malformed_or_partial_answer_is_never_taken_for_a_complete_one(
    answer: bytes, fault: type[Exception]
) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    exchange = AsgiExchange()
    async with tcp_server(half) as url, connect(url) as upstream:
        with pytest.raises(fault):
            await upstream.relay(POST, exchange.receive, exchange.send)

    messages = [exchange.outgoing.get_nowait() for _ in range(exchange.outgoing.qsize())]
    assert all(message.get("more_body", True) for message in messages)


OPEN = "fail fail fail"


@pytest.mark.parametrize(
    ("events", "seconds_to_wait"),
    [
        pytest.param("fail fail succeed fail fail", [0.0], id="only failures in a row open it"),
        pytest.param(f"{OPEN} 2", [3.0], id="while open it says for how long"),
        pytest.param(f"{OPEN} 5", [0.0, 5.0], id="after its time exactly one may try"),
        pytest.param(f"{OPEN} 5 ask succeed", [0.0] * 3, id="a good trial closes it"),
        pytest.param(f"{OPEN} 5 ask fail", [5.0], id="a bad trial opens it again"),
        pytest.param(f"{OPEN} 5 ask give-up", [0.0], id="a trial given up leaves room for another"),
    ],
)
def test_a_breaker_opens_and_closes(events: str, seconds_to_wait: list[float]) -> None:
    seconds = MonotonicClock()
    breaker = CircuitBreaker(failures=3, seconds=5.0, now=seconds)
    for event in events.split():
        match event:
            case "fail":
                breaker.record_failure()
            case "succeed":
                breaker.record_success()
            case "give-up":
                breaker.record_cancelled()
            case "ask":
                breaker.seconds_to_wait()
            case _:
                seconds.advance(float(event))

    assert [breaker.seconds_to_wait() for _ in seconds_to_wait] == seconds_to_wait
