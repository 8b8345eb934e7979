"""Grants of devices in a real database: one answer, one use, nothing kept for long."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest

from contracts.gateway import AccountId
from libs.postgres.pool import Pool
from services.gateway.adapters import tries
from services.gateway.adapters.device_grants import REMEMBERED, claim, keep, poll, settle, waiting
from services.gateway.domain.device_grant import LIFETIME, Answer, Grant, Verdict
from tests.services.gateway.code_desk import Time, pool_of

CLIENT = "tillstream-kiosk"
WINDOW = timedelta(minutes=15)
_numbers = count(1)


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    async with pool_of(url) as opened:
        yield opened


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def grant(pool: Pool, time: Time) -> Grant:
    """One that waits."""
    number = next(_numbers)
    made = Grant(
        device=f"device {number}",
        shown=f"shown {number}",
        client_id=CLIENT,
        account_id=AccountId(uuid4()),
        sealed="sealed",
        answer=Answer.WAITING,
        tenant=None,
        pause=5,
        polled_at=None,
        expires_at=time.now + LIFETIME,
    )
    assert await keep(pool, made, time.now)
    return made


async def test_what_waits_is_found_by_what_it_shows(pool: Pool, time: Time, grant: Grant) -> None:
    assert await waiting(pool, grant.shown, time.now) == grant
    assert await waiting(pool, grant.device, time.now) is None
    assert await waiting(pool, grant.shown, grant.expires_at) is None


async def test_two_devices_never_show_the_same_code(pool: Pool, time: Time, grant: Grant) -> None:
    assert not await keep(pool, replace(grant, device="another"), time.now)
    assert await waiting(pool, grant.shown, time.now) == grant


async def test_of_several_answers_at_once_one_counts(pool: Pool, time: Time, grant: Grant) -> None:
    claimed = await asyncio.gather(*(claim(pool, grant.shown, time.now) for _ in range(8)))

    assert [one.device for one in claimed if one is not None] == [grant.device]
    assert await waiting(pool, grant.shown, time.now) is None
    assert (await poll(pool, grant.device, CLIENT, time.now))[0] is Verdict.PENDING


async def test_a_yes_is_heard_once_by_whoever_asks_at_once(
    pool: Pool, time: Time, grant: Grant
) -> None:
    await claim(pool, grant.shown, time.now)
    await settle(pool, grant.device, Answer.APPROVED, "demo")

    heard = await asyncio.gather(
        *(poll(pool, grant.device, CLIENT, time.now) for _ in range(8)),
        poll(pool, grant.device, "tillstream-bridge", time.now),
    )

    verdicts = [verdict for verdict, _ in heard]
    assert verdicts.count(Verdict.IN) == 1
    assert verdicts.count(Verdict.WORTHLESS) == 8
    assert verdicts[-1] is Verdict.WORTHLESS


async def test_who_asks_too_soon_must_leave_more_time(pool: Pool, time: Time, grant: Grant) -> None:
    heard = []
    for seconds in (0, 1, 8, 14):
        time.pass_by(seconds)
        heard.append((await poll(pool, grant.device, CLIENT, time.now))[0])

    assert heard == [Verdict.PENDING, Verdict.SLOW_DOWN, Verdict.SLOW_DOWN, Verdict.PENDING]


async def test_what_is_over_is_told_for_a_while_and_then_forgotten(
    pool: Pool, time: Time, grant: Grant
) -> None:
    time.pass_by(LIFETIME.total_seconds())
    assert (await poll(pool, grant.device, CLIENT, time.now))[0] is Verdict.EXPIRED

    time.pass_by(REMEMBERED.total_seconds())
    await keep(pool, replace(grant, device="next", shown="next"), time.now)

    assert (await poll(pool, grant.device, CLIENT, time.now))[0] is Verdict.WORTHLESS
    await pool.execute("DELETE FROM device_grant WHERE device = 'next'")


async def test_tries_are_counted_from_the_first_and_end_with_the_window(
    pool: Pool, time: Time
) -> None:
    async def take(who: str) -> int | None:
        return await tries.take(pool, "test", who, most=2, window=WINDOW, now=time.now)

    anna = [await take("anna") for _ in range(4)]
    time.pass_by(60)
    waits = await take("anna")
    boris = await take("boris")
    time.pass_by(WINDOW.total_seconds())

    assert anna == [None, None, 900, 900]
    assert (waits, boris) == (840, None)
    assert await take("anna") is None


async def test_a_right_try_is_given_back(pool: Pool, time: Time) -> None:
    for _ in range(5):
        taken = await tries.take(pool, "test", "vera", most=1, window=WINDOW, now=time.now)
        assert taken is None
        await tries.give_back(pool, "test", "vera")


async def test_no_try_slips_through_when_many_are_made_at_once(pool: Pool, time: Time) -> None:
    taken = await asyncio.gather(
        *(tries.take(pool, "test", "mob", most=3, window=WINDOW, now=time.now) for _ in range(10))
    )

    assert taken.count(None) == 3
