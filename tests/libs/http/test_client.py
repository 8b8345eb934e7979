"""Asking other services, and the conditions of requests as RFC 9110 §13 wants them read."""

import asyncio

import pytest
import structlog
from aiohttp import web

from libs.http.client import open_client, trace_headers
from libs.http.entity_tags import if_match_allows, is_not_modified, strong_tag
from libs.telemetry import traces
from libs.testing.servers import http_routes

SEVEN = strong_tag(7)


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


def test_a_tag_is_quoted() -> None:
    assert SEVEN == '"7"'


WANTED = [[], ['"7"'], ["*"], [" * "], ['"6", "7"'], ['"6"', '"7"'], ['"a,b" , "7"'], ['"7",']]
OTHERS = [['"6"'], ['W/"7"'], ["7"], [""], ['"7'], ['"*"'], ['"x7"', 'W/"7"'], ["garbage"]]
KNOWN = [['"7"'], ['W/"7"'], ["*"], ['"6", W/"7"'], ['"6"', '"7"']]
UNKNOWN = [[], ['"6"'], ["7"], [""], ["garbage"]]


@pytest.mark.parametrize("lines", WANTED + OTHERS, ids=str)
def test_only_if_match_with_the_current_tag_allows_a_change(lines: list[str]) -> None:
    assert if_match_allows(lines, SEVEN) == (lines in WANTED)


@pytest.mark.parametrize(("lines", "allowed"), [([], True), (["*"], False), (['"7"'], False)])
def test_a_missing_resource_is_changed_only_without_if_match(
    lines: list[str], allowed: bool
) -> None:
    assert if_match_allows(lines, None) == allowed


@pytest.mark.parametrize("lines", KNOWN + UNKNOWN, ids=str)
def test_only_a_client_with_the_current_tag_gets_not_modified(lines: list[str]) -> None:
    assert is_not_modified(lines, SEVEN) == (lines in KNOWN)
