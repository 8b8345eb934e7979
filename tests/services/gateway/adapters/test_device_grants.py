"""Grants of devices in a real database: one answer, one use, nothing remembered for long."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest

from contracts.gateway import AccountId
from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from services.gateway.adapters import device_grants, tries
from services.gateway.adapters.device_grants import REMEMBERED, claim, keep, settle, waiting
from services.gateway.domain.device_grant import LIFETIME, Answer, Grant, Verdict

CLIENT = "tillstream-kiosk"
_numbers = count(1)


@pytest.fixture
async def grant(pool: Pool, clock: Clock) -> Grant:
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
        expires_at=clock() + LIFETIME,
    )
    assert await keep(pool, made, clock())
    return made


async def poll(pool: Pool, grant: Grant, clock: Clock, client_id: str = CLIENT) -> Verdict:
    verdict, _ = await device_grants.poll(pool, grant.device, client_id, clock())
    return verdict


async def test_what_waits_is_found_by_its_code_which_no_other_device_shows(
    pool: Pool, clock: Clock, grant: Grant
) -> None:
    assert not await keep(pool, replace(grant, device="another"), clock())
    assert await waiting(pool, grant.shown, clock()) == grant
    assert await waiting(pool, grant.device, clock()) is None
    assert await waiting(pool, grant.shown, grant.expires_at) is None


async def test_of_several_answers_at_once_one_counts(
    pool: Pool, clock: Clock, grant: Grant
) -> None:
    claimed = await asyncio.gather(*(claim(pool, grant.shown, clock()) for _ in range(8)))

    assert [one.device for one in claimed if one is not None] == [grant.device]
    assert await waiting(pool, grant.shown, clock()) is None
    assert await poll(pool, grant, clock) is Verdict.PENDING


async def test_an_approval_is_given_once_to_one_of_many_who_poll_at_once(
    pool: Pool, clock: Clock, grant: Grant
) -> None:
    await claim(pool, grant.shown, clock())
    await settle(pool, grant.device, Answer.APPROVED, "demo")

    *own, foreign = await asyncio.gather(
        *(poll(pool, grant, clock) for _ in range(8)), poll(pool, grant, clock, "tillstream-bridge")
    )

    assert own.count(Verdict.IN) == 1
    assert own.count(Verdict.WORTHLESS) == 7
    assert foreign is Verdict.WORTHLESS


async def test_a_device_that_polls_too_soon_must_leave_more_time(
    pool: Pool, clock: Clock, grant: Grant
) -> None:
    verdicts = []
    for seconds in (0, 1, 8, 14):
        clock.advance(seconds=seconds)
        verdicts.append(await poll(pool, grant, clock))

    assert verdicts == [Verdict.PENDING, Verdict.SLOW_DOWN, Verdict.SLOW_DOWN, Verdict.PENDING]


async def test_what_is_over_is_expired_for_a_while_and_then_forgotten(
    pool: Pool, clock: Clock, grant: Grant
) -> None:
    clock.now += LIFETIME
    assert await poll(pool, grant, clock) is Verdict.EXPIRED

    clock.now += REMEMBERED
    await keep(pool, replace(grant, device="next", shown="next"), clock())

    assert await poll(pool, grant, clock) is Verdict.WORTHLESS
    await pool.execute("DELETE FROM device_grant WHERE device = 'next'")


async def take(pool: Pool, name: str, clock: Clock, *, most: int) -> int | None:
    window = timedelta(minutes=15)
    return await tries.take(pool, "test", name, most=most, window=window, now=clock())


async def test_tries_are_counted_from_the_first_and_end_with_the_window(
    pool: Pool, clock: Clock
) -> None:
    anna = [await take(pool, "anna", clock, most=2) for _ in range(4)]
    clock.advance(seconds=60)
    waits = await take(pool, "anna", clock, most=2)
    boris = await take(pool, "boris", clock, most=2)
    clock.advance(minutes=15)

    assert anna == [None, None, 900, 900]
    assert (waits, boris) == (840, None)
    assert await take(pool, "anna", clock, most=2) is None


async def test_a_right_try_is_given_back(pool: Pool, clock: Clock) -> None:
    for _ in range(5):
        assert await take(pool, "vera", clock, most=1) is None
        await tries.give_back(pool, "test", "vera")


async def test_no_try_slips_through_when_many_are_made_at_once(pool: Pool, clock: Clock) -> None:
    taken = await asyncio.gather(*(take(pool, "mob", clock, most=3) for _ in range(10)))

    assert taken.count(None) == 3
