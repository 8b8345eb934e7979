"""Requests to other services."""

import asyncio

import pytest
import structlog
from aiohttp import web

from libs.http.client import open_client, trace_headers
from libs.telemetry import traces
from libs.testing.servers import http_routes


async def test_a_client_does_not_wait_beyond_its_deadline() -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with http_routes(slow=slow) as server, open_client(total_seconds=0.1) as client:
        with pytest.raises(TimeoutError):
            await client.get(f"{server}/slow")


async def test_the_cookies_of_one_caller_are_not_sent_for_the_next() -> None:
    async def cookie(request: web.Request) -> web.Response:
        answer = web.Response(text=request.headers.get("Cookie", "none"))
        answer.set_cookie("session", "1")
        return answer

    async with http_routes(cookie=cookie) as server, open_client() as client:
        for _ in range(2):
            async with client.get(f"{server}/cookie") as answer:
                assert await answer.text() == "none"


def test_the_trace_and_the_request_id_are_propagated() -> None:
    assert trace_headers() == {}

    with (
        traces.set_up("test").span("request"),
        structlog.contextvars.bound_contextvars(request_id="r-1"),
    ):
        headers = trace_headers()

    assert headers["X-Request-Id"] == "r-1"
    assert traces.parse(headers["traceparent"]).is_valid
