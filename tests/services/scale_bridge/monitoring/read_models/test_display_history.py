"""The read model `shown`: the price that a scale showed at an instant (SCL-18).

Retention deletes old rows, and changes no answer about the time that is retained.
"""

from collections.abc import Sequence
from datetime import timedelta
from operator import methodcaller as step
from random import Random
from typing import Any

import pytest

from libs.clock import utc_now
from libs.postgres.pool import Pool
from libs.testing.clock import Clock
from services.scale_bridge.monitoring import handlers as forgetting
from services.scale_bridge.monitoring.handlers import FIRST, PAUSE, SPARE, Retention
from services.scale_bridge.monitoring.read_models import display_history
from services.scale_bridge.monitoring.read_models.display_history import Answer, Interval
from tests.services.scale_bridge.histories import NOON, History, device_id, minute, project

CHEAP: dict[str, Any] = {"name": "Сыр", "price": 199.0}
DEAR: dict[str, Any] = {"name": "Сыр", "price": 219.5}


async def answers(pool: Pool, since: float, to: float, *plus: str) -> Sequence[Answer | None]:
    """The answers for every half minute."""
    async with pool.acquire() as connection:
        return [
            await display_history.at(connection, "demo", device_id(), plu, minute(number / 2))
            for plu in plus
            for number in range(int(since * 2), int(to * 2) + 1)
        ]


async def intervals(pool: Pool, plu: str = "17", since: float | None = None) -> Sequence[Interval]:
    ended_after = None if since is None else minute(since)
    async with pool.acquire() as connection:
        return await display_history.history(
            connection, "demo", device_id(), plu, limit=100, ended_after=ended_after
        )


READ, DEARER = step("read", 0, {"17": CHEAP}), step("read", 10, {"17": DEAR}, by=2)
GONE, VERIFIED = step("read", 10, {}, "17", by=2), step("done", 2, "verify", "verified", at=30)
QUEUED, APPLIED = step("queued", 2), step("applied", 2, at=10)
UNKNOWN_END = step("ended", 2, "upload", "unknown", "UnknownOutcome", at=10)
MOVED = [READ, step("invalidated", 2, at=10), step("read", 20, {"21": DEAR}, by=2)]

EARLY = {"product": CHEAP, "since": minute(0), "until": minute(10)}
VERIFIED_EARLY = {"verified_at": minute(0), "next_verified_at": minute(10)}
LATE = {"product": DEAR, "since": minute(10), "until": None, "certain": True}
NEVER = {"product": None, "since": None}

ANSWERS: dict[str, tuple[list[Any], float, str, dict[str, Any] | None]] = {
    "the price that was verified last": ([READ, DEARER], 5, "17", EARLY | VERIFIED_EARLY),
    "from the moment it was verified": ([READ, DEARER], 10, "17", LATE),
    "nothing is made up before": ([DEARER], 9.9, "17", None),
    "what is shown no more": ([READ, GONE], 11, "17", {"product": None, "since": minute(10)}),
    "what never was shown": ([READ, GONE], 11, "21", NEVER),
    "a read that finds nothing new verifies": (
        *([READ, VERIFIED], 40, "17"),
        {"product": CHEAP, "since": minute(0), "verified_at": minute(30)},
    ),
    # R4: an upload whose end is unknown may have been imported.
    "certain before a write": ([READ, QUEUED, APPLIED], 9, "17", {"certain": True}),
    "written and not read back": ([READ, QUEUED, APPLIED], 11, "17", {"certain": False}),
    "certain before an unknown end": ([READ, QUEUED, UNKNOWN_END], 9, "17", {"certain": True}),
    "an unknown end": ([READ, QUEUED, UNKNOWN_END], 11, "17", {"certain": False}),
    # R9: at another address it may be another scale.
    "the scale before": (MOVED, 9, "17", EARLY),
    "moved, and not read yet": (MOVED, 15, "17", None),
    "moved, and read": (MOVED, 21, "17", NEVER),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_what_was_shown_at_a_minute(pool: Pool, case: str) -> None:
    steps, number, plu, expected = ANSWERS[case]
    await History().happened(*steps).project(pool)

    async with pool.acquire() as connection:
        answer = await display_history.at(connection, "demo", device_id(), plu, minute(number))
        other = await display_history.at(connection, "other", device_id(), plu, minute(number))

    assert expected == (answer and {name: getattr(answer, name) for name in expected or {}})
    assert other is None


async def test_the_history_of_a_product_is_answered_interval_by_interval(pool: Pool) -> None:
    history = History().happened(READ, DEARER)
    history.invalidated(2, at=15)
    history.read(20, {}, "17", by=3)
    await history.project(pool)

    assert [(one.since, one.until, one.product) for one in await intervals(pool)] == [
        (minute(20), None, None),
        (minute(10), minute(15), DEAR),
        (minute(0), minute(10), CHEAP),
    ]


async def forget(pool: Pool, until: float, *, limit: int = 1000) -> int:
    """How many rows were deleted, in batches of `limit`."""
    total = 0
    while True:
        async with pool.acquire() as connection:
            scale = ("demo", device_id())
            gone = await display_history.delete_old(connection, scale, minute(until), limit=limit)
        assert gone <= limit
        if not gone:
            return total
        total += gone


async def count(pool: Pool, table: str) -> int:
    number: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return number


async def test_old_rows_of_one_scale_are_deleted_in_batches(pool: Pool) -> None:
    history, other = History(), History("other")
    for number in range(10):
        history.read(number, {"17": CHEAP}, by=number)
        history.read(number, {"17": CHEAP}, by=number + 100, of=2)
        other.read(number, {"17": CHEAP}, by=number)
    await project(pool, [*history.events, *other.events])

    assert await forget(pool, 100, limit=2) == 18
    assert await count(pool, "shown") == await count(pool, "reading") == 21


@pytest.mark.parametrize("seed", range(12))
async def test_retention_changes_no_answer_about_the_time_retained(pool: Pool, seed: int) -> None:
    random, history = Random(seed), History()
    for number in range(60):
        minutes = random.randrange(0, 40)
        match random.randrange(6):
            case 0:
                history.done(number, "verify", "verified", at=minutes)
            case 1:
                history.done(number, "upload", "unknown", "UnknownOutcome", at=minutes)
            case 2 if random.random() < 0.4:
                history.invalidated(number, at=minutes)
            case 3:
                history.read(minutes, {}, random.choice("123"), by=number)
            case _:
                product = {"price": float(number)}
                products = dict.fromkeys(random.sample("123", 2), product)
                history.read(minutes, products, by=number)
    await history.project(pool)
    since = random.randrange(5, 40)
    before = await answers(pool, since, 41, *"123")
    lasted = [await intervals(pool, plu, since) for plu in "123"]

    await forget(pool, since, limit=3)

    assert await answers(pool, since, 41, *"123") == before
    assert [await intervals(pool, plu, since) for plu in "123"] == lasted
    # Of what was over by then, nothing.
    every = [one for plu in "123" for one in await intervals(pool, plu)]
    assert [one for one in every if one.until and one.until <= minute(since)] == []


async def test_retention_passes_over_all_scales_and_then_pauses(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("SCALES", 2), ("BATCH", 3), ("BATCHES", 2)):
        monkeypatch.setattr(forgetting, name, most)
    history = History()
    for number in range(1, 6):
        history.registered(number)
        for minutes in range(8):
            history.read(minutes, {"17": CHEAP}, by=10 * number + minutes, of=number)
    history.removed(3)
    await history.project(pool)
    clock = Clock(NOON + timedelta(days=10))
    worker = Retention(pool=pool, clock=clock, retained_for=timedelta(days=1))

    turns = 0
    while worker.paused_until is None:
        await worker.run_once()
        turns += 1
        assert turns < 50
    assert turns > 5
    assert await count(pool, "shown") == await count(pool, "reading") == 5
    assert worker.after == FIRST

    history.read(9, {"17": DEAR}, by=500)
    await history.project(pool)
    await worker.run_once()
    assert await count(pool, "shown") == 6
    clock.now += PAUSE
    await worker.run_once()
    assert await count(pool, "shown") == 5


async def test_rows_that_may_still_be_queried_are_not_deleted(pool: Pool) -> None:
    await History().happened(step("registered"), READ, DEARER).project(pool)
    retained_for, clock = utc_now() - minute(10), Clock(utc_now())
    await Retention(pool=pool, clock=clock, retained_for=retained_for).run_once()
    assert await count(pool, "shown") == 2
    await Retention(pool=pool, clock=clock, retained_for=retained_for - SPARE).run_once()
    assert await count(pool, "shown") == 1
