"""The daemon gets in by a code that a person types, stays in by tokens that are good once, and
keeps who it is on its disk, whole and private."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from deploy.local.ports import free_port
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.servers import http_server
from services.scale_bridge.bridges.adapters import identity as bridge_identity
from services.scale_bridge.bridges.adapters import link as bridge_link
from services.scale_bridge.bridges.adapters.link import open_link
from services.scale_bridge.bridges.adapters.login import (
    CLIENT_ID,
    DEVICE_GRANT,
    Codes,
    GatewayAway,
    NotLetIn,
    ask,
    collect,
    refreshed,
)

ONE = bridge_identity.Identity(
    gateway="https://shop.example", private_key=b"\x07" * 32, refresh_token="r0"
)
IN: dict[str, Any] = {"access_token": "a", "refresh_token": "r", "expires_in": 60}
CODES = Codes(
    user_code="BCDF-GHJK", page="p", page_with_code="q", device_code="d", seconds=60.0, pause=5.0
)
PENDING, SLOW_DOWN = {"error": "authorization_pending"}, {"error": "slow_down"}


class Gateway:
    """Gives the `answers`, one after the other, and records the `requests` of a `client`."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self.client = client
        self.url = ""
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append({"path": request.path, **(await request.post())})
        status, said = self.answers.pop(0)
        if not isinstance(said, str):
            return web.json_response(said, status=status)
        elsewhere = {"Location": "http://127.0.0.1:9/"}
        return web.Response(status=status, text=said, headers=elsewhere)


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def gateway(client: aiohttp.ClientSession) -> AsyncIterator[Gateway]:
    made = Gateway(client)
    async with http_server(made) as made.url:
        yield made


class Pauses(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def test_it_asks_for_codes_under_its_name(gateway: Gateway) -> None:
    answer = {"user_code": "BCDF-GHJK", "verification_uri": "p", "device_code": "d"}
    gateway.answers = [(200, {**answer, "expires_in": 60})]
    codes = await ask(gateway.client, gateway.url, "back room")

    assert (codes.user_code, codes.page_with_code, codes.pause) == ("BCDF-GHJK", "p", 5.0)
    assert "device_code" not in repr(codes)
    asked = {"path": "/oauth/device_authorization", "client_id": CLIENT_ID}
    assert gateway.requests == [{**asked, "device_name": "back room"}]


async def test_it_waits_for_a_yes_as_patiently_as_it_is_asked_to(gateway: Gateway) -> None:
    gateway.answers = [(400, PENDING), (400, SLOW_DOWN), (503, "away"), (200, IN)]
    pauses = Pauses()
    tokens = await collect(gateway.client, gateway.url, CODES, pauses)

    assert (tokens.access, tokens.refresh, tokens.seconds) == ("a", "r", 60.0)
    assert "refresh" not in repr(tokens)
    assert pauses == [5.0, 5.0, 10.0, 20.0]
    grant = {"client_id": CLIENT_ID, "grant_type": DEVICE_GRANT, "device_code": "d"}
    assert gateway.requests[-1] == {"path": "/oauth/token", **grant}


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
async def test_a_no_is_a_no(gateway: Gateway, error: str) -> None:
    gateway.answers = [(400, {"error": error})]
    with pytest.raises(NotLetIn, match=error):
        await collect(gateway.client, gateway.url, CODES, Pauses())


async def test_it_does_not_wait_beyond_the_codes_life(gateway: Gateway) -> None:
    gateway.answers = [(400, PENDING)] * 20
    pauses = Pauses()
    with pytest.raises(NotLetIn, match="expired_token"):
        await collect(gateway.client, gateway.url, CODES, pauses)

    assert sum(pauses) == 60.0


@pytest.mark.parametrize(
    ("status", "said", "fault"),
    [
        *((200, {}, GatewayAway), (200, [], GatewayAway), (200, "no json", GatewayAway)),
        (200, {**IN, "expires_in": "soon"}, GatewayAway),
        (429, {"error": "temporarily_unavailable"}, GatewayAway),
        (500, {"error": "invalid_grant"}, GatewayAway),
        *((502, "bad gateway", GatewayAway), (307, "elsewhere", GatewayAway)),
        (400, {"error": "invalid_grant"}, NotLetIn),
    ],
)
async def test_a_worthless_refresh_token_is_told_from_a_gateway_in_trouble(
    gateway: Gateway, status: int, said: Any, fault: type[Exception]
) -> None:
    gateway.answers = [(status, said)]
    with pytest.raises(fault, match="invalid_grant" if fault is NotLetIn else None):
        await refreshed(gateway.client, gateway.url, "r0")


async def test_a_gateway_that_is_not_there_is_away(client: aiohttp.ClientSession) -> None:
    with pytest.raises(GatewayAway):
        await refreshed(client, f"http://127.0.0.1:{free_port()}", "r0")


async def test_a_line_that_takes_the_call_and_says_nothing_is_given_up(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(10 * PATIENCE_SECONDS)
        return web.Response()

    monkeypatch.setattr(bridge_link, "OPEN_SECONDS", 0.1)
    async with http_server(silent) as gateway, asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(GatewayAway):
            async with open_link(client, gateway, "a"):
                pass


def test_an_identity_that_is_written_is_read(tmp_path: Path) -> None:
    bridge_identity.write_identity(tmp_path, ONE)

    assert bridge_identity.read_identity(tmp_path) == ONE
    assert (tmp_path / bridge_identity.FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [bridge_identity.FILE]
    assert "r0" not in repr(ONE)
    assert "x07" not in repr(ONE)


def test_what_a_crash_left_behind_is_in_the_way_of_nothing(tmp_path: Path) -> None:
    bridge_identity.write_identity(tmp_path, ONE)
    half = (tmp_path / bridge_identity.FILE).with_suffix(".json.new")
    half.write_bytes(b'{"gate')
    half.chmod(0o644)
    other = replace(ONE, refresh_token="r1")
    assert bridge_identity.read_identity(tmp_path) == ONE
    bridge_identity.write_identity(tmp_path, other)

    assert bridge_identity.read_identity(tmp_path) == other
    assert (tmp_path / bridge_identity.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("said", [None, b"", b"{}", b'{"gateway":1}', b"\xff"])
def test_without_an_identity_it_is_not_enrolled(tmp_path: Path, said: bytes | None) -> None:
    if said is not None:
        (tmp_path / bridge_identity.FILE).write_bytes(said)
    with pytest.raises(bridge_identity.NotEnrolled):
        bridge_identity.read_identity(tmp_path)


def test_a_home_is_one_daemons_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    with bridge_identity.home_of(home):
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(bridge_identity.InUse), bridge_identity.home_of(home):
            pass
    with bridge_identity.home_of(home):
        pass
