"""Revoked sessions in an API process, loaded from a real database that may be away or behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from libs.clock import utc_now
from libs.http import revocations, revoked_sessions
from libs.http.revocations import BLIND, BLIND_AFTER, MARGIN, REVOKED, Revocations, following
from libs.postgres.doorbell import REVOKED as RUNG
from libs.postgres.doorbell import Doorbell
from libs.testing.clock import Clock
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.revoked import open_revoked_sessions, own_doorbell

LONGEST = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(revocations, "FIRST_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    async with open_revoked_sessions(database) as opened_pool:
        yield opened_pool


@pytest.fixture
def doorbell() -> Doorbell:
    return own_doorbell()


class Worker:
    """Writes revocations, as the worker does."""

    def __init__(self, pool: Any, doorbell: Doorbell) -> None:
        self.pool, self.doorbell = pool, doorbell

    async def revoke(self, *sessions: str, ago: timedelta = timedelta()) -> None:
        given = [(session, utc_now() - ago) for session in sessions]
        if await revoked_sessions.add(self.pool, given, kept=LONGEST + MARGIN):
            self.doorbell.ring(RUNG)

    async def is_level(self, ago: timedelta = timedelta()) -> None:
        await revoked_sessions.set_level(self.pool, ago)


@pytest.fixture
def worker(pool: Any, doorbell: Doorbell) -> Worker:
    return Worker(pool, doorbell)


@asynccontextmanager
async def process(worker: Worker, **given: Any) -> AsyncIterator[Revocations]:
    """An API process of the service, once it knows what was revoked before."""
    load = partial(revoked_sessions.load, worker.pool)
    revocations = Revocations(load, worker.doorbell, longest=LONGEST, **given)
    async with following(revocations):
        yield revocations


def gauge(metric: Any) -> float:
    return float(metric._value.get())


async def test_a_revoked_session_is_known_once_the_doorbell_rings(worker: Worker) -> None:
    await worker.is_level()
    async with process(worker) as known:
        assert not known.is_revoked("s1")

        await worker.revoke("s1", "s2")

        await eventually(lambda: known.is_revoked("s1") and known.is_revoked("s2"))
        assert not known.is_revoked("s3")
        assert not known.is_revoked("")
        assert known.blind_since is None


async def test_earlier_revocations_are_loaded_as_long_as_tokens_may_live(
    worker: Worker,
) -> None:
    await worker.revoke("long ago", ago=LONGEST + MARGIN + timedelta(minutes=1))
    await worker.revoke("lately", "lately", ago=LONGEST)
    await worker.revoke("just now")
    await worker.is_level()
    async with process(worker) as known:
        sessions = ("long ago", "lately", "just now")
        assert [one for one in sessions if known.is_revoked(one)] == ["lately", "just now"]
        await eventually(lambda: gauge(REVOKED), 2)
    await revoked_sessions.delete_expired(worker.pool)
    assert await worker.pool.fetchval("SELECT count(*) FROM revoked_session") == 2


async def test_a_session_whose_transaction_ends_late_is_not_missed(worker: Worker) -> None:
    await worker.is_level()
    insert = "INSERT INTO revoked_session VALUES ($1, now(), now() + interval '1 hour')"
    async with process(worker) as known, worker.pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(insert, "slow")
        await worker.revoke("quick")
        await eventually(lambda: known.is_revoked("quick"))

        await transaction.commit()
        worker.doorbell.ring(RUNG)

        await eventually(lambda: known.is_revoked("slow"))


async def test_a_session_is_forgotten_when_no_token_of_it_can_live(worker: Worker) -> None:
    await worker.is_level()
    clock = Clock(utc_now())
    async with process(worker, clock=clock) as known:
        known.remember("s1", clock())
        known.remember("s2", clock() - LONGEST - MARGIN)
        # To be reminded of it does not shorten what is remembered.
        known.remember("s1", clock() - LONGEST)
        assert known.is_revoked("s1")
        assert not known.is_revoked("s2")

        clock.now += LONGEST + MARGIN - timedelta(seconds=1)
        await worker.revoke("s3")
        await eventually(lambda: known.is_revoked("s3"))
        assert known.is_revoked("s1")
        clock.now += timedelta(seconds=2)
        worker.doorbell.ring(RUNG)
        await eventually(lambda: not known.is_revoked("s1"))


async def test_revocations_are_blind_since_the_worker_is_behind(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "FIRST_SECONDS", 0.05)
    await worker.is_level(ago=BLIND_AFTER + timedelta(seconds=5))
    async with process(worker) as known:
        assert known.blind_since is not None
        check = await known.check()
        assert check.ok
        assert check.detail.startswith("blind since")
        await eventually(lambda: gauge(BLIND) > 0)

        await worker.is_level()
        worker.doorbell.ring(RUNG)

        await eventually(lambda: known.blind_since, None)
        await eventually(lambda: gauge(BLIND), 0)
        assert (await known.check()).detail == ""
    # A clock that was wrong for a moment takes nothing back.
    await worker.is_level(ago=timedelta(hours=1))
    assert (await revoked_sessions.load(worker.pool)).age < timedelta(hours=1)


async def test_revocations_survive_a_lost_database_and_load_what_they_missed(
    worker: Worker, database: str
) -> None:
    await worker.is_level()
    await worker.revoke("before")
    clock = Clock(utc_now())
    async with process(worker, clock=clock) as known:
        await worker.pool.execute("ALTER TABLE revocations_level RENAME TO away")
        clock.now += BLIND_AFTER + timedelta(seconds=1)
        worker.doorbell.ring(RUNG)
        await eventually(lambda: gauge(BLIND) > 0)
        assert known.is_revoked("before")

        await worker.revoke("meanwhile")
        await worker.pool.execute("ALTER TABLE away RENAME TO revocations_level")

        await eventually(lambda: known.is_revoked("meanwhile"))
        assert known.is_revoked("before")
        await eventually(lambda: gauge(BLIND), 0)


async def test_without_a_database_revocations_are_blind_and_remember_new_ones(
    doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: str) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(revocations, "FIRST_SECONDS", 0.05)
    known = Revocations(away, doorbell, longest=LONGEST)
    async with following(known):
        known.remember("s1", utc_now())

        assert not await known.known_within(0)
        assert known.is_revoked("s1")
        since = known.blind_since
        assert since is not None
        await eventually(lambda: gauge(BLIND) == pytest.approx(since.timestamp()))


async def test_a_cancellation_that_met_an_error_ends_the_loading(doorbell: Doorbell) -> None:
    loading = asyncio.Event()

    async def load(_: Any) -> Any:
        again = loading.is_set()
        loading.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if again:
                raise
            # As a transaction does whose connection is lost.
            raise OSError from None

    running = asyncio.create_task(Revocations(load, doorbell, longest=LONGEST).follow())
    await loading.wait()

    running.cancel()

    await asyncio.wait([running], timeout=PATIENCE_SECONDS)
    assert running.cancelled()
