"""Hashing and verifying passwords, also many concurrently."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import VerifyMismatchError

from libs.errors import Unavailable
from libs.process.fair_queue import Source
from libs.security.passwords import NICENESS, Cost, Passwords, Verdict
from libs.testing.polling import PATIENCE_SECONDS, eventually

CHEAP = Cost(memory_kib=64, iterations=1)
RIGHT, WRONG = Verdict(right=True), Verdict(right=False)


class Held:
    """A hasher whose threads wait until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = 0

    def hash(self, password: bytes) -> str:
        self.started += 1
        assert self.go.wait(PATIENCE_SECONDS)
        return password.decode()

    def verify(self, _: str, password: bytes) -> None:
        self.hash(password)
        raise VerifyMismatchError


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(cost=CHEAP)
    yield made
    made.close()


async def all_waiting(passwords: Passwords, tasks: int) -> list[asyncio.Task[str]]:
    """Start hashing, until as many hashes are being computed as there are threads."""
    hasher: Any = passwords._hasher
    made = [asyncio.create_task(passwords.hash(str(n))) for n in range(tasks)]
    await eventually(lambda: hasher.started, passwords._threads._max_workers)
    return made


@contextmanager
def held(**limits: Any) -> Iterator[tuple[Passwords, Held]]:
    passwords, hasher = Passwords(cost=CHEAP, **limits), Held()
    passwords._hasher = hasher  # type: ignore[assignment]
    yield passwords, hasher
    passwords.close()


async def test_a_password_is_known_by_its_hash_however_it_is_spelled(passwords: Passwords) -> None:
    hashed = await passwords.hash("caf\N{LATIN SMALL LETTER E WITH ACUTE}")

    assert await passwords.verify(hashed, "cafe\N{COMBINING ACUTE ACCENT}") == RIGHT
    for wrong in ("Caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe", ""):
        assert await passwords.verify(hashed, wrong) == WRONG
    assert await passwords.hash("x") != await passwords.hash("x")


async def test_the_default_cost_is_the_recommended_one() -> None:
    passwords = Passwords()
    hashed = await passwords.hash("x")
    passwords.close()

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("password", ["", "\ud800", "a\x00b", "пароль", "x" * 100_000])
async def test_any_text_can_be_a_password(passwords: Passwords, password: str) -> None:
    assert await passwords.verify(await passwords.hash(password), password) == RIGHT
    assert await passwords.verify(await passwords.hash(password), password + "b") == WRONG


async def test_a_hash_of_another_cost_is_right_and_outdated(passwords: Passwords) -> None:
    before = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash("x")

    assert await passwords.verify(before, "x") == Verdict(right=True, outdated=True)
    assert await passwords.verify(before, "y") == WRONG


async def test_a_dummy_verification_takes_as_long_as_a_real_one(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes: list[str] = []

    class Spy(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Any:
            hashes.append(str(hash))
            return super().verify(hash, password)

    hashed = await passwords.hash("x")
    monkeypatch.setattr(passwords, "_hasher", Spy())

    assert await passwords.verify_dummy("x") == WRONG
    await passwords.verify(hashed, "x")

    dummy, real = map(extract_parameters, hashes)
    assert dummy == real


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "x",
        "$argon2id$",
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$ёж",
        PasswordHasher(1, 64, 1, type=Type.I).hash("x"),
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "pbkdf2_sha256$600000$salt$aGFzaA==",
    ],
    ids=["empty", "a letter", "cut", "no base64", "argon2i", "bcrypt", "pbkdf2"],
)
async def test_text_that_is_no_argon2id_hash_matches_no_password(
    passwords: Passwords, hashed: str
) -> None:
    assert await passwords.verify(hashed, "x") == WRONG


async def test_many_logins_take_few_threads_and_leave_the_event_loop_alone() -> None:
    with held(parallel=2) as (passwords, hasher):
        logins = await all_waiting(passwords, 50)
        # That this line is reached while all of them wait is the point.
        begun, done = hasher.started, sum(login.done() for login in logins)
        hasher.go.set()

        assert await asyncio.gather(*logins) == [str(n) for n in range(50)]
        assert (begun, done) == (2, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads share a priority")
async def test_hashing_threads_have_a_lower_priority() -> None:
    priority: list[int] = []

    class Spy(Held):
        def hash(self, _: bytes) -> str:
            priority.append(os.getpriority(os.PRIO_PROCESS, 0))
            return ""

    with held() as (passwords, _):
        passwords._hasher = Spy()  # type: ignore[assignment]
        await passwords.hash("x")

    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert priority == [min(own + NICENESS, 19)]


async def test_a_crowd_of_untrusted_callers_does_not_delay_trusted_ones() -> None:
    with held(parallel=1, waiting=5) as (passwords, hasher):
        crowd = [
            asyncio.create_task(passwords.verify_dummy("x", source=Source(f"{n}")))
            for n in range(20)
        ]
        await asyncio.sleep(0)
        trusted = asyncio.create_task(passwords.hash("trusted"))
        await eventually(lambda: sum(task.done() for task in crowd), 14)
        hasher.go.set()

        assert await trusted == "trusted"
        refused = await asyncio.gather(*crowd, return_exceptions=True)

    assert [type(one) for one in refused if one != WRONG] == [Unavailable] * 14


async def test_a_full_queue_answers_too_many_requests() -> None:
    with held(parallel=1, waiting=1) as (passwords, hasher):
        logins = await all_waiting(passwords, 2)

        with pytest.raises(Unavailable):
            await passwords.hash("third")
        hasher.go.set()
        await asyncio.gather(*logins)

        assert await passwords.hash("fourth") == "fourth"


async def test_too_long_a_wait_answers_too_many_requests() -> None:
    with held(parallel=1, waiting=1, patience_seconds=0.01) as (passwords, hasher):
        (login,) = await all_waiting(passwords, 1)

        for _ in range(3):
            with pytest.raises(Unavailable):
                await passwords.hash("late")
        hasher.go.set()

        assert await login == "0"
        assert await passwords.hash("again") == "again"


async def test_a_cancelled_caller_holds_its_thread_until_it_is_done() -> None:
    with held(parallel=1, waiting=0) as (passwords, hasher):
        (login,) = await all_waiting(passwords, 1)

        login.cancel()
        with pytest.raises(asyncio.CancelledError):
            await login
        with pytest.raises(Unavailable):
            await passwords.hash("next")
        hasher.go.set()

        await eventually(lambda: passwords._queue._free)
        assert await passwords.hash("next") == "next"


async def test_a_cancelled_caller_leaves_the_queue() -> None:
    with held(parallel=1, waiting=1) as (passwords, hasher):
        first, second = await all_waiting(passwords, 2)

        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert passwords._queue.size == 0
        third = asyncio.create_task(passwords.hash("third"))
        hasher.go.set()

        assert (await first, await third) == ("0", "third")
