"""Logging in from a Mini App: init data once, and only a phone that is proved."""

import asyncio
from collections.abc import AsyncIterator
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
from tests.services.gateway.adapters.bot_api import TOKEN
from tests.services.gateway.code_desk import Time, desk, pool_of, some_phone

ANNA = 4242
OWNED, LINKED, FOREIGN = "+77020000001", "+77020000002", "+77020000003"


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    async with pool_of(url) as opened:
        yield opened


@pytest.fixture
async def at(pool: Pool) -> CodeDesk:
    """Where one phone is Anna's by her account, one by her contact, one is somebody else's."""
    owners = {
        OWNED: Owner(is_known=True, telegram_id=ANNA),
        FOREIGN: Owner(is_known=True, telegram_id=7),
    }
    made = desk(pool, Time(), owners=owners)
    await made.links.take(1, now=made.clock(), phone=LINKED, telegram_id=ANNA)
    return made


def init_data(at: CodeDesk, telegram_id: int = ANNA, query_id: str = "1") -> str:
    said = {
        "auth_date": str(int(at.clock().timestamp())),
        "query_id": query_id,
        "user": f'{{"id":{telegram_id}}}',
    }
    return urlencode(said | {"hash": sign(said, TOKEN)})


def caller(at: CodeDesk, telegram_id: int = ANNA, query_id: str = "1") -> TelegramCaller:
    return read_init_data(at, init_data(at, telegram_id, query_id), bot_token=TOKEN)


@pytest.mark.parametrize(
    ("said", "proved"),
    [(OWNED, OWNED), (LINKED, LINKED), (LINKED[1:], LINKED), (None, LINKED), ("", LINKED)],
)
async def test_a_phone_is_proved_by_a_contact_or_an_account(
    at: CodeDesk, said: str | None, proved: str
) -> None:
    assert await proved_phone(at, caller(at), said) == proved


@pytest.mark.parametrize("said", [FOREIGN, some_phone()])
async def test_the_apps_word_for_a_phone_proves_nothing(at: CodeDesk, said: str) -> None:
    with pytest.raises(PhoneNotProved):
        await proved_phone(at, caller(at), said)


@pytest.mark.parametrize("said", [None, "", "no phone"])
async def test_a_stranger_must_say_which_phone(at: CodeDesk, said: str | None) -> None:
    with pytest.raises(NoPhone):
        await proved_phone(at, caller(at, 666), said)


async def test_init_data_logs_in_once(at: CodeDesk) -> None:
    same = [caller(at, query_id="once") for _ in range(5)]

    used = await asyncio.gather(*(use_up(at, one) for one in same), return_exceptions=True)

    assert sorted(type(one).__name__ for one in used) == ["InitDataUsed"] * 4 + ["NoneType"]
    with pytest.raises(InitDataUsed):
        await use_up(at, same[0])
    await use_up(at, caller(at, query_id="another"))


def test_init_data_of_another_bot_is_nobodys(at: CodeDesk) -> None:
    with pytest.raises(InitDataForged):
        read_init_data(at, init_data(at), bot_token="1:another")
