"""The stream over a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
from fastapi import FastAPI
from httpx import AsyncClient

from libs.process.lifecycle import serve
from services.ingest.bootstrap import create_app
from tests.services.ingest.listening import PATIENCE_SECONDS, STREAM, read


@asynccontextmanager
async def served(app: FastAPI, stop: asyncio.Event) -> AsyncIterator[str]:
    """The address of the app, until the block ends; waits until the last request is over."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(app, "127.0.0.1", 0, stop=stop, listening=port.set_result))
    try:
        yield f"http://127.0.0.1:{await port}"
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await serving


async def test_a_stop_ends_a_stream_at_once_and_cleanly(app: FastAPI, viewer: AsyncClient) -> None:
    stop, deps = asyncio.Event(), app.state.deps
    calm = create_app(
        replace(deps, settings=deps.settings.model_copy(update={"stream_heartbeat_seconds": 30}))
    )
    headers = {"authorization": viewer.headers["authorization"]}
    async with (
        served(calm, stop) as url,
        aiohttp.ClientSession(headers=headers) as client,
        client.get(f"{url}{STREAM}") as answer,
    ):
        retry = await answer.content.readuntil(b"\n\n")
        state = await answer.content.readuntil(b"\n\n")
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            # Raises if the connection were cut rather than the answer ended.
            rest = await answer.content.read()

    assert answer.status == 200
    assert answer.headers.getall("cache-control") == ["no-store"]
    assert [read(each.decode().removesuffix("\n\n")).name for each in (retry, state)] == [
        "retry",
        "state",
    ]
    assert rest == b""


async def test_who_hangs_up_is_no_longer_looked_for(app: FastAPI, viewer: AsyncClient) -> None:
    stop = asyncio.Event()
    headers = {"authorization": viewer.headers["authorization"]}
    async with served(app, stop) as url, aiohttp.ClientSession(headers=headers) as client:
        answer = await client.get(f"{url}{STREAM}")
        await answer.content.readuntil(b"\n\n")
        watching = app.state.live.viewers
        answer.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while app.state.live.viewers:
                await asyncio.sleep(0.01)

    assert watching == 1
