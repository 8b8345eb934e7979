"""Stores of one-time codes and device grants: no try slips through, and rows give nothing away."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from libs.errors import TooMany
from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from services.gateway.device_grants import stores as device_grants
from services.gateway.device_grants.domain.grant import LIFETIME, Verdict
from services.gateway.device_grants.stores import REMEMBERED
from services.gateway.telegram.domain.one_time_code import (
    DAILY_OF_STRANGERS,
    REQUESTS,
    REQUESTS_OF_NETWORK,
    TRIES,
    TRIES_FROM_NETWORK,
    TRIES_OF_NETWORK,
    Expired,
    Outcome,
    Unconfirmed,
    Verified,
    Wrong,
)
from services.gateway.telegram.stores.codes import CodeStore
from tests.services.gateway.code_context import CODE_KEY, SEAL, some_address, some_phone
from tests.services.gateway.device_grants.domain.test_grant import GRANT

CODE, OTHER = "012345", "543210"
OUTCOMES: dict[str, Verified | Expired | TooMany] = {
    "ok": Verified(),
    "expired": Expired(),
    "dead": TooMany(retry_after=1),
}


@dataclass(frozen=True)
class CodeDriver:
    """The store, with a phone no other test has; each call comes from a new address by default."""

    codes: CodeStore
    clock: Clock
    phone: str

    @property
    def owner(self) -> int:
        """The Telegram account that reads the phone."""
        return int(self.phone)

    async def request(
        self, code: str | None = CODE, *, phone: str | None = None, address: str | None = None
    ) -> TooMany | Unconfirmed | None:
        """Store a code, or count a request without one; None if it was stored."""
        return await self.codes.issue(
            phone or self.phone, code, address=address or some_address(), now=self.clock()
        )

    async def attempt(
        self, code: str = CODE, *, phone: str | None = None, address: str | None = None
    ) -> Outcome:
        """Try a code."""
        return await self.codes.attempt(
            phone or self.phone, code, address=address or some_address(), now=self.clock()
        )

    async def log_in(self, address: str) -> Outcome:
        """Request a code and try it; confirm the request if that is required."""
        if isinstance(await self.request(address=address), Unconfirmed):
            given: dict[str, Any] = {"telegram_id": self.owner, "now": self.clock()}
            nonce = await self.codes.ask_confirmation(self.phone, address=address, **given)
            assert isinstance(nonce, str)
            assert await self.codes.confirm(nonce, **given)
            assert await self.request(address=address) is None
        return await self.attempt(address=address)

    async def guess_until_refused(self, address: str) -> int:
        """Request codes and guess until attempts are refused; how many were accepted."""
        for guesses in range(100):
            if guesses % TRIES == 0:
                await self.request(address=address)
            if not isinstance(await self.attempt(OTHER, address=address), Wrong):
                return guesses
        raise AssertionError("there is no end to guessing")


@pytest.fixture
def context(pool: Pool, clock: Clock) -> CodeDriver:
    return CodeDriver(CodeStore(pool, seal=SEAL, key=CODE_KEY), clock, some_phone())


async def test_a_code_opens_once_however_many_try_it_at_the_same_moment(
    context: CodeDriver,
) -> None:
    assert await context.request() is None

    outcomes = await asyncio.gather(*(context.attempt() for _ in range(20)))

    assert outcomes.count(Verified()) == 1


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param("+A A=ok A=expired", id="a used code is over"),
        pytest.param("+A B=2 B=1 A=ok", id="the last try may be right"),
        pytest.param("+A B=2 B=1 B=0 A=dead B=dead", id="without tries the code opens nothing"),
        pytest.param("+A B=2 B=1 B=0 +C C=ok", id="but the next one does"),
        pytest.param("+A@home B=2 +A@home B=2", id="each has its own tries"),
        pytest.param("+A 299s B=2 1s A=expired", id="a code is good for five minutes"),
        pytest.param("+none A=2", id="a phone without an account looks like any other"),
        pytest.param("+A@home A@phone=ok", id="it may be typed elsewhere"),
        pytest.param(
            "+A@home +B@eve C@eve=2 C@eve=1 C@eve=0 C@eve=dead A@home=ok B@eve=expired",
            id="whoever else asks and guesses takes no code away",
        ),
    ],
)
async def test_a_code_is_right_in_its_time_and_within_its_tries(
    context: CodeDriver, steps: str
) -> None:
    """`+A` requests code A, `A=4` tries it and expects 4 remaining tries, `60s` go by.

    Each comes from a new address, or from the one after `@`.
    """
    codes = {"A": CODE, "B": OTHER, "C": "111111", "none": None}
    addresses: dict[str, str] = {}
    for step in steps.split():
        asked, _, expected = step.partition("=")
        name, _, network = asked.partition("@")
        address = addresses.setdefault(network, some_address()) if network else None
        if step.endswith("s"):
            context.clock.advance(seconds=int(step[:-1]))
        elif name.startswith("+"):
            assert await context.request(codes[name[1:]], address=address) is None, step
        else:
            outcome = await context.attempt(codes[name] or "", address=address)
            assert outcome == (OUTCOMES.get(expected) or Wrong(remaining=int(expected))), step


async def test_a_network_slows_only_itself(context: CodeDriver) -> None:
    shop, home = some_address(), some_address()
    assert await context.log_in(shop) == Verified()

    guesses = await context.guess_until_refused(home)
    others = await asyncio.gather(
        *(context.attempt(phone=some_phone(), address=shop) for _ in range(50))
    )
    await context.request()

    assert guesses == TRIES_FROM_NETWORK.quota
    assert isinstance(await context.attempt(address=home), TooMany)
    most = TRIES_OF_NETWORK.quota
    assert Counter(type(one) for one in others) == {Expired: most, TooMany: 50 - most}
    # Whoever was there before is there still, and elsewhere as well.
    assert await context.log_in(shop) == Verified()
    assert await context.log_in(some_address()) == Verified()


@pytest.mark.parametrize(
    "same_network", [False, True], ids=("elsewhere", "behind the same address")
)
async def test_no_day_sees_a_hundred_guesses_and_no_hour_a_locked_out_owner(
    context: CodeDriver, *, same_network: bool
) -> None:
    home, day, guesses = some_address(), timedelta(days=1), []
    assert await context.log_in(home) == Verified()

    for hour in range(60):
        # As soon as what was counted is forgotten, and all the time in between.
        for address in [home] * same_network + [some_address() for _ in range(5)]:
            guesses += [context.clock()] * await context.guess_until_refused(address)
        new = hour % 20 == 19
        if new or not same_network:
            context.clock.advance(minutes=15)
            assert await context.log_in(some_address() if new else home) == Verified(), hour
            guesses += [context.clock()] * TRIES * new
        context.clock.advance(minutes=59)

    assert len(guesses) > DAILY_OF_STRANGERS.quota
    assert max(sum(at <= one < at + day for one in guesses) for at in guesses) < 100


async def test_a_login_is_confirmed_by_the_owner_once_and_for_one_network(
    context: CodeDriver,
) -> None:
    while await context.guess_until_refused(some_address()):
        continue
    new, eve = some_address(), some_address()
    given: dict[str, Any] = {"telegram_id": context.owner, "now": context.clock()}
    assert await context.request(address=new) == Unconfirmed()
    nonce = await context.codes.ask_confirmation(context.phone, address=new, **given)
    assert isinstance(nonce, str)

    others = [
        await context.codes.confirm("00000000", **given),
        await context.codes.confirm(nonce, **given | {"telegram_id": context.owner + 1}),
    ]
    confirmed = [await context.codes.confirm(nonce, **given) for _ in range(2)]

    assert (others, confirmed) == ([False, False], [True, False])
    assert await context.request(address=eve) == Unconfirmed()
    assert await context.request(address=new) is None
    assert isinstance(await context.attempt(OTHER, address=eve), TooMany)
    assert await context.attempt(OTHER, address=new) == Wrong(remaining=2)
    assert await context.attempt(address=new) == Verified()


async def test_attempts_on_a_displayed_code_are_not_guesses(context: CodeDriver) -> None:
    while await context.guess_until_refused(some_address()):
        continue
    at: dict[str, Any] = {"address": some_address(), "now": context.clock()}

    assert await context.codes.issue(context.phone, CODE, displayed=True, **at) is None
    assert await context.codes.attempt(context.phone, OTHER, **at) == Wrong(remaining=2)
    assert await context.codes.attempt(context.phone, CODE, **at) == Verified()


async def test_the_right_code_gives_the_tries_back(context: CodeDriver) -> None:
    home = some_address()
    for _ in range(10):
        await context.request(address=home)
        await context.attempt(OTHER)
        assert await context.attempt(address=home) == Verified()


async def test_the_code_of_one_phone_opens_no_other(context: CodeDriver) -> None:
    await context.request()
    await context.request(OTHER, phone=some_phone())

    assert await context.attempt(OTHER) == Wrong(remaining=2)


async def test_ten_requests_a_minute_of_a_phone_from_one_network(context: CodeDriver) -> None:
    eve = some_address()
    requests = [context.request(OTHER, address=eve) for _ in range(REQUESTS.quota)]
    assert set(await asyncio.gather(*requests)) == {None}

    assert await context.request(OTHER, address=eve) == TooMany(retry_after=60, limit=REQUESTS)
    assert await context.log_in(some_address()) == Verified()
    context.clock.advance(seconds=60)
    assert await context.request(address=eve) is None


async def test_one_address_asks_for_so_many_phones_and_no_more(context: CodeDriver) -> None:
    eve = some_address()
    requests = [context.request(None, phone=some_phone(), address=eve) for _ in range(40)]

    refused = [over for over in await asyncio.gather(*requests) if over is not None]

    assert len(refused) == 40 - REQUESTS_OF_NETWORK.quota


async def test_the_rows_give_away_no_phone_address_or_code(context: CodeDriver, pool: Pool) -> None:
    address = some_address()
    await context.request(address=address)
    await context.attempt(OTHER, address=address)

    rows = [
        str(row)
        for table in ("one_time_code", "one_time_count")
        for row in await pool.fetch(f"SELECT * FROM {table}")
    ]

    assert rows
    secrets = (context.phone[1:], address, f"'{CODE}'", f"'{OTHER}'")
    assert not any(secret in row for row in rows for secret in secrets)


async def test_what_is_over_is_forgotten(context: CodeDriver, pool: Pool) -> None:
    await pool.execute("DELETE FROM one_time_count")
    for _ in range(5):
        gone = some_phone()
        await context.request(phone=gone)
        await context.attempt(OTHER, phone=gone)
    context.clock.advance(days=100)
    await context.request()

    for table, column in (("one_time_code", "expires_at"), ("one_time_count", "until")):
        count = f"SELECT count(*) FROM {table} WHERE {column} <= $1"
        assert await pool.fetchval(count, context.clock()) == 0


async def test_a_code_shows_one_device_is_expired_for_a_while_and_then_forgotten(
    pool: Pool, clock: Clock
) -> None:
    grant = replace(GRANT, expires_at=clock() + LIFETIME)

    async def poll() -> Verdict:
        return (await device_grants.poll(pool, grant.device_digest, grant.client_id, clock()))[0]

    assert await device_grants.add(pool, grant, clock())
    assert not await device_grants.add(pool, replace(grant, device_digest="another"), clock())
    assert await device_grants.find_waiting(pool, grant.user_code_digest, clock()) == grant
    clock.now += LIFETIME
    assert await device_grants.find_waiting(pool, grant.user_code_digest, clock()) is None
    assert await poll() is Verdict.EXPIRED
    clock.now += REMEMBERED
    assert await device_grants.add(
        pool, replace(grant, device_digest="next", user_code_digest="next"), clock()
    )
    assert await poll() is Verdict.WORTHLESS
