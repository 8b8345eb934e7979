"""The daemon's token is renewed though an answer gets lost, without enrolling it anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from libs.testing.waiting import eventually
from services.scale_bridge.adapters import bridge_login
from services.scale_bridge.adapters.bridge_identity import read_identity
from services.scale_bridge.api.bridge_command import open_desk
from services.scale_bridge.handlers import bridge_run
from services.scale_bridge.handlers.bridge_run import AGAIN_SECONDS
from tests.services.scale_bridge.remote import enrolled, office_of, order_of

GRACE_SECONDS = 30.0
"""For how long the gateway gives a lost pair again, unless less is configured."""


class Gateway:
    """Gives each refresh token's successor, again if it is asked again; loses some answers."""

    def __init__(self) -> None:
        self.url = ""
        self.lost: list[str] = []
        self.refreshed: list[str] = []
        self.connected: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/oauth/token":
            self.connected.append(request.headers["Authorization"])
            return web.Response(status=503)
        token = str((await request.post())["refresh_token"])
        self.refreshed.append(token)
        await self._lose(request)
        number = int(token.rpartition(" ")[2]) + 1
        pair = {"access_token": f"a{number}", "refresh_token": f"refresh {number}"}
        return web.json_response({**pair, "expires_in": 300})

    async def _lose(self, request: web.BaseRequest) -> None:
        match self.lost.pop(0) if self.lost else "":
            case "hang up":
                assert request.transport is not None
                request.transport.close()
            case "silence":
                await asyncio.Event().wait()
            case "bad gateway":
                raise web.HTTPBadGateway(text="<html>")
            case _:
                pass


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    runner = web.ServerRunner(web.Server(gateway, handler_cancellation=True), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield gateway
    await runner.cleanup()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pauses after attempts that failed: none ends, so no other attempt comes to help."""
    begun: list[int] = []

    def pause_after(failures: int, _: object) -> float:
        begun.append(failures)
        return 3600.0

    monkeypatch.setattr(bridge_run, "pause_after", pause_after)
    monkeypatch.setattr(bridge_run, "AGAIN_SECONDS", (0.05, 0.05))
    return begun


@asynccontextmanager
async def running(home: Path, gateway: Gateway) -> AsyncIterator[None]:
    """A daemon that connects to this gateway."""
    enrolled(home, gateway.url)
    async with aiohttp.ClientSession() as client, open_desk(order_of(home)) as desk:
        connecting = asyncio.create_task(bridge_run.run(desk, office_of(home, client, chance=0.5)))
        try:
            yield
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)


@pytest.mark.parametrize("how", ["hang up", "silence", "bad gateway"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.usefixtures("pauses")
async def test_an_answer_that_is_lost_is_requested_again(
    tmp_path: Path, gateway: Gateway, how: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "silence":
        monkeypatch.setattr(bridge_login, "REFRESH", aiohttp.ClientTimeout(total=2))
    gateway.lost = [how] * times
    async with running(tmp_path, gateway):
        await eventually(lambda: gateway.connected)

    assert gateway.refreshed == ["refresh 0"] * (times + 1)
    assert gateway.connected == ["Bearer a1"]
    assert read_identity(tmp_path).refresh_token == "refresh 1"


async def test_a_gateway_that_loses_every_answer_is_not_asked_without_end(
    tmp_path: Path, gateway: Gateway, pauses: list[int]
) -> None:
    gateway.lost = ["hang up"] * 20
    async with running(tmp_path, gateway):
        await eventually(lambda: pauses)

    assert gateway.connected == []
    assert gateway.refreshed == ["refresh 0"] * 3
    assert read_identity(tmp_path).refresh_token == "refresh 0"


def test_all_of_it_is_over_before_the_gateway_forgets() -> None:
    assert bridge_login.REFRESH.total is not None
    assert max(AGAIN_SECONDS) < 5
    last_begins = len(AGAIN_SECONDS) * bridge_login.REFRESH.total + sum(AGAIN_SECONDS)
    assert last_begins < GRACE_SECONDS
