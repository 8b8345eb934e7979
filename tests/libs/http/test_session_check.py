"""A process that may miss revocations asks the gateway about sessions, and trusts no silence."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from libs.clock import utc_now
from libs.errors import Unavailable
from libs.http import session_check
from libs.http.revocations import Revocations
from libs.http.session_check import AT_ONCE, SessionCheck, at_gateway


@dataclass
class Knowledge:
    """A stub of `Revocations` with the one attribute that is used."""

    blind_since: datetime | None = None


@dataclass
class Gateway:
    """Says of sessions whether they are live, or something else."""

    live: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    status: int = 200
    body: Any = None
    silent: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        session = request.match_info["session"]
        self.calls.append(session)
        await self.silent.wait()
        body = {"live": session in self.live} if self.body is None else self.body
        return web.json_response(body, status=self.status)


@pytest.fixture
def gateway() -> Gateway:
    gateway = Gateway()
    gateway.silent.set()
    return gateway


@pytest.fixture
async def url(gateway: Gateway) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/internal/sessions/{session}", gateway.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/.well-known/jwks.json"
    gateway.silent.set()
    await runner.cleanup()


@pytest.fixture
async def check(url: str) -> AsyncIterator[SessionCheck]:
    """The check of a process that is blind."""
    blind = cast(Revocations, Knowledge(utc_now()))
    async with aiohttp.ClientSession() as client:
        yield SessionCheck(blind, at_gateway(client, url))


async def test_sessions_are_not_checked_while_all_revocations_are_known(
    url: str, gateway: Gateway
) -> None:
    knowledge = Knowledge()
    async with aiohttp.ClientSession() as client:
        check = SessionCheck(cast(Revocations, knowledge), at_gateway(client, url))
        assert await check.is_live("s1")
        assert gateway.calls == []

        knowledge.blind_since = utc_now()
        assert not await check.is_live("s1")
    assert gateway.calls == ["s1"]


async def test_the_result_of_the_gateway_is_cached_for_some_seconds(
    check: SessionCheck, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.live = {"s1", "../../metrics"}
    for _ in range(3):
        assert await check.is_live("s1")
    assert not await check.is_live("s2")
    assert await check.is_live("../../metrics")
    assert gateway.calls == ["s1", "s2", "../../metrics"]

    monkeypatch.setattr(session_check, "ANSWERED_SECONDS", -1.0)
    gateway.live = {"s3"}
    assert await check.is_live("s3")
    gateway.live.clear()
    assert not await check.is_live("s3")


@pytest.mark.parametrize(
    ("status", "body"), [(500, {}), (404, {}), (302, {}), (200, {}), (200, []), (200, "yes")]
)
async def test_other_responses_of_the_gateway_make_the_check_unavailable(
    check: SessionCheck, gateway: Gateway, status: int, body: Any
) -> None:
    gateway.status, gateway.body = status, body

    with pytest.raises(Unavailable):
        await check.is_live("s1")


async def test_without_the_gateway_callers_are_refused_and_few_wait_for_it(
    url: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_check, "ASK_SECONDS", 0.5)
    gateway.silent.clear()
    blind = cast(Revocations, Knowledge(utc_now()))
    at_once = most = 0

    async with aiohttp.ClientSession() as client:
        ask_gateway = at_gateway(client, url)

        # Counted here: the gateway notices only later that a caller gave up.
        async def ask(session: str) -> bool:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            try:
                return await ask_gateway(session)
            finally:
                at_once -= 1

        check = SessionCheck(blind, ask)
        asking = (check.is_live(f"s{number}") for number in range(3 * AT_ONCE))
        refused = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(one) for one in refused} == {Unavailable}
        assert most == AT_ONCE

        nowhere = SessionCheck(blind, at_gateway(client, "http://127.0.0.1:1/jwks.json"))
        with pytest.raises(Unavailable):
            await nowhere.is_live("s1")
