"""Asking for a code and showing it, with a Bot API on loopback and a real database."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from libs.errors import Unavailable
from libs.postgres.pool import Pool
from libs.security import codes
from services.gateway.adapters.telegram import Bot, open_bot
from services.gateway.domain.one_time_code import (
    Expired,
    TooMany,
    Verified,
    Way,
    Wrong,
)
from services.gateway.handlers.one_time_code import (
    CodeDesk,
    Delivery,
    Owner,
    request_code,
    verify_code,
)
from tests.services.gateway.adapters.bot_api import TOKEN, BotApi, open_bot_api
from tests.services.gateway.code_desk import (
    BOT_NAME,
    Time,
    desk,
    pool_of,
    some_address,
    some_phone,
)

ANNA = 4242
REGISTER = Delivery(way=Way.REGISTER, bot_link=f"https://t.me/{BOT_NAME}?start=login")


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    async with pool_of(url) as opened:
        yield opened


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with open_bot_api() as fake:
        fake.chats.add(ANNA)
        yield fake


@pytest.fixture
async def bot(api: BotApi) -> AsyncIterator[Bot]:
    async with open_bot(api.url, TOKEN) as made:
        yield made


@pytest.fixture
def phone() -> str:
    return some_phone()


def a_desk(pool: Pool, phone: str, **more: Any) -> CodeDesk:
    """Where Anna is known."""
    owners = {phone: Owner(is_known=True, telegram_id=ANNA)}
    return desk(pool, Time(), **{"owners": owners} | more)


async def ask(at: CodeDesk, phone: str) -> Delivery | TooMany:
    return await request_code(at, phone, address=some_address())


async def show(at: CodeDesk, phone: str, code: str) -> object:
    return await verify_code(at, phone, code, address=some_address())


def code_in(message: Any) -> str:
    (found,) = re.findall(r"\b\d{6}\b", message["text"])
    return str(found)


async def test_the_code_that_came_by_telegram_opens_once(
    pool: Pool, api: BotApi, bot: Bot, phone: str
) -> None:
    at = a_desk(pool, phone, bot=bot)

    with capture_logs() as lines:
        delivery = await ask(at, phone)
    code = code_in(api.last_to(ANNA))

    assert delivery == Delivery(way=Way.TELEGRAM)
    assert code not in str(lines)
    assert await show(at, phone, code) == Verified()
    assert await show(at, phone, code) == Expired()


async def test_who_shared_their_contact_gets_codes_without_an_account(
    pool: Pool, api: BotApi, bot: Bot, phone: str
) -> None:
    at = a_desk(pool, phone, bot=bot, owners={})
    await at.links.take(1, now=at.clock(), phone=phone, telegram_id=ANNA)

    assert await ask(at, phone) == Delivery(way=Way.TELEGRAM)
    assert await show(at, phone, code_in(api.last_to(ANNA))) == Verified()


@pytest.mark.parametrize("owner", [Owner(is_known=False), Owner(is_known=True)])
async def test_who_never_shared_their_contact_is_sent_to_the_bot(
    pool: Pool, api: BotApi, bot: Bot, phone: str, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "generate", lambda: "123456")
    at = a_desk(pool, phone, bot=bot, owners={phone: owner})

    assert await ask(at, phone) == REGISTER
    assert api.messages == []
    assert await show(at, phone, "123456") == Wrong(remaining=4)


async def test_who_blocked_the_bot_is_sent_there_again(
    pool: Pool, api: BotApi, bot: Bot, phone: str
) -> None:
    api.blocked.add(ANNA)

    assert await ask(a_desk(pool, phone, bot=bot), phone) == REGISTER


async def test_while_telegram_is_away_people_are_told_to_come_back(
    pool: Pool, api: BotApi, bot: Bot, phone: str
) -> None:
    api.limits.append(40)
    at = a_desk(pool, phone, bot=bot)

    with pytest.raises(Unavailable) as refused:
        await ask(at, phone)

    assert refused.value.retry_after_seconds == 40


async def test_without_a_bot_nobody_gets_a_code(pool: Pool, phone: str) -> None:
    with pytest.raises(Unavailable):
        await ask(a_desk(pool, phone), phone)


async def test_without_a_bot_the_demo_shows_the_code_and_says_so(pool: Pool, phone: str) -> None:
    at = a_desk(pool, phone, is_demo=True)

    with capture_logs() as lines:
        delivery = await ask(at, phone)

    assert isinstance(delivery, Delivery)
    assert delivery.way is Way.SHOWN
    (line,) = lines
    assert (line["code"], "demo" in line["event"]) == (delivery.code, True)
    assert phone not in str(lines)
    assert await show(at, phone, delivery.code or "") == Verified()


async def test_the_demo_does_not_need_telegram_to_be_there(
    pool: Pool, api: BotApi, bot: Bot, phone: str
) -> None:
    api.limits.append(40)
    delivery = await ask(a_desk(pool, phone, bot=bot, is_demo=True), phone)

    assert isinstance(delivery, Delivery)
    assert delivery.way is Way.SHOWN


async def test_the_newest_code_counts(pool: Pool, api: BotApi, bot: Bot, phone: str) -> None:
    at = a_desk(pool, phone, bot=bot)
    await ask(at, phone)
    first = code_in(api.last_to(ANNA))
    await ask(at, phone)
    second = code_in(api.last_to(ANNA))

    outcomes = [await show(at, phone, code) for code in (first, second)]

    # One in a million times both are the same.
    assert outcomes[-1] == (Verified() if first != second else Expired())


async def test_too_many_requests_send_nothing(
    pool: Pool, api: BotApi, bot: Bot, phone: str
) -> None:
    at = a_desk(pool, phone, bot=bot)
    answers = [await ask(at, phone) for _ in range(12)]

    assert [type(one) for one in answers] == [Delivery] * 10 + [TooMany] * 2
    assert len(api.messages) == 10
