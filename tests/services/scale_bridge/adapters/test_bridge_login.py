"""The daemon gets in by a code that somebody types, and stays in by tokens that are good once."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from services.scale_bridge.adapters.bridge_login import (
    CLIENT_ID,
    DEVICE_GRANT,
    Codes,
    GatewayAway,
    NotLetIn,
    ask,
    collect,
    refreshed,
)

IN: dict[str, Any] = {"access_token": "a", "refresh_token": "r", "expires_in": 60}
CODES = Codes(
    user_code="BCDF-GHJK", page="p", page_with_code="q", device_code="d", seconds=60.0, pause=5.0
)


class Gateway:
    """Answers what it is told to, one after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append({"path": request.path, **(await request.post())})
        status, said = self.answers.pop(0)
        if isinstance(said, str):
            return web.Response(
                status=status, text=said, headers={"Location": "http://127.0.0.1:9/"}
            )
        return web.json_response(said, status=status)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    runner = web.ServerRunner(web.Server(made))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


class Pauses(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def test_it_asks_for_codes_under_its_name(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    gateway.answers = [
        (
            200,
            {
                "user_code": "BCDF-GHJK",
                "verification_uri": "p",
                "device_code": "d",
                "expires_in": 60,
            },
        )
    ]
    codes = await ask(client, gateway.url, "back room")

    assert (codes.user_code, codes.page_with_code, codes.pause) == ("BCDF-GHJK", "p", 5.0)
    assert "device_code" not in repr(codes)
    assert gateway.asked == [
        {
            "path": "/oauth/device_authorization",
            "client_id": CLIENT_ID,
            "device_name": "back room",
        }
    ]


async def test_it_waits_for_somebody_to_say_yes_as_patiently_as_it_is_told(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    gateway.answers = [
        (400, {"error": "authorization_pending"}),
        (400, {"error": "slow_down"}),
        (503, "away"),
        (200, IN),
    ]
    pauses = Pauses()
    tokens = await collect(client, gateway.url, CODES, pauses)

    assert (tokens.access, tokens.refresh, tokens.seconds) == ("a", "r", 60.0)
    assert "refresh" not in repr(tokens)
    assert pauses == [5.0, 5.0, 10.0, 20.0]
    assert gateway.asked[-1] == {
        "path": "/oauth/token",
        "client_id": CLIENT_ID,
        "grant_type": DEVICE_GRANT,
        "device_code": "d",
    }


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
async def test_a_no_is_a_no(gateway: Gateway, client: aiohttp.ClientSession, error: str) -> None:
    gateway.answers = [(400, {"error": error})]
    with pytest.raises(NotLetIn, match=error):
        await collect(client, gateway.url, CODES, Pauses())


async def test_nobody_is_waited_for_beyond_the_codes_life(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    gateway.answers = [(400, {"error": "authorization_pending"})] * 20
    pauses = Pauses()
    with pytest.raises(NotLetIn, match="expired_token"):
        await collect(client, gateway.url, CODES, pauses)

    assert sum(pauses) == 60.0


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, {}),
        (200, []),
        (200, {**IN, "expires_in": "soon"}),
        (200, "no json"),
        (307, "elsewhere"),
        (429, {"error": "temporarily_unavailable"}),
        (500, {"error": "invalid_grant"}),
        (502, "bad gateway"),
    ],
)
async def test_what_is_no_answer_is_asked_for_again_later(
    gateway: Gateway, client: aiohttp.ClientSession, status: int, said: Any
) -> None:
    gateway.answers = [(status, said)]
    with pytest.raises(GatewayAway):
        await refreshed(client, gateway.url, "r0")


async def test_a_gateway_that_is_not_there_is_away(client: aiohttp.ClientSession) -> None:
    with pytest.raises(GatewayAway):
        await refreshed(client, "http://127.0.0.1:9", "r0")


async def test_a_worthless_refresh_token_is_told_from_a_gateway_in_trouble(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    gateway.answers = [(400, {"error": "invalid_grant"})]
    with pytest.raises(NotLetIn, match="invalid_grant"):
        await refreshed(client, gateway.url, "r0")
