"""Asking a service on somebody's behalf."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from tests.services.gateway.adapters.asking import asked, opened, relayed
from tests.services.gateway.conftest import Exchange, Service, until


async def test_an_answer_comes_back_as_the_service_gave_it(service: Service) -> None:
    async with opened(service.url) as upstream:
        status, headers, body = await relayed(upstream, asked("POST", "/a%20b?c=%D0%B0", b"{}"))

    assert (status, body) == (200, b'{"ok": true}')
    assert headers[b"x-consistency-token"] == b"7"
    assert service.asked[0].raw_path == "/a%20b?c=%D0%B0"
    assert service.bodies == [b"{}"]


async def test_nothing_is_added_to_a_request_but_what_http_needs(service: Service) -> None:
    async with opened(service.url) as upstream:
        await relayed(upstream, asked())

    assert set(service.asked[0].headers) == {"Host"}


async def test_connections_are_used_again(service: Service) -> None:
    async with opened(service.url) as upstream:
        for _ in range(3):
            await relayed(upstream, asked())

    assert len({request.transport for request in service.asked}) == 1


async def test_compressed_answers_stay_compressed_and_redirects_are_not_followed(
    service: Service,
) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        headers = {"Content-Encoding": "gzip", "Location": "/elsewhere", "Set-Cookie": "a=1"}
        return web.Response(status=302, body=b"not really gzip", headers=headers)

    service.answer = answer
    async with opened(service.url) as upstream:
        status, headers, body = await relayed(upstream, asked())
        await relayed(upstream, asked())

    assert (status, body) == (302, b"not really gzip")
    assert headers[b"location"] == b"/elsewhere"
    assert all("Cookie" not in request.headers for request in service.asked)


async def test_an_answer_is_passed_on_part_by_part_before_it_is_complete(service: Service) -> None:
    go_on = asyncio.Semaphore(0)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(3):
            await response.write(b"part %d" % number)
            await go_on.acquire()
        return response

    service.answer = answer
    exchange = Exchange()
    async with opened(service.url) as upstream:
        relaying = asyncio.create_task(upstream.relay(asked(), exchange.receive, exchange.send))
        assert (await exchange.next())["status"] == 200
        for number in range(3):
            assert (await exchange.next())["body"] == b"part %d" % number
            assert not relaying.done()
            go_on.release()
        await relaying

    assert (await exchange.next())["more_body"] is False


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
    async with opened(service.url) as upstream:
        _, _, body = await relayed(upstream, asked("POST", body=parts()))

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
    exchange = Exchange()
    async with opened(service.url) as upstream:
        relaying = asyncio.create_task(upstream.relay(asked(), exchange.receive, exchange.send))
        await until(lambda: exchange.outgoing.qsize() > 3)
        exchange.incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(relaying, 10)
        await asyncio.wait_for(gone.wait(), 10)


async def test_whether_a_service_is_ready_is_only_a_question(service: Service) -> None:
    async with opened(service.url) as upstream, opened("http://127.0.0.1:1") as nobody:
        assert await upstream.is_ready()
        assert not await nobody.is_ready()
