"""The store of one-time codes: what it counts cannot be overtaken, what it keeps tells nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from libs.postgres.pool import Pool
from services.gateway.adapters.codes import Codes
from services.gateway.domain.one_time_code import (
    LIFETIME,
    REQUESTS,
    REQUESTS_OF_ADDRESS,
    TRIES,
    TRIES_OF_ADDRESS,
    Expired,
    Outcome,
    TooMany,
    Verified,
    Wrong,
)
from tests.services.gateway.code_desk import (
    CODE_KEY,
    SEAL,
    Time,
    pool_of,
    some_address,
    some_phone,
)

CODE, OTHER = "012345", "543210"


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    async with pool_of(url) as opened:
        yield opened


@pytest.fixture
def codes(pool: Pool) -> Codes:
    return Codes(pool, seal=SEAL, key=CODE_KEY)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def phone() -> str:
    return some_phone()


async def keep(codes: Codes, phone: str, time: Time, code: str | None = CODE) -> None:
    assert await codes.keep(phone, code, address=some_address(), now=time.now) is None


async def attempt(
    codes: Codes, phone: str, code: str, time: Time, address: str | None = None
) -> Outcome:
    return await codes.attempt(phone, code, address=address or some_address(), now=time.now)


async def test_a_code_opens_once(codes: Codes, phone: str, time: Time) -> None:
    await keep(codes, phone, time)

    assert await attempt(codes, phone, CODE, time) == Verified()
    assert await attempt(codes, phone, CODE, time) == Expired()


async def test_a_code_opens_once_however_many_show_it_at_the_same_moment(
    codes: Codes, phone: str, time: Time
) -> None:
    await keep(codes, phone, time)

    outcomes = await asyncio.gather(*(attempt(codes, phone, CODE, time) for _ in range(20)))

    assert outcomes.count(Verified()) == 1


async def test_fifty_guesses_at_once_are_five_tries(codes: Codes, phone: str, time: Time) -> None:
    await keep(codes, phone, time)

    outcomes = await asyncio.gather(*(attempt(codes, phone, OTHER, time) for _ in range(50)))

    wrong = sorted(one.remaining for one in outcomes if isinstance(one, Wrong))
    assert wrong == [0, 1, 2, 3, 4]
    assert len([one for one in outcomes if isinstance(one, TooMany)]) == 45
    assert await attempt(codes, phone, CODE, time) == TooMany(retry_after=900)


async def test_one_address_has_five_tries_whatever_the_phone(codes: Codes, time: Time) -> None:
    phones = [some_phone() for _ in range(50)]
    eve = some_address()

    outcomes = await asyncio.gather(*(attempt(codes, one, CODE, time, eve) for one in phones))

    assert Counter(type(one) for one in outcomes) == {
        Expired: TRIES_OF_ADDRESS.most,
        TooMany: 50 - TRIES_OF_ADDRESS.most,
    }


async def test_an_address_without_tries_takes_none_of_anybodys(
    codes: Codes, phone: str, time: Time
) -> None:
    eve = some_address()
    for _ in range(TRIES_OF_ADDRESS.most):
        await attempt(codes, some_phone(), OTHER, time, eve)
    await keep(codes, phone, time)

    assert isinstance(await attempt(codes, phone, OTHER, time, eve), TooMany)
    assert await attempt(codes, phone, OTHER, time) == Wrong(remaining=4)


async def test_another_code_brings_no_tries_back(codes: Codes, phone: str, time: Time) -> None:
    await keep(codes, phone, time)
    await attempt(codes, phone, OTHER, time)
    await keep(codes, phone, time, "111111")

    assert await attempt(codes, phone, CODE, time) == Wrong(remaining=3)
    assert await attempt(codes, phone, "111111", time) == Verified()


async def test_without_tries_there_are_no_codes_either(
    codes: Codes, phone: str, time: Time
) -> None:
    await keep(codes, phone, time)
    for _ in range(TRIES.most):
        await attempt(codes, phone, OTHER, time)
    time.pass_by(60)

    refused = await codes.keep(phone, CODE, address=some_address(), now=time.now)
    time.pass_by(TRIES.window.total_seconds() - 60)
    gone = await attempt(codes, phone, CODE, time)
    await keep(codes, phone, time)

    assert refused == TooMany(retry_after=840)
    assert gone == Expired()
    assert await attempt(codes, phone, CODE, time) == Verified()


async def test_the_right_code_gives_the_tries_back(codes: Codes, phone: str, time: Time) -> None:
    home = some_address()
    for _ in range(4):
        await keep(codes, phone, time)
        await attempt(codes, phone, OTHER, time)
        assert await attempt(codes, phone, CODE, time, home) == Verified()
    await keep(codes, phone, time)

    assert await attempt(codes, phone, OTHER, time, home) == Wrong(remaining=4)


async def test_the_last_try_may_be_the_right_one(codes: Codes, phone: str, time: Time) -> None:
    await keep(codes, phone, time)
    for _ in range(TRIES.most - 1):
        await attempt(codes, phone, OTHER, time)

    assert await attempt(codes, phone, CODE, time) == Verified()


async def test_a_code_is_good_for_five_minutes(codes: Codes, phone: str, time: Time) -> None:
    await keep(codes, phone, time)
    time.pass_by(LIFETIME.total_seconds() - 1)
    assert await attempt(codes, phone, OTHER, time) == Wrong(remaining=4)
    time.pass_by(1)

    assert await attempt(codes, phone, CODE, time) == Expired()


async def test_the_code_of_one_phone_opens_no_other(codes: Codes, phone: str, time: Time) -> None:
    other = some_phone()
    await keep(codes, phone, time)
    await keep(codes, other, time, OTHER)

    assert await attempt(codes, phone, OTHER, time) == Wrong(remaining=4)


async def test_a_phone_nobody_has_looks_like_any_other(
    codes: Codes, phone: str, time: Time
) -> None:
    await keep(codes, phone, time, None)

    assert await attempt(codes, phone, CODE, time) == Wrong(remaining=4)


async def test_ten_requests_a_minute_and_no_more(codes: Codes, phone: str, time: Time) -> None:
    asked = [
        codes.keep(phone, CODE, address=some_address(), now=time.now) for _ in range(REQUESTS.most)
    ]
    assert set(await asyncio.gather(*asked)) == {None}

    one_more = await codes.keep(phone, OTHER, address=some_address(), now=time.now)

    assert one_more == TooMany(retry_after=60)
    assert await attempt(codes, phone, CODE, time) == Verified()
    time.pass_by(60)
    await keep(codes, phone, time)


async def test_one_address_asks_for_so_many_phones_and_no_more(codes: Codes, time: Time) -> None:
    eve = some_address()
    asked = [codes.keep(some_phone(), None, address=eve, now=time.now) for _ in range(40)]

    refused = [over for over in await asyncio.gather(*asked) if over is not None]

    assert len(refused) == 40 - REQUESTS_OF_ADDRESS.most


async def test_nothing_that_is_kept_can_be_read(codes: Codes, pool: Pool, time: Time) -> None:
    phone, address = some_phone(), some_address()
    await codes.keep(phone, CODE, address=address, now=time.now)
    await codes.attempt(phone, OTHER, address=address, now=time.now)

    rows = [
        str(row)
        for table in ("one_time_code", "one_time_count")
        for row in await pool.fetch(f"SELECT * FROM {table}")
    ]

    assert rows
    assert not any(secret in row for row in rows for secret in (phone[1:], address))
    assert not any(f"'{code}'" in row for row in rows for code in (CODE, OTHER))


async def test_what_is_over_is_forgotten(codes: Codes, pool: Pool, time: Time) -> None:
    await pool.execute("DELETE FROM one_time_count")
    for _ in range(5):
        gone = some_phone()
        await keep(codes, gone, time)
        await attempt(codes, gone, OTHER, time)
    time.pass_by(86_400)
    await keep(codes, some_phone(), time)

    count = "SELECT count(*) FROM one_time_code WHERE expires_at <= $1"
    counted = "SELECT count(*) FROM one_time_count WHERE until <= $1"
    assert await pool.fetchval(count, time.now) == 0
    assert await pool.fetchval(counted, time.now) == 0
