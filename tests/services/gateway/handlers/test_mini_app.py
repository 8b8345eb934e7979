"""Logging in from a Mini App: init data once, and only a phone that is proved."""

import asyncio
from urllib.parse import urlencode

import pytest

from libs.postgres.pool import Pool
from services.gateway.domain.telegram_init_data import InitDataForged, TelegramCaller, sign
from services.gateway.handlers.mini_app import (
    InitDataUsed,
    NoPhone,
    PhoneNotProved,
    proved_phone,
    read_init_data,
    use_up,
)
from services.gateway.handlers.one_time_code import CodeDesk, Owner
from tests.services.gateway.adapters.bot_api import CHAT, TOKEN
from tests.services.gateway.code_desk import desk

OWNED, LINKED, FOREIGN, UNKNOWN = (f"+7702000000{n}" for n in range(1, 5))


@pytest.fixture
async def at(pool: Pool) -> CodeDesk:
    """Where one phone is the chat's by its account, one by its contact, one is another's."""
    owners = {
        OWNED: Owner(is_known=True, telegram_id=CHAT),
        FOREIGN: Owner(is_known=True, telegram_id=7),
    }
    made = desk(pool, owners=owners)
    await made.links.take(1, now=made.clock(), phone=LINKED, telegram_id=CHAT)
    return made


def caller(
    at: CodeDesk, telegram_id: int = CHAT, query_id: str = "1", bot_token: str = TOKEN
) -> TelegramCaller:
    """The caller of init data that the bot of `TOKEN` signed, as `bot_token` reads it."""
    fields = {
        "auth_date": str(int(at.clock().timestamp())),
        "query_id": query_id,
        "user": f'{{"id":{telegram_id}}}',
    }
    init_data = urlencode(fields | {"hash": sign(fields, TOKEN)})
    return read_init_data(at, init_data, bot_token=bot_token)


@pytest.mark.parametrize(
    ("phone", "proved"),
    [(OWNED, OWNED), (LINKED, LINKED), (LINKED[1:], LINKED), (None, LINKED), ("", LINKED)],
)
async def test_a_phone_is_proved_by_a_contact_or_an_account(
    at: CodeDesk, phone: str | None, proved: str
) -> None:
    assert await proved_phone(at, caller(at), phone) == proved


@pytest.mark.parametrize(
    ("telegram_id", "phone", "refused"),
    [
        (CHAT, FOREIGN, PhoneNotProved),
        (CHAT, UNKNOWN, PhoneNotProved),
        (666, None, NoPhone),
        (666, "", NoPhone),
        (666, "no phone", NoPhone),
    ],
)
async def test_the_apps_word_for_a_phone_proves_nothing(
    at: CodeDesk, telegram_id: int, phone: str | None, refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        await proved_phone(at, caller(at, telegram_id), phone)


async def test_init_data_logs_in_once(at: CodeDesk) -> None:
    same = [caller(at, query_id="once") for _ in range(5)]

    used = await asyncio.gather(*(use_up(at, one) for one in same), return_exceptions=True)

    assert sorted(type(one).__name__ for one in used) == ["InitDataUsed"] * 4 + ["NoneType"]
    with pytest.raises(InitDataUsed):
        await use_up(at, same[0])
    await use_up(at, caller(at, query_id="another"))


def test_init_data_of_another_bot_is_forged(at: CodeDesk) -> None:
    with pytest.raises(InitDataForged):
        caller(at, bot_token="1:another")
