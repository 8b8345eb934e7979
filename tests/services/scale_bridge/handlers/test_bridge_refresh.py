"""The daemon's token is renewed though an answer gets lost, and nobody enrols it anew for that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from services.scale_bridge.adapters import bridge_login
from services.scale_bridge.adapters.bridge_identity import read_identity
from services.scale_bridge.api.bridge_command import open_desk
from services.scale_bridge.handlers import bridge_run
from services.scale_bridge.handlers.bridge_run import AGAIN_SECONDS, Office
from tests.services.scale_bridge.bridge_daemon import an_order, enrolled
from tests.services.scale_bridge.bridging import until

GRACE_SECONDS = 30.0
"""For how long the gateway gives a lost pair again, unless somebody sets less."""


class Gateway:
    """Gives each refresh token's successor, once more if it is asked again; loses some answers."""

    def __init__(self, *lost: str) -> None:
        self.url = ""
        self.lost = list(lost)
        self.asked: list[str] = []
        self.came: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/oauth/token":
            self.came.append(request.headers["Authorization"])
            return web.Response(status=503)
        shown = str((await request.post())["refresh_token"])
        self.asked.append(shown)
        await self._lose(request)
        number = int(shown.rpartition(" ")[2]) + 1
        said = {"access_token": f"a{number}", "refresh_token": f"refresh {number}"}
        return web.json_response({**said, "expires_in": 300})

    async def _lose(self, request: web.BaseRequest) -> None:
        how = self.lost.pop(0) if self.lost else ""
        match how:
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
    made = Gateway()
    runner = web.ServerRunner(web.Server(made, handler_cancellation=True), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other attempt comes to help: it would come in an hour."""
    monkeypatch.setattr(bridge_run, "pause_after", lambda *_: 3600.0)
    monkeypatch.setattr(bridge_run, "AGAIN_SECONDS", (0.05, 0.05))
    monkeypatch.setattr(bridge_login, "REFRESH", aiohttp.ClientTimeout(total=0.5))


async def came_in(home: Path, gateway: Gateway, *, within: float = 10.0) -> None:
    enrolled(home, gateway.url)
    async with aiohttp.ClientSession() as client, open_desk(an_order(home)) as desk:
        office = Office(home=home, client=client, program="test", name="test", chance=lambda: 0.5)
        running = asyncio.create_task(bridge_run.run(desk, office))
        try:
            await until(lambda: gateway.came, within)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("how", ["hang up", "silence", "bad gateway"])
@pytest.mark.parametrize("times", [1, 2])
async def test_an_answer_that_is_lost_is_asked_for_again_and_nobody_is_needed(
    tmp_path: Path, gateway: Gateway, how: str, times: int
) -> None:
    gateway.lost = [how] * times
    await came_in(tmp_path, gateway)

    assert gateway.asked == ["refresh 0"] * (times + 1)
    assert gateway.came == ["Bearer a1"]
    assert read_identity(tmp_path).refresh_token == "refresh 1"


async def test_a_gateway_that_loses_every_answer_is_not_asked_without_end(
    tmp_path: Path, gateway: Gateway
) -> None:
    gateway.lost = ["hang up"] * 20
    with pytest.raises(TimeoutError):
        await came_in(tmp_path, gateway, within=1.0)

    assert gateway.asked == ["refresh 0"] * 3
    assert read_identity(tmp_path).refresh_token == "refresh 0"


def test_all_of_it_is_over_before_the_gateway_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert bridge_login.REFRESH.total is not None
    assert max(AGAIN_SECONDS) < 5
    last_begins = len(AGAIN_SECONDS) * bridge_login.REFRESH.total + sum(AGAIN_SECONDS)
    assert last_begins < GRACE_SECONDS
