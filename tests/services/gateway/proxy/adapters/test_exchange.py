"""What a client or a service may send that must not reach the other, or the next request."""

import asyncio
from dataclasses import replace
from itertools import count

import pytest

from libs.testing.polling import PATIENCE_SECONDS, eventually
from libs.testing.servers import AsgiExchange, tcp_server
from services.gateway.proxy.adapters.upstream import (
    AnswerCutShort,
    UpstreamBroke,
    UpstreamRequest,
    UpstreamSlow,
)
from tests.services.gateway.app import Service
from tests.services.gateway.proxy.adapters.relaying import (
    PATIENT,
    POST,
    aiter_of,
    connect,
    relayed,
    request,
)


@pytest.mark.parametrize(
    "what",
    [
        replace(POST, headers=[("X-A", "b\r\nX-C: d")]),
        replace(POST, headers=[("X-A", "b\nc")]),
        replace(POST, headers=[("X-A\rB", "c")]),
        replace(POST, headers=[("X-A", "b\x0bc")]),
        replace(POST, headers=[("X-A", "\x7f")]),
        replace(POST, target="/?a\r\nX-C:d"),
        replace(POST, target="/?a\x7f"),
    ],
)
async def test_a_head_with_a_control_character_is_not_sent(
    service: Service, what: UpstreamRequest
) -> None:
    async with connect(service.url) as upstream:
        with pytest.raises(ValueError, match="control character"):
            await relayed(upstream, what)

    assert service.requests == []


async def test_a_tab_and_letters_of_all_languages_are_sent_as_they_are(service: Service) -> None:
    async with connect(service.url) as upstream:
        await relayed(upstream, replace(POST, headers=[("X-A", "b\tя\xa0z")]))

    assert service.requests[0].headers["X-A"] == "b\tя\xa0z"


@pytest.mark.parametrize(
    "what", [POST, request("POST", body=aiter_of(b"x"))], ids=["whole", "streamed"]
)
async def test_what_a_service_sends_beyond_its_answer_is_never_the_answer_to_the_next_request(
    what: UpstreamRequest,
) -> None:
    sent = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await sent.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanother")

    async with tcp_server(answer) as url, connect(url) as upstream:
        await relayed(upstream)
        [[(idle, _)]] = upstream._session.connector._conns.values()  # type: ignore[union-attr]
        sent.set()
        await eventually(lambda: len(idle) > 0)
        _, _, body = await relayed(upstream, what)

    assert body == b"ok"


@pytest.mark.parametrize(
    "what", [POST, request("POST", body=aiter_of(b"x"))], ids=["whole", "streamed"]
)
async def test_a_part_that_cannot_be_read_is_not_waited_for_without_end(
    what: UpstreamRequest,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await started.wait()
        writer.write(b"no chunk\r\n")
        await reader.read()

    started = asyncio.Event()
    exchange = AsgiExchange()
    deadlines = replace(PATIENT, idle=0.1)
    async with tcp_server(answer) as url, connect(url, deadlines) as upstream:
        relaying = asyncio.create_task(upstream.relay(what, exchange.receive, exchange.send))
        await eventually(lambda: exchange.outgoing.qsize() == 2)
        started.set()
        with pytest.raises(AnswerCutShort):
            await asyncio.wait_for(relaying, PATIENCE_SECONDS)


async def test_a_first_part_that_cannot_be_read_is_not_waited_for_without_end() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.01)
        writer.write(b"no chunk\r\n")
        await reader.read()

    async with tcp_server(answer) as url, connect(url, replace(PATIENT, idle=0.1)) as upstream:
        with pytest.raises(UpstreamSlow):
            await asyncio.wait_for(relayed(upstream, POST), PATIENCE_SECONDS)


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"099 Less"])
async def test_an_answer_that_no_client_can_be_given_is_refused(status: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with tcp_server(answer) as url, connect(url) as upstream:
        with pytest.raises(UpstreamBroke):
            await relayed(upstream, POST)


async def test_a_connection_with_an_unsent_rest_of_a_body_is_not_used_again() -> None:
    answered = count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % next(answered))
        await asyncio.Event().wait()

    async with (
        tcp_server(answer) as url,
        connect(url, replace(PATIENT, answer=1.0)) as upstream,
    ):
        await relayed(upstream, request("POST", body=bytes(2**25)))
        _, _, body = await relayed(upstream)

    assert body == b"1"
