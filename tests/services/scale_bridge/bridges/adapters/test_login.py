"""The agent logs in by a code that a person types, refreshes its tokens, and stores its identity
atomically, for its owner only."""

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
    GatewayUnavailable,
    NotAuthorized,
    poll_tokens,
    refresh_tokens,
    request_codes,
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
    """Gives the `answers` in order, and records the `requests` of a `client`."""

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


async def test_an_agent_requests_codes_under_its_name(gateway: Gateway) -> None:
    answer = {"user_code": "BCDF-GHJK", "verification_uri": "p", "device_code": "d"}
    gateway.answers = [(200, {**answer, "expires_in": 60})]
    codes = await request_codes(gateway.client, gateway.url, "back room")

    assert (codes.user_code, codes.page_with_code, codes.pause) == ("BCDF-GHJK", "p", 5.0)
    assert "device_code" not in repr(codes)
    asked = {"path": "/oauth/device_authorization", "client_id": CLIENT_ID}
    assert gateway.requests == [{**asked, "device_name": "back room"}]


async def test_an_agent_polls_as_slowly_as_the_gateway_demands(gateway: Gateway) -> None:
    gateway.answers = [(400, PENDING), (400, SLOW_DOWN), (503, "away"), (200, IN)]
    pauses = Pauses()
    tokens = await poll_tokens(gateway.client, gateway.url, CODES, pauses)

    assert (tokens.access, tokens.refresh, tokens.seconds) == ("a", "r", 60.0)
    assert "refresh" not in repr(tokens)
    assert pauses == [5.0, 5.0, 10.0, 20.0]
    grant = {"client_id": CLIENT_ID, "grant_type": DEVICE_GRANT, "device_code": "d"}
    assert gateway.requests[-1] == {"path": "/oauth/token", **grant}


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
async def test_a_refusal_ends_the_enrolment(gateway: Gateway, error: str) -> None:
    gateway.answers = [(400, {"error": error})]
    with pytest.raises(NotAuthorized, match=error):
        await poll_tokens(gateway.client, gateway.url, CODES, Pauses())


async def test_polling_ends_when_the_code_expires(gateway: Gateway) -> None:
    gateway.answers = [(400, PENDING)] * 20
    pauses = Pauses()
    with pytest.raises(NotAuthorized, match="expired_token"):
        await poll_tokens(gateway.client, gateway.url, CODES, pauses)

    assert sum(pauses) == 60.0


@pytest.mark.parametrize(
    ("status", "said", "fault"),
    [
        *(
            (200, {}, GatewayUnavailable),
            (200, [], GatewayUnavailable),
            (200, "no json", GatewayUnavailable),
        ),
        (200, {**IN, "expires_in": "soon"}, GatewayUnavailable),
        (429, {"error": "temporarily_unavailable"}, GatewayUnavailable),
        (500, {"error": "invalid_grant"}, GatewayUnavailable),
        *((502, "bad gateway", GatewayUnavailable), (307, "elsewhere", GatewayUnavailable)),
        (400, {"error": "invalid_grant"}, NotAuthorized),
    ],
)
async def test_an_invalid_refresh_token_differs_from_a_failing_gateway(
    gateway: Gateway, status: int, said: Any, fault: type[Exception]
) -> None:
    gateway.answers = [(status, said)]
    with pytest.raises(fault, match="invalid_grant" if fault is NotAuthorized else None):
        await refresh_tokens(gateway.client, gateway.url, "r0")


async def test_an_unreachable_gateway_is_unavailable(client: aiohttp.ClientSession) -> None:
    with pytest.raises(GatewayUnavailable):
        await refresh_tokens(client, f"http://127.0.0.1:{free_port()}", "r0")


async def test_a_connection_without_an_answer_times_out(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(10 * PATIENCE_SECONDS)
        return web.Response()

    monkeypatch.setattr(bridge_link, "OPEN_SECONDS", 0.1)
    async with http_server(silent) as gateway, asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(GatewayUnavailable):
            async with open_link(client, gateway, "a"):
                pass


def test_an_identity_that_is_written_is_read(tmp_path: Path) -> None:
    bridge_identity.write_identity(tmp_path, ONE)

    assert bridge_identity.read_identity(tmp_path) == ONE
    assert (tmp_path / bridge_identity.FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [bridge_identity.FILE]
    assert "r0" not in repr(ONE)
    assert "x07" not in repr(ONE)


def test_files_of_a_crash_are_overwritten(tmp_path: Path) -> None:
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
def test_an_agent_without_an_identity_is_not_enrolled(tmp_path: Path, said: bytes | None) -> None:
    if said is not None:
        (tmp_path / bridge_identity.FILE).write_bytes(said)
    with pytest.raises(bridge_identity.NotEnrolled):
        bridge_identity.read_identity(tmp_path)


def test_one_agent_at_a_time_uses_a_directory(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    with bridge_identity.home_of(home):
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(bridge_identity.InUse), bridge_identity.home_of(home):
            pass
    with bridge_identity.home_of(home):
        pass
