"""Asking for a code and trying it, with a Bot API on loopback and a real database."""

import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from libs.errors import Unavailable
from libs.postgres.pool import Pool
from libs.security import codes
from services.gateway import bootstrap
from services.gateway.adapters.telegram import Bot
from services.gateway.domain.one_time_code import Expired, TooMany, Verified, Way, Wrong
from services.gateway.domain.person import Person
from services.gateway.handlers.account import open_account
from services.gateway.handlers.one_time_code import (
    CodeDesk,
    Delivery,
    Owner,
    request_code,
    verify_code,
)
from tests.services.gateway.adapters.bot_api import CHAT, BotApi
from tests.services.gateway.code_desk import BOT_NAME, desk, some_address, some_phone
from tests.services.gateway.conftest import gateway_settings

REGISTER = Delivery(way=Way.REGISTER, bot_link=f"https://t.me/{BOT_NAME}?start=login")


@pytest.fixture
def phone() -> str:
    return some_phone()


def a_desk(pool: Pool, phone: str, bot: Bot | None = None, **options: Any) -> CodeDesk:
    """A desk that knows the phone as that of the chat."""
    owners = {phone: Owner(is_known=True, telegram_id=CHAT)}
    return desk(pool, bot=bot, **{"owners": owners} | options)


@pytest.fixture
def at(pool: Pool, phone: str, bot: Bot) -> CodeDesk:
    return a_desk(pool, phone, bot)


async def request(at: CodeDesk, phone: str) -> Delivery | TooMany:
    return await request_code(at, phone, address=some_address())


async def attempt(at: CodeDesk, phone: str, code: str) -> object:
    return await verify_code(at, phone, code, address=some_address())


def last_code(bot_api: BotApi) -> str:
    (code,) = re.findall(r"\b\d{6}\b", bot_api.last_to(CHAT)["text"])
    return str(code)


async def test_the_code_that_came_by_telegram_opens_once(
    at: CodeDesk, bot_api: BotApi, phone: str
) -> None:
    with capture_logs() as lines:
        delivery = await request(at, phone)
    code = last_code(bot_api)

    assert delivery == Delivery(way=Way.TELEGRAM)
    assert code not in str(lines)
    assert await attempt(at, phone, code) == Verified()
    assert await attempt(at, phone, code) == Expired()


async def test_a_shared_contact_gets_codes_without_an_account(
    pool: Pool, bot_api: BotApi, bot: Bot, phone: str
) -> None:
    at = a_desk(pool, phone, bot, owners={})
    await at.links.take(1, now=at.clock(), phone=phone, telegram_id=CHAT)

    assert await request(at, phone) == Delivery(way=Way.TELEGRAM)
    assert await attempt(at, phone, last_code(bot_api)) == Verified()


@pytest.mark.parametrize("is_known", [False, True])
async def test_without_a_shared_contact_people_are_sent_to_the_bot(
    pool: Pool,
    bot_api: BotApi,
    bot: Bot,
    phone: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_known: bool,
) -> None:
    monkeypatch.setattr(codes, "generate", lambda: "123456")
    at = a_desk(pool, phone, bot, owners={phone: Owner(is_known=is_known)})

    assert await request(at, phone) == REGISTER
    assert bot_api.messages == []
    assert await attempt(at, phone, "123456") == Wrong(remaining=4)


async def test_people_who_blocked_the_bot_are_sent_there_again(
    at: CodeDesk, bot_api: BotApi, phone: str
) -> None:
    bot_api.blocked.add(CHAT)

    assert await request(at, phone) == REGISTER


async def test_while_telegram_is_away_people_are_asked_to_come_back(
    at: CodeDesk, bot_api: BotApi, phone: str
) -> None:
    bot_api.limits.append(40)

    with pytest.raises(Unavailable) as refused:
        await request(at, phone)

    assert refused.value.retry_after_seconds == 40


async def test_without_a_bot_there_are_no_codes(pool: Pool, phone: str) -> None:
    with pytest.raises(Unavailable):
        await request(a_desk(pool, phone), phone)


async def test_without_a_bot_the_demo_shows_the_code_and_logs_it(pool: Pool, phone: str) -> None:
    at = a_desk(pool, phone, is_demo=True)

    with capture_logs() as lines:
        delivery = await request(at, phone)

    assert isinstance(delivery, Delivery)
    assert delivery.way is Way.SHOWN
    (line,) = lines
    assert (line["code"], "demo" in line["event"]) == (delivery.code, True)
    assert phone not in str(lines)
    assert await attempt(at, phone, delivery.code or "") == Verified()


async def test_the_demo_does_not_need_telegram(
    pool: Pool, bot_api: BotApi, bot: Bot, phone: str
) -> None:
    bot_api.limits.append(40)
    delivery = await request(a_desk(pool, phone, bot, is_demo=True), phone)

    assert isinstance(delivery, Delivery)
    assert delivery.way is Way.SHOWN


async def test_the_newest_code_counts(
    at: CodeDesk, bot_api: BotApi, phone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = iter(["111111", "222222"])
    monkeypatch.setattr(codes, "generate", lambda: next(generated))
    for code in ("111111", "222222"):
        await request(at, phone)
        assert last_code(bot_api) == code

    assert await attempt(at, phone, "111111") == Wrong(remaining=4)
    assert await attempt(at, phone, "222222") == Verified()


async def test_too_many_requests_send_nothing(at: CodeDesk, bot_api: BotApi, phone: str) -> None:
    answers = [await request(at, phone) for _ in range(12)]

    assert [type(one) for one in answers] == [Delivery] * 10 + [TooMany] * 2
    assert len(bot_api.messages) == 10


async def test_a_phone_is_known_as_soon_as_its_account_is_open(url: str, phone: str) -> None:
    settings = gateway_settings("http://127.0.0.1:1", database_url=url)
    plain = some_phone()
    async with bootstrap.open_deps(settings) as deps:
        for person in (Person(phone=phone, telegram_id=CHAT), Person(phone=plain)):
            await open_account(deps.identity, person, password=None, roles=[], actor="test")
        owner_of = deps.code_desk.who_has

        assert await owner_of(phone) == Owner(is_known=True, telegram_id=CHAT)
        assert await owner_of(plain) == Owner(is_known=True, telegram_id=None)
        assert await owner_of(some_phone()) == Owner(is_known=False)
