"""HEAD on the server that services run on: the head of GET's answer, and nothing behind it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse

from libs.errors import NotFound
from libs.http.app import create_app
from libs.http.auth import public
from libs.process.lifecycle import serve
from libs.testing.polling import PATIENCE_SECONDS

chunks: list[bytes] = []


class Lost(NotFound):
    """It is not here."""


async def _for_ever() -> AsyncIterator[bytes]:
    while True:
        chunks.append(b"x" * 1000)
        yield chunks[-1]
        await asyncio.sleep(0)


def app() -> FastAPI:
    router = APIRouter(dependencies=[Depends(public)])

    @router.get("/text")
    async def text() -> PlainTextResponse:
        return PlainTextResponse("twelve bytes", headers={"X-Own": "1"})

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(_for_ever(), media_type="text/csv")

    @router.get("/lost")
    async def lost() -> None:
        raise Lost

    @router.post("/only-post")
    async def only_post() -> None:
        return None

    return create_app(title="test", routers=[router], deps=None, checks={})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where the app answers."""
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(app(), "127.0.0.1", 0, stop=stop, on_listening=listening.set_result)
    )
    yield await listening
    stop.set()
    await serving


async def test_the_head_alone_is_sent_and_the_connection_goes_on(port: int) -> None:
    requests = [("/text", b"200"), ("/stream", b"200"), ("/lost", b"404"), ("/only-post", b"405")]
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        heads = []
        for path, _ in requests:
            writer.write(f"HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        writer.write(b"GET /text HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        rest = await reader.read()
        writer.close()

    assert [head.split()[1] for head in heads] == [status for _, status in requests]
    assert b"content-length: 12" in heads[0]
    assert b"x-own: 1" in heads[0]
    assert b"text/csv" in heads[1]
    assert rest.startswith(b"HTTP/1.1 200")
    assert rest.endswith(b"twelve bytes")
    assert len(chunks) <= 1
