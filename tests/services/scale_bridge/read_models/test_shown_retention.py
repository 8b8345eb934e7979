"""What was shown long ago goes, and no answer about the time since changes by that."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from libs.clock import utc_now
from libs.postgres.pool import Pool
from services.scale_bridge.handlers import forgetting
from services.scale_bridge.handlers.forgetting import FIRST, PAUSE, SPARE, Forgetting
from services.scale_bridge.read_models import shown, shown_retention
from services.scale_bridge.read_models.shown import Answer, Interval
from tests.services.scale_bridge.twin import NOON, Told, device_id, minute, project

CHEAP: dict[str, Any] = {"price": 1.0}
DEAR: dict[str, Any] = {"price": 2.0}


async def forget(pool: Pool, until: float, *, of: int = 1, limit: int = 1000) -> int:
    """How many rows went, as many at once as the limit says."""
    total = 0
    while True:
        async with pool.acquire() as connection:
            place = ("demo", device_id(of))
            gone = await shown_retention.forget(connection, place, minute(until), limit=limit)
        assert gone <= limit
        if not gone:
            return total
        total += gone


async def count(pool: Pool, table: str) -> int:
    number: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return number


async def answers(pool: Pool, since: float, to: float, *plus: str) -> Sequence[Answer | None]:
    """What is said of every half minute."""
    async with pool.acquire() as connection:
        return [
            await shown.at(connection, "demo", device_id(), plu, minute(number / 2))
            for plu in plus
            for number in range(int(since * 2), int(to * 2) + 1)
        ]


async def history(pool: Pool, since: float, plu: str = "17") -> Sequence[Interval]:
    async with pool.acquire() as connection:
        return await shown.history(
            connection, "demo", device_id(), plu, limit=100, ended_after=minute(since)
        )


async def test_what_was_over_goes_and_what_was_shown_then_stays(pool: Pool) -> None:
    tell = Told()
    for at, product in ((0, CHEAP), (10, DEAR), (20, CHEAP), (30, DEAR)):
        tell.shown(at, {"17": product}, by=at + 1)
    tell.shown(5, {"99": CHEAP}, by=6)
    await project(pool, tell.events)
    before, told = await answers(pool, 25, 40, "17", "99"), await history(pool, 25)

    assert await forget(pool, 25) == 2 + 3
    assert await answers(pool, 25, 40, "17", "99") == before
    assert await history(pool, 25) == told
    rows = await pool.fetch("SELECT plu, seen_at FROM shown ORDER BY plu, seen_at")
    assert [tuple(row) for row in rows] == [
        ("17", minute(20)),
        ("17", minute(30)),
        ("99", minute(5)),
    ]
    assert await count(pool, "showing") == 2


async def test_what_is_shown_for_years_stays(pool: Pool) -> None:
    tell = Told()
    tell.shown(0, {"17": CHEAP})
    await project(pool, tell.events)

    assert await forget(pool, 1_000_000) == 0
    [found] = await answers(pool, 1_000_000, 1_000_000, "17")
    assert found is not None
    assert (found.product, found.since) == (CHEAP, minute(0))


async def test_of_another_scale_at_the_address_before_nothing_stays(pool: Pool) -> None:
    tell = Told()
    tell.shown(0, {"17": CHEAP})
    tell.invalidated(2, at=10)
    tell.shown(20, {"21": DEAR}, by=2)
    await project(pool, tell.events)
    before = await answers(pool, 15, 30, "17", "21")

    assert await forget(pool, 15) == 1
    assert await answers(pool, 15, 30, "17", "21") == before
    assert await count(pool, "shown") == 1


async def test_it_goes_in_small_parts_and_of_one_scale_only(pool: Pool) -> None:
    tell, other = Told(), Told("other")
    for at in range(10):
        tell.shown(at, {"17": CHEAP}, by=at)
        tell.shown(at, {"17": CHEAP}, by=at + 100, of=2)
        other.shown(at, {"17": CHEAP}, by=at)
    await project(pool, [*tell.events, *other.events])

    assert await forget(pool, 100, limit=2) == 18
    assert await count(pool, "shown") == await count(pool, "reading") == 21


@pytest.mark.parametrize("seed", range(12))
async def test_no_answer_changes_whatever_happened(pool: Pool, seed: int) -> None:
    chance, tell = random.Random(seed), Told()
    for number in range(60):
        at = chance.randrange(0, 40)
        match chance.randrange(6):
            case 0:
                tell.done(number, "verify", at=at)
            case 1:
                tell.done(number, "upload", "unknown", "UnknownOutcome", at=at)
            case 2 if chance.random() < 0.4:
                tell.invalidated(number, at=at)
            case 3:
                tell.shown(at, {}, chance.choice("123"), by=number)
            case _:
                product = {"price": float(number)}
                tell.shown(at, dict.fromkeys(chance.sample("123", 2), product), by=number)
    await project(pool, tell.events)
    since = chance.randrange(5, 40)
    before = await answers(pool, since, 41, *"123")
    told = [await history(pool, since, plu) for plu in "123"]

    await forget(pool, since, limit=3)

    assert await answers(pool, since, 41, *"123") == before
    assert [await history(pool, since, plu) for plu in "123"] == told
    # Of what was over by then, nothing.
    async with pool.acquire() as connection:
        for plu in "123":
            every = await shown.history(connection, "demo", device_id(), plu, limit=100)
            assert [one for one in every if one.until and one.until <= minute(since)] == []


async def test_the_worker_goes_from_scale_to_scale_and_then_rests(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("SCALES", 2), ("BATCH", 3), ("BATCHES", 2)):
        monkeypatch.setattr(forgetting, name, most)
    tell = Told()
    for number in range(1, 6):
        tell.registered(number)
        for at in range(8):
            tell.shown(at, {"17": CHEAP}, by=10 * number + at, of=number)
    tell.removed(3)
    await project(pool, tell.events)
    now = [NOON + timedelta(days=10)]
    one = Forgetting(pool=pool, clock=lambda: now[0], keep=timedelta(days=1))

    turns = 0
    while one.rests_until is None:
        await one.turn()
        turns += 1
        assert turns < 50
    assert turns > 5
    assert await count(pool, "shown") == await count(pool, "reading") == 5
    assert one.after == FIRST

    tell = Told()
    tell.shown(9, {"17": DEAR}, by=500)
    await project(pool, tell.events)
    await one.turn()
    assert await count(pool, "shown") == 6
    now[0] += PAUSE
    await one.turn()
    assert await count(pool, "shown") == 5


async def test_what_may_still_be_asked_for_is_not_forgotten(pool: Pool) -> None:
    tell = Told()
    tell.registered()
    tell.shown(0, {"17": CHEAP}, by=1)
    tell.shown(10, {"17": DEAR}, by=2)
    await project(pool, tell.events)
    keep = utc_now() - minute(10)
    await Forgetting(pool=pool, clock=utc_now, keep=keep).turn()
    assert await count(pool, "shown") == 2
    await Forgetting(pool=pool, clock=utc_now, keep=keep - SPARE).turn()
    assert await count(pool, "shown") == 1
