"""The store of one-time codes: its counts cannot be overtaken, and its rows give nothing away."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest

from libs.postgres.pool import Pool
from libs.testing.clock import Clock
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
from tests.services.gateway.code_desk import CODE_KEY, SEAL, some_address, some_phone

CODE, OTHER = "012345", "543210"


@dataclass(frozen=True)
class Desk:
    """The store, with a phone no other test has; each call comes from a new address by default."""

    codes: Codes
    clock: Clock
    phone: str

    async def request(
        self, code: str | None = CODE, *, phone: str | None = None, address: str | None = None
    ) -> TooMany | None:
        """Store a code, or count a request without one; None if it was stored."""
        return await self.codes.keep(
            phone or self.phone, code, address=address or some_address(), now=self.clock()
        )

    async def attempt(
        self, code: str = CODE, *, phone: str | None = None, address: str | None = None
    ) -> Outcome:
        """Try a code."""
        return await self.codes.attempt(
            phone or self.phone, code, address=address or some_address(), now=self.clock()
        )

    async def several(self, number: int, code: str, address: str | None = None) -> list[Outcome]:
        """Try a code so often, one after the other."""
        return [await self.attempt(code, address=address) for _ in range(number)]


@pytest.fixture
def desk(pool: Pool, clock: Clock) -> Desk:
    return Desk(Codes(pool, seal=SEAL, key=CODE_KEY), clock, some_phone())


async def test_a_code_opens_once_however_many_try_it_at_the_same_moment(desk: Desk) -> None:
    assert await desk.request() is None

    outcomes = await asyncio.gather(*(desk.attempt() for _ in range(20)))

    assert outcomes.count(Verified()) == 1


async def test_a_code_that_was_used_is_over(desk: Desk) -> None:
    await desk.request()

    assert await desk.several(2, CODE) == [Verified(), Expired()]


async def test_fifty_guesses_at_once_are_five_tries(desk: Desk) -> None:
    await desk.request()

    outcomes = await asyncio.gather(*(desk.attempt(OTHER) for _ in range(50)))

    wrong = sorted(one.remaining for one in outcomes if isinstance(one, Wrong))
    assert wrong == [0, 1, 2, 3, 4]
    assert len([one for one in outcomes if isinstance(one, TooMany)]) == 45
    assert await desk.attempt() == TooMany(retry_after=900)


async def test_one_address_has_five_tries_whatever_the_phone(desk: Desk) -> None:
    eve = some_address()

    outcomes = await asyncio.gather(
        *(desk.attempt(phone=some_phone(), address=eve) for _ in range(50))
    )

    most = TRIES_OF_ADDRESS.most
    assert Counter(type(one) for one in outcomes) == {Expired: most, TooMany: 50 - most}


async def test_an_address_without_tries_takes_none_of_others(desk: Desk) -> None:
    eve = some_address()
    for _ in range(TRIES_OF_ADDRESS.most):
        await desk.attempt(OTHER, phone=some_phone(), address=eve)
    await desk.request()

    assert isinstance(await desk.attempt(OTHER, address=eve), TooMany)
    assert await desk.attempt(OTHER) == Wrong(remaining=4)


async def test_another_code_brings_no_tries_back(desk: Desk) -> None:
    await desk.request()
    await desk.attempt(OTHER)
    await desk.request("111111")

    assert await desk.attempt(CODE) == Wrong(remaining=3)
    assert await desk.attempt("111111") == Verified()


async def test_without_tries_there_are_no_codes_either(desk: Desk) -> None:
    await desk.request()
    await desk.several(TRIES.most, OTHER)
    desk.clock.advance(seconds=60)

    assert await desk.request() == TooMany(retry_after=840)
    desk.clock.advance(seconds=TRIES.window.total_seconds() - 60)
    assert await desk.attempt() == Expired()
    assert await desk.request() is None
    assert await desk.attempt() == Verified()


async def test_the_right_code_gives_the_tries_back(desk: Desk) -> None:
    home = some_address()
    for _ in range(4):
        await desk.request()
        await desk.attempt(OTHER)
        assert await desk.attempt(address=home) == Verified()
    await desk.request()

    assert await desk.attempt(OTHER, address=home) == Wrong(remaining=4)


async def test_the_last_try_may_be_the_right_one(desk: Desk) -> None:
    await desk.request()
    await desk.several(TRIES.most - 1, OTHER)

    assert await desk.attempt() == Verified()


async def test_a_code_is_good_for_five_minutes(desk: Desk) -> None:
    await desk.request()
    desk.clock.advance(seconds=LIFETIME.total_seconds() - 1)
    assert await desk.attempt(OTHER) == Wrong(remaining=4)
    desk.clock.advance(seconds=1)

    assert await desk.attempt() == Expired()


async def test_the_code_of_one_phone_opens_no_other(desk: Desk) -> None:
    await desk.request()
    await desk.request(OTHER, phone=some_phone())

    assert await desk.attempt(OTHER) == Wrong(remaining=4)


async def test_a_phone_without_an_account_looks_like_any_other(desk: Desk) -> None:
    await desk.request(None)

    assert await desk.attempt() == Wrong(remaining=4)


async def test_ten_requests_a_minute_and_no_more(desk: Desk) -> None:
    requests = [desk.request() for _ in range(REQUESTS.most)]
    assert set(await asyncio.gather(*requests)) == {None}

    assert await desk.request(OTHER) == TooMany(retry_after=60)
    assert await desk.attempt() == Verified()
    desk.clock.advance(seconds=60)
    assert await desk.request() is None


async def test_one_address_asks_for_so_many_phones_and_no_more(desk: Desk) -> None:
    eve = some_address()
    requests = [desk.request(None, phone=some_phone(), address=eve) for _ in range(40)]

    refused = [over for over in await asyncio.gather(*requests) if over is not None]

    assert len(refused) == 40 - REQUESTS_OF_ADDRESS.most


async def test_the_rows_give_away_neither_phones_nor_addresses_nor_codes(
    desk: Desk, pool: Pool
) -> None:
    address = some_address()
    await desk.request(address=address)
    await desk.attempt(OTHER, address=address)

    rows = [
        str(row)
        for table in ("one_time_code", "one_time_count")
        for row in await pool.fetch(f"SELECT * FROM {table}")
    ]

    assert rows
    secrets = (desk.phone[1:], address, f"'{CODE}'", f"'{OTHER}'")
    assert not any(secret in row for row in rows for secret in secrets)


async def test_what_is_over_is_forgotten(desk: Desk, pool: Pool) -> None:
    await pool.execute("DELETE FROM one_time_count")
    for _ in range(5):
        gone = some_phone()
        await desk.request(phone=gone)
        await desk.attempt(OTHER, phone=gone)
    desk.clock.advance(days=1)
    await desk.request()

    for table, column in (("one_time_code", "expires_at"), ("one_time_count", "until")):
        count = f"SELECT count(*) FROM {table} WHERE {column} <= $1"
        assert await pool.fetchval(count, desk.clock()) == 0
