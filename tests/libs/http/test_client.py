"""Asking other services."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from aiohttp import web

from libs.http.client import open_client, trace_headers
from libs.telemetry import traces


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def cookie(request: web.Request) -> web.Response:
        answer = web.Response(text=request.headers.get("Cookie", "none"))
        answer.set_cookie("session", "1")
        return answer

    app = web.Application()
    app.add_routes([web.get("/slow", slow), web.get("/cookie", cookie)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_nobody_is_waited_for_beyond_the_deadline(server: str) -> None:
    async with open_client(total_seconds=0.1) as client:
        with pytest.raises(TimeoutError):
            await client.get(f"{server}/slow")


async def test_the_cookies_of_one_caller_are_not_sent_for_the_next(server: str) -> None:
    async with open_client() as client:
        for _ in range(2):
            async with client.get(f"{server}/cookie") as answer:
                assert await answer.text() == "none"


def test_the_trace_and_the_request_are_handed_on() -> None:
    assert trace_headers() == {}

    with (
        traces.set_up("test").span("request"),
        structlog.contextvars.bound_contextvars(request_id="r-1"),
    ):
        headers = trace_headers()

    assert headers["X-Request-Id"] == "r-1"
    assert traces.parse(headers["traceparent"]).is_valid
