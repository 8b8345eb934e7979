"""Streams of server-sent events of an app in this process."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from httpx import AsyncClient

from libs.testing.waiting import PATIENCE_SECONDS


async def until(events: AsyncIterator[tuple[str, Any]], holds: Any) -> None:
    """Wait for an event whose data is so."""
    async for _, data in events:
        if holds(data):
            return


@asynccontextmanager
async def listening(
    app: FastAPI, client: AsyncClient, path: str, *, query: str = ""
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """Names and data of the events of a stream; httpx would wait for the end of it."""
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            kind = dict(message["headers"])[b"content-type"]
            assert kind.startswith(b"text/event-stream")
        else:
            chunks.put_nowait(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"authorization", client.headers["Authorization"].encode())],
        "client": ("127.0.0.1", 1),
        "server": ("scales", 80),
    }
    answering = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
    try:
        async with aclosing(_events(chunks)) as events:
            yield events
    finally:
        gone.set()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


async def _events(chunks: asyncio.Queue[bytes]) -> AsyncGenerator[tuple[str, Any], None]:
    while True:
        text = (await asyncio.wait_for(chunks.get(), PATIENCE_SECONDS)).decode()
        lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "data" in lines:
            yield lines["event"], json.loads(lines["data"])
