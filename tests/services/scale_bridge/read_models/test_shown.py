"""What price did scale X show at 14:05? Answered from what was verified (SCL-18).

What was shown long ago goes, and no answer about the time since changes by that.
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
from services.scale_bridge.handlers import forgetting
from services.scale_bridge.handlers.forgetting import FIRST, PAUSE, SPARE, Forgetting
from services.scale_bridge.read_models import shown, shown_retention
from services.scale_bridge.read_models.shown import Answer, Interval
from tests.services.scale_bridge.histories import NOON, History, device_id, minute, project

CHEAP: dict[str, Any] = {"name": "Сыр", "price": 199.0}
DEAR: dict[str, Any] = {"name": "Сыр", "price": 219.5}
UNKNOWN_END = step("ended", 2, "upload", "unknown", "UnknownOutcome", at=10)


async def at(pool: Pool, number: float, plu: str = "17") -> Answer:
    """The answer for a minute, which is known."""
    [answer] = await answers(pool, number, number, plu)
    assert answer is not None
    return answer


async def answers(pool: Pool, since: float, to: float, *plus: str) -> Sequence[Answer | None]:
    """What is answered for every half minute."""
    async with pool.acquire() as connection:
        return [
            await shown.at(connection, "demo", device_id(), plu, minute(number / 2))
            for plu in plus
            for number in range(int(since * 2), int(to * 2) + 1)
        ]


async def intervals(pool: Pool, plu: str = "17", since: float | None = None) -> Sequence[Interval]:
    ended_after = None if since is None else minute(since)
    async with pool.acquire() as connection:
        return await shown.history(
            connection, "demo", device_id(), plu, limit=100, ended_after=ended_after
        )


async def test_each_instant_has_the_price_that_was_verified_last(pool: Pool) -> None:
    """SCL-18."""
    history = History()
    history.read(0, {"17": CHEAP}, by=1)
    history.read(10, {"17": DEAR}, by=2)
    await history.project(pool)

    early, late = await at(pool, 5), await at(pool, 10)

    assert early.product == CHEAP
    assert (early.since, early.until) == (minute(0), minute(10))
    assert (early.verified_at, early.next_verified_at) == (minute(0), minute(10))
    assert (late.product, late.since, late.until) == (DEAR, minute(10), None)
    assert late.certain


async def test_before_anything_was_verified_it_is_not_known(pool: Pool) -> None:
    """SCL-18: nothing is made up."""
    history = History()
    history.read(10, {"17": CHEAP})
    await history.project(pool)

    assert await answers(pool, 0, 9.5, "17") == [None] * 20
    async with pool.acquire() as connection:
        assert await shown.at(connection, "other", device_id(), "17", minute(11)) is None
        assert await shown.at(connection, "demo", device_id(), "17", minute(9.9)) is None


async def test_what_is_shown_no_more_and_what_never_was_is_answered(pool: Pool) -> None:
    history = History()
    history.read(0, {"17": CHEAP})
    history.read(10, {}, "17", by=2)
    await history.project(pool)

    gone, never = await at(pool, 11), await at(pool, 11, plu="21")

    assert (gone.product, gone.since) == (None, minute(10))
    assert (never.product, never.since) == (None, None)


async def test_a_read_that_finds_nothing_new_verifies_what_is_shown(pool: Pool) -> None:
    history = History()
    history.read(0, {"17": CHEAP})
    history.done(2, "verify", "verified", at=30)
    await history.project(pool)

    answer = await at(pool, 40)

    assert (answer.product, answer.since, answer.verified_at) == (CHEAP, minute(0), minute(30))


@pytest.mark.parametrize("end", [step("applied", 2, at=10), UNKNOWN_END], ids=["applied", "?"])
async def test_what_was_written_and_not_read_back_is_not_certain(pool: Pool, end: Any) -> None:
    """R4: an upload whose end is unknown may have been imported."""
    history = History()
    history.read(0, {"17": CHEAP})
    history.queued(2)
    end(history)
    await history.project(pool)

    assert ((await at(pool, 9)).certain, (await at(pool, 11)).certain) == (True, False)


async def test_at_another_address_nothing_of_the_old_scale_counts(pool: Pool) -> None:
    """R9: it may be another scale."""
    history = History()
    history.read(0, {"17": CHEAP})
    history.invalidated(2, at=10)
    history.read(20, {"21": DEAR}, by=2)
    await history.project(pool)

    old, new = await at(pool, 9), await at(pool, 21)

    assert (old.product, old.until) == (CHEAP, minute(10))
    assert await answers(pool, 15, 15, "17") == [None]
    assert (new.product, new.since) == (None, None)


async def test_the_history_of_a_product_is_answered_interval_by_interval(pool: Pool) -> None:
    history = History()
    history.read(0, {"17": CHEAP})
    history.read(10, {"17": DEAR}, by=2)
    history.invalidated(2, at=15)
    history.read(20, {}, "17", by=3)
    await history.project(pool)

    assert [(one.since, one.until, one.product) for one in await intervals(pool)] == [
        (minute(20), None, None),
        (minute(10), minute(15), DEAR),
        (minute(0), minute(10), CHEAP),
    ]


async def forget(pool: Pool, until: float, *, limit: int = 1000) -> int:
    """How many rows went, as many at once as the limit says."""
    total = 0
    while True:
        async with pool.acquire() as connection:
            scale = ("demo", device_id())
            gone = await shown_retention.forget(connection, scale, minute(until), limit=limit)
        assert gone <= limit
        if not gone:
            return total
        total += gone


async def count(pool: Pool, table: str) -> int:
    number: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return number


async def test_what_was_over_goes_and_what_was_shown_then_stays(pool: Pool) -> None:
    history = History()
    for number, product in ((0, CHEAP), (10, DEAR), (20, CHEAP), (30, DEAR)):
        history.read(number, {"17": product}, by=number + 1)
    history.read(5, {"99": CHEAP}, by=6)
    await history.project(pool)
    before = await answers(pool, 25, 40, "17", "99"), await intervals(pool, since=25)

    assert await forget(pool, 25) == 2 + 3
    assert (await answers(pool, 25, 40, "17", "99"), await intervals(pool, since=25)) == before
    rows = await pool.fetch("SELECT plu, seen_at FROM shown ORDER BY plu, seen_at")
    left = [("17", minute(20)), ("17", minute(30)), ("99", minute(5))]
    assert [tuple(row) for row in rows] == left
    assert await count(pool, "showing") == 2


async def test_what_is_shown_for_years_stays(pool: Pool) -> None:
    history = History()
    history.read(0, {"17": CHEAP})
    await history.project(pool)

    assert await forget(pool, 1_000_000) == 0
    answer = await at(pool, 1_000_000)
    assert (answer.product, answer.since) == (CHEAP, minute(0))


async def test_of_another_scale_at_the_address_before_nothing_stays(pool: Pool) -> None:
    history = History()
    history.read(0, {"17": CHEAP})
    history.invalidated(2, at=10)
    history.read(20, {"21": DEAR}, by=2)
    await history.project(pool)
    before = await answers(pool, 15, 30, "17", "21")

    assert await forget(pool, 15) == 1
    assert await answers(pool, 15, 30, "17", "21") == before
    assert await count(pool, "shown") == 1


async def test_it_goes_in_small_parts_and_of_one_scale_only(pool: Pool) -> None:
    history, other = History(), History("other")
    for number in range(10):
        history.read(number, {"17": CHEAP}, by=number)
        history.read(number, {"17": CHEAP}, by=number + 100, of=2)
        other.read(number, {"17": CHEAP}, by=number)
    await project(pool, [*history.events, *other.events])

    assert await forget(pool, 100, limit=2) == 18
    assert await count(pool, "shown") == await count(pool, "reading") == 21


@pytest.mark.parametrize("seed", range(12))
async def test_no_answer_changes_whatever_happened(pool: Pool, seed: int) -> None:
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


async def test_the_worker_goes_from_scale_to_scale_and_then_rests(
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
    worker = Forgetting(pool=pool, clock=clock, keep=timedelta(days=1))

    turns = 0
    while worker.rests_until is None:
        await worker.turn()
        turns += 1
        assert turns < 50
    assert turns > 5
    assert await count(pool, "shown") == await count(pool, "reading") == 5
    assert worker.after == FIRST

    history.read(9, {"17": DEAR}, by=500)
    await history.project(pool)
    await worker.turn()
    assert await count(pool, "shown") == 6
    clock.now += PAUSE
    await worker.turn()
    assert await count(pool, "shown") == 5


async def test_what_may_still_be_asked_for_is_not_forgotten(pool: Pool) -> None:
    history = History()
    history.registered()
    history.read(0, {"17": CHEAP}, by=1)
    history.read(10, {"17": DEAR}, by=2)
    await history.project(pool)
    keep, clock = utc_now() - minute(10), Clock(utc_now())
    await Forgetting(pool=pool, clock=clock, keep=keep).turn()
    assert await count(pool, "shown") == 2
    await Forgetting(pool=pool, clock=clock, keep=keep - SPARE).turn()
    assert await count(pool, "shown") == 1
