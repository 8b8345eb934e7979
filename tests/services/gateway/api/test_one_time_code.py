"""Asking for a code as the shop's login page does, through the gateway (spec shop §2)."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from services.gateway import bootstrap
from services.gateway.api.one_time_code import why_not
from services.gateway.api.shop_route import MAX_BODY_BYTES
from services.gateway.deps import Deps
from services.gateway.domain.one_time_code import Expired, TooMany, Verified, Wrong
from services.gateway.handlers.one_time_code import verify_code
from tests.services.gateway.adapters.bot_api import TOKEN, BotApi, open_bot_api
from tests.services.gateway.code_desk import BOT_NAME, some_address, some_phone
from tests.services.gateway.conftest import gateway_settings

ASK = "/api/auth/request-otp"
ANNA = 4242


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with open_bot_api() as fake:
        fake.chats.add(ANNA)
        yield fake


@asynccontextmanager
async def opened(url: str, **different: Any) -> AsyncIterator[tuple[Deps, AsyncClient]]:
    """A gateway, and a client at an address of its own."""
    settings = gateway_settings("http://127.0.0.1:1", database_url=url, **different)
    async with bootstrap.open_deps(settings) as deps:
        transport = ASGITransport(bootstrap.create_app(deps), client=(some_address(), 5555))
        async with AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield deps, client


def with_bot(api: BotApi, profile: str = "production") -> dict[str, Any]:
    told = {"telegram_url": api.url, "telegram_token": TOKEN, "telegram_bot": BOT_NAME}
    return {**told, "profile": profile}


async def test_a_code_comes_by_telegram(url: str, api: BotApi) -> None:
    phone = some_phone()
    async with opened(url, **with_bot(api)) as (deps, client):
        at = deps.code_desk
        await at.links.take(1, now=at.clock(), phone=phone, telegram_id=ANNA)
        answer = await client.post(ASK, json={"phone": phone})
        (code,) = re.findall(r"\d{6}", api.last_to(ANNA)["text"])

        assert answer.status_code == 201
        assert answer.json()["delivery_method"] == "telegram"
        assert answer.json().keys() == {"message", "delivery_method"}
        assert code not in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        assert await verify_code(at, phone, code, address="192.0.2.1") == Verified()


async def test_who_is_unknown_is_told_how_to_register(url: str, api: BotApi) -> None:
    async with opened(url, **with_bot(api)) as (_, client):
        answer = await client.post(f"{ASK}/", json={"phone": some_phone()})

    told = answer.json()
    assert answer.status_code == 201
    assert told["delivery_method"] == "need_registration"
    assert told["bot_link"].startswith(f"https://t.me/{BOT_NAME}")
    assert all(isinstance(line, str) for line in told["instructions"])
    assert told["instructions"]
    assert "otp" not in told


async def test_the_demo_shows_the_code(url: str) -> None:
    phone = some_phone()
    async with opened(url, profile="demo") as (deps, client):
        answer = await client.post(ASK, json={"phone": phone})
        told = answer.json()
        outcome = await verify_code(deps.code_desk, phone, told["otp"], address="192.0.2.2")

    assert (answer.status_code, told["delivery_method"]) == (201, "debug")
    assert outcome == Verified()


async def test_without_a_bot_and_a_demo_there_are_no_codes(url: str) -> None:
    async with opened(url, profile="production") as (_, client):
        answer = await client.post(ASK, json={"phone": some_phone()})

    assert answer.status_code == 503
    assert isinstance(answer.json()["detail"], str)
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"phone": None},
        {"phone": 77011234567},
        {"phone": "77011234567"},
        {"phone": "+7701123456"},
        {"phone": "+770112345678"},
        {"phone": "+7 701 123 45 67"},
        {"phone": "+7701123456٧"},
        {"phone": "+77011234567\n"},
        [],
        "text",
    ],
)
async def test_a_422_is_a_text_the_page_can_show(url: str, sent: object) -> None:
    async with opened(url, profile="demo") as (_, client):
        answer = await client.post(ASK, json=sent)

    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)
    assert isinstance(answer.json()["errors"], list)
    assert "770112345" not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 5000, b"\xff"])
async def test_what_is_no_json_is_a_422_too(url: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with opened(url, profile="demo") as (_, client):
        answer = await client.post(ASK, content=body, headers=headers)

    assert answer.status_code in {400, 422}
    assert isinstance(answer.json()["detail"], str)


async def test_a_body_no_login_needs_is_refused(url: str) -> None:
    async with opened(url, profile="demo") as (_, client):
        answer = await client.post(ASK, content=b"x" * (MAX_BODY_BYTES + 1))

    assert answer.status_code == 413


async def test_too_many_requests_are_said_in_the_words_the_page_looks_for(url: str) -> None:
    phone = some_phone()
    async with opened(url, profile="demo") as (_, client):
        answers = [await client.post(ASK, json={"phone": phone}) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [201] * 10 + [429]
    assert "Too many requests" in answers[-1].json()["detail"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_a_wrong_code_is_said_in_the_words_the_page_looks_for() -> None:
    wrong, expired, over = (
        why_not(outcome) for outcome in (Wrong(remaining=3), Expired(), TooMany(retry_after=9))
    )

    assert [error.status_code for error in (wrong, expired, over)] == [400, 400, 400]
    assert "Invalid OTP" in wrong.detail
    assert "3" in wrong.detail
    assert "Invalid OTP" not in expired.detail
    assert over.headers == {"Retry-After": "9"}
