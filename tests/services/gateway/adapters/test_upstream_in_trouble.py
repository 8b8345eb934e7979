"""Asking a service that is away, slow, broken or cut off."""

import asyncio
import socket
from collections.abc import AsyncIterator
from itertools import count

import pytest
from aiohttp import web

from services.gateway.adapters.upstream import (
    AnswerCutShort,
    Deadlines,
    UpstreamAway,
    UpstreamBroke,
    UpstreamSlow,
)
from tests.services.gateway.adapters.asking import asked, opened, relayed
from tests.services.gateway.conftest import Exchange, Service, crooked


async def test_a_service_that_is_not_there_is_away() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with opened(url) as upstream:
            with pytest.raises(UpstreamAway):
                await relayed(upstream, asked())


async def test_a_service_that_stays_away_is_not_asked_again_for_a_while() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with opened(url, failures=2) as upstream:
            for _ in range(2):
                with pytest.raises(UpstreamAway):
                    await relayed(upstream, asked())
            nobody.listen()
            with pytest.raises(UpstreamAway) as away:
                await relayed(upstream, asked())

    assert 50 < away.value.retry_after <= 60


async def test_a_service_that_does_not_begin_to_answer_is_slow(service: Service) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    service.answer = answer
    async with opened(service.url, Deadlines(connect=5, answer=0.2, idle=20)) as upstream:
        with pytest.raises(UpstreamSlow):
            await relayed(upstream, asked("POST", body=b"x"))


async def test_a_long_upload_is_not_taken_for_a_slow_service(service: Service) -> None:
    received = asyncio.Semaphore(0)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"part"
            await received.acquire()
            await asyncio.sleep(0.05)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        size = 0
        while part := await request.content.readany():
            size += len(part)
            received.release()
        return web.json_response(size)

    service.answer = answer
    async with opened(service.url, Deadlines(connect=5, answer=0.3, idle=20)) as upstream:
        _, _, body = await relayed(upstream, asked("POST", body=parts()))

    assert body == b"32"


@pytest.mark.parametrize(
    ("method", "tries"), [("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)]
)
async def test_only_a_safe_request_is_sent_again_and_only_once(method: str, tries: int) -> None:
    counted = count()

    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        next(counted)

    async with crooked(hang_up) as url, opened(url) as upstream:
        with pytest.raises(UpstreamBroke):
            await relayed(upstream, asked(method))

    assert next(counted) == tries


@pytest.mark.parametrize(("method", "tries"), [("GET", 2), ("POST", 1), ("DELETE", 1)])
async def test_the_same_holds_on_a_connection_that_was_good_before(method: str, tries: int) -> None:
    counted = count()

    async def once_good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        while True:
            await reader.readuntil(b"\r\n\r\n")
            next(counted)
            writer.close()
            return

    async with crooked(once_good) as url, opened(url) as upstream:
        await relayed(upstream, asked())
        if method == "GET":
            await relayed(upstream, asked(method))
        else:
            with pytest.raises(UpstreamBroke):
                await relayed(upstream, asked(method))

    assert next(counted) == tries - (method == "GET")


async def test_nonsense_instead_of_an_answer_is_a_broken_service() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()

    async with crooked(nonsense) as url, opened(url) as upstream:
        with pytest.raises(UpstreamBroke):
            await relayed(upstream, asked("POST", body=b"x"))


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello"]
)
async def test_half_an_answer_never_looks_like_a_whole_one(head: bytes) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        await writer.drain()

    exchange = Exchange()
    async with crooked(half) as url, opened(url) as upstream:
        with pytest.raises(AnswerCutShort):
            await upstream.relay(asked(), exchange.receive, exchange.send)

    messages = [exchange.outgoing.get_nowait() for _ in range(exchange.outgoing.qsize())]
    assert all(message.get("more_body", True) for message in messages)
