"""The proxy forwards everything until a fault is switched on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.local.ports import LOOPBACK, free_port
from tests.chaos.proxy import Proxy

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(1000):
            writer.write(chunk)
        writer.write(b"bye")
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy before a server that repeats what it hears and says bye at the end."""
    port = free_port()
    server = await asyncio.start_server(_echo, LOOPBACK, port)
    async with Proxy(free_port(), port) as opened:
        yield opened
    server.close()
    await server.wait_closed()


async def _connect(proxy: Proxy) -> Line:
    host, _, port = proxy.address.partition(":")
    return await asyncio.open_connection(host, int(port))


@pytest.fixture
async def line(proxy: Proxy) -> AsyncIterator[Line]:
    """A connection through the proxy on which data has gone both ways."""
    reader, writer = await _connect(proxy)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    yield reader, writer
    writer.close()


async def test_data_and_the_end_of_a_connection_are_forwarded(proxy: Proxy, line: Line) -> None:
    reader, writer = line
    writer.write_eof()

    assert await reader.read() == b"bye"
    assert proxy.passed == len(b"hellohellobye")


async def test_connections_are_cut_and_refused_while_it_is_closed(proxy: Proxy, line: Line) -> None:
    proxy.open = False
    assert proxy.cut() == 1
    with pytest.raises(ConnectionError):
        await line[0].readexactly(1)

    reader, writer = await _connect(proxy)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


async def test_a_half_closed_connection_still_listens(proxy: Proxy, line: Line) -> None:
    assert proxy.close_half() == 1
    assert await line[0].read() == b"bye"


async def test_a_deaf_proxy_brings_no_answers(proxy: Proxy, line: Line) -> None:
    reader, writer = line
    proxy.deaf = True
    writer.write(b"anybody")
    writer.write_eof()

    assert await reader.read() == b""


async def test_a_delay_holds_everything_back(proxy: Proxy, line: Line) -> None:
    reader, writer = line
    proxy.delay = 3600
    writer.write(b"hello")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.readexactly(1)
