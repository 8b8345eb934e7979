"""Which Telegram account reads which phone: for good, and for nobody else to read."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from libs.postgres.pool import Pool
from services.gateway.adapters.telegram_links import UPDATES_REMEMBERED, TelegramLinks
from tests.services.gateway.code_desk import SEAL, Time, pool_of, some_phone

numbers = itertools.count(1000)


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    async with pool_of(url) as opened:
        yield opened


@pytest.fixture
def links(pool: Pool) -> TelegramLinks:
    return TelegramLinks(pool, seal=SEAL)


@pytest.fixture
def time() -> Time:
    return Time()


async def link(links: TelegramLinks, phone: str, telegram_id: int, time: Time) -> bool:
    return await links.take(next(numbers), now=time.now, phone=phone, telegram_id=telegram_id)


async def test_a_link_is_found_from_both_ends(links: TelegramLinks, time: Time) -> None:
    phone, anna = some_phone(), next(numbers)
    await link(links, phone, anna, time)

    assert await links.chat_of(phone) == anna
    assert await links.phone_of(anna) == phone
    assert await links.is_linked(phone, anna)
    assert not await links.is_linked(phone, anna + 1)


async def test_nobody_has_a_phone_that_was_not_shared(links: TelegramLinks) -> None:
    phone = some_phone()

    assert await links.chat_of(phone) is None
    assert not await links.is_linked(phone, 1)
    assert await links.phone_of(999_999_999) is None


async def test_who_shared_a_phone_last_has_it(links: TelegramLinks, time: Time) -> None:
    phone, anna, boris = some_phone(), next(numbers), next(numbers)
    await link(links, phone, anna, time)
    await link(links, phone, boris, time)

    assert await links.chat_of(phone) == boris
    assert await links.phone_of(anna) is None


async def test_an_account_with_a_new_phone_reads_the_old_one_no_more(
    links: TelegramLinks, time: Time
) -> None:
    old, new, anna = some_phone(), some_phone(), next(numbers)
    await link(links, old, anna, time)
    await link(links, new, anna, time)

    assert await links.chat_of(old) is None
    assert await links.phone_of(anna) == new


async def test_an_update_counts_once_however_often_it_comes(
    links: TelegramLinks, time: Time
) -> None:
    phone, anna, number = some_phone(), next(numbers), next(numbers)

    taken = await asyncio.gather(
        *(links.take(number, now=time.now, phone=phone, telegram_id=anna) for _ in range(10))
    )
    await link(links, phone, anna + 500_000, time)
    again = await links.take(number, now=time.now, phone=phone, telegram_id=anna)

    assert sorted(taken) == [False] * 9 + [True]
    assert not again
    assert await links.chat_of(phone) == anna + 500_000


async def test_updates_are_forgotten_when_telegram_gave_up_on_them(
    links: TelegramLinks, pool: Pool, time: Time
) -> None:
    number = next(numbers)
    await links.take(number, now=time.now)
    time.pass_by(UPDATES_REMEMBERED.total_seconds())
    await links.take(next(numbers), now=time.now)

    rest = "SELECT count(*) FROM telegram_once WHERE until <= $1"
    assert await pool.fetchval(rest, time.now) == 0


async def test_init_data_may_be_shown_once(links: TelegramLinks, time: Time) -> None:
    until, fingerprint = time.now + timedelta(days=1), f"{next(numbers):064}"

    shown = await asyncio.gather(
        *(links.first_use(fingerprint, until=until, now=time.now) for _ in range(10))
    )

    assert sorted(shown) == [False] * 9 + [True]


async def test_a_link_can_be_forgotten(links: TelegramLinks, time: Time) -> None:
    phone, anna = some_phone(), next(numbers)
    await link(links, phone, anna, time)
    await links.unlink(phone)

    assert await links.chat_of(phone) is None


async def test_a_link_cannot_be_read_without_the_keys(
    links: TelegramLinks, pool: Pool, time: Time
) -> None:
    phone, anna = some_phone(), 123_456_789
    await link(links, phone, anna, time)

    rows = [str(row) for row in await pool.fetch("SELECT * FROM telegram_link")]

    assert rows
    assert not any(phone[1:] in row or str(anna) in row for row in rows)
