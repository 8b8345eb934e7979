"""Which Telegram account reads which phone: for good, and unreadable without the keys."""

import asyncio
import itertools
from datetime import timedelta

import pytest

from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from services.gateway.adapters.telegram_links import UPDATES_REMEMBERED, TelegramLinks
from tests.services.gateway.code_desk import SEAL, some_phone

numbers = itertools.count(1000)


@pytest.fixture
def links(pool: Pool) -> TelegramLinks:
    return TelegramLinks(pool, seal=SEAL)


@pytest.fixture
def phone() -> str:
    return some_phone()


async def link(
    links: TelegramLinks, phone: str, telegram_id: int, clock: Clock, number: int | None = None
) -> bool:
    number = next(numbers) if number is None else number
    return await links.take(number, now=clock(), phone=phone, telegram_id=telegram_id)


async def test_a_link_is_found_from_both_ends_until_it_is_forgotten(
    links: TelegramLinks, phone: str, clock: Clock
) -> None:
    anna = next(numbers)
    assert await links.chat_of(phone) is None
    assert not await links.is_linked(phone, anna)
    assert await links.phone_of(anna) is None

    await link(links, phone, anna, clock)
    assert await links.chat_of(phone) == anna
    assert await links.phone_of(anna) == phone
    assert await links.is_linked(phone, anna)
    assert not await links.is_linked(phone, anna + 1)

    await links.unlink(phone)
    assert await links.chat_of(phone) is None


async def test_the_last_one_to_share_a_phone_has_it(
    links: TelegramLinks, phone: str, clock: Clock
) -> None:
    anna, boris = next(numbers), next(numbers)
    await link(links, phone, anna, clock)
    await link(links, phone, boris, clock)

    assert await links.chat_of(phone) == boris
    assert await links.phone_of(anna) is None


async def test_an_account_with_a_new_phone_reads_the_old_one_no_more(
    links: TelegramLinks, phone: str, clock: Clock
) -> None:
    new, anna = some_phone(), next(numbers)
    await link(links, phone, anna, clock)
    await link(links, new, anna, clock)

    assert await links.chat_of(phone) is None
    assert await links.phone_of(anna) == new


async def test_an_update_counts_once_however_often_it_comes(
    links: TelegramLinks, phone: str, clock: Clock
) -> None:
    anna, number = next(numbers), next(numbers)

    taken = await asyncio.gather(*(link(links, phone, anna, clock, number) for _ in range(10)))
    await link(links, phone, anna + 500_000, clock)
    again = await link(links, phone, anna, clock, number)

    assert sorted(taken) == [False] * 9 + [True]
    assert not again
    assert await links.chat_of(phone) == anna + 500_000


async def test_updates_are_forgotten_when_telegram_gave_up_on_them(
    links: TelegramLinks, pool: Pool, clock: Clock
) -> None:
    await links.take(next(numbers), now=clock())
    clock.now += UPDATES_REMEMBERED
    await links.take(next(numbers), now=clock())

    rest = "SELECT count(*) FROM telegram_once WHERE until <= $1"
    assert await pool.fetchval(rest, clock()) == 0


async def test_init_data_may_be_used_once(links: TelegramLinks, clock: Clock) -> None:
    until, fingerprint = clock() + timedelta(days=1), f"{next(numbers):064}"

    used = await asyncio.gather(
        *(links.first_use(fingerprint, until=until, now=clock()) for _ in range(10))
    )

    assert sorted(used) == [False] * 9 + [True]


async def test_a_link_cannot_be_read_without_the_keys(
    links: TelegramLinks, pool: Pool, phone: str, clock: Clock
) -> None:
    anna = 123_456_789
    await link(links, phone, anna, clock)

    rows = [str(row) for row in await pool.fetch("SELECT * FROM telegram_link")]

    assert rows
    assert not any(phone[1:] in row or str(anna) in row for row in rows)
