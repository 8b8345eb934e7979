"""Timers fire once at their time, or late; moved, cancelled and replayed ones as last set."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import asyncpg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.clock import utc_now
from libs.jobs import worker as workers
from libs.jobs.queue import Backoff
from libs.jobs.timers import Timer, Timers
from libs.jobs.worker import JOBS
from libs.postgres.doorbell import PROJECTED, Doorbell
from libs.postgres.pool import Pool, tenant_transaction
from libs.testing.clock import Clock
from libs.testing.polling import eventually
from libs.testing.pools import system_pool
from tests.libs.jobs.bakery import Bakery
from tests.libs.jobs.working import running

REMINDERS: Final = Timers("reminder")
DEADLINES: Final = Timers("deadline")
HOUR: Final = timedelta(hours=1)

Step: TypeAlias = tuple[str, str, int]
"""What happens, to which key, and an hour, or how many events are replayed."""
KEYS: Final = ("rose", "tulip")
START: Final = datetime(2026, 3, 1, tzinfo=UTC)
PUTS: Final = st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 3))
STEPS: Final = st.lists(
    st.one_of(
        PUTS,
        PUTS,
        st.tuples(st.just("cancel"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("fire"), st.just(""), st.integers(1, 3)),
        st.tuples(st.just("replay"), st.just(""), st.integers(1, 40)),
    ),
    min_size=8,
    max_size=40,
)


FIRE: Final = ("fire", "", 3)
REPLAY: Final = ("replay", "", 40)
MOVED: Final = [("put", "rose", 1), ("put", "rose", 2), FIRE, REPLAY, FIRE]
CANCELLED: Final = [("put", "rose", 1), ("cancel", "rose", 0), ("put", "tulip", 1), REPLAY, FIRE]


async def due(
    bakery: Bakery, now: datetime, *, holder: str = "anna", limit: int = 10
) -> list[tuple[str, datetime]]:
    """Claim what is due at a moment; keys and times."""
    timers = await REMINDERS.queue(bakery.system).claim(holder, now, limit=limit)
    return sorted((timer.key, timer.due_at) for timer in timers)


async def fire(bakery: Bakery, now: datetime) -> list[tuple[str, datetime]]:
    """Fire what is due at a moment; keys and times."""
    queue = REMINDERS.queue(bakery.system)
    timers = await queue.claim("anna", now, limit=10)
    for timer in timers:
        await queue.finish(timer)
    return sorted((timer.key, timer.due_at) for timer in timers)


async def test_a_timer_is_due_at_its_time_and_is_not_claimed_twice(bakery: Bakery) -> None:
    at = utc_now()
    await REMINDERS.put(bakery.system, "demo", "rose", at, {"order": 7})
    await DEADLINES.put(bakery.system, "demo", "rose", at)

    assert await due(bakery, at - timedelta(microseconds=1)) == []
    [timer] = await REMINDERS.queue(bakery.system).claim("anna", at, limit=10)
    assert (timer.tenant, timer.kind, timer.key, timer.due_at) == ("demo", "reminder", "rose", at)
    assert timer.payload_as(dict) == {"order": 7}
    assert await due(bakery, at, holder="boris") == []


async def test_a_timer_that_is_put_again_moves(bakery: Bakery) -> None:
    at = utc_now()
    for when in (at, at + HOUR, at - HOUR):
        await REMINDERS.put(bakery.system, "demo", "rose", when)

    assert await fire(bakery, at) == [("rose", at - HOUR)]
    assert await fire(bakery, at + 2 * HOUR) == []


async def test_a_timer_does_not_fire_twice_for_one_time(bakery: Bakery) -> None:
    at = utc_now()
    await REMINDERS.put(bakery.system, "demo", "rose", at)
    assert await fire(bakery, at) == [("rose", at)]

    await REMINDERS.put(bakery.system, "demo", "rose", at, "another payload")
    assert await fire(bakery, at + HOUR) == []

    await REMINDERS.put(bakery.system, "demo", "rose", at + HOUR)
    assert await fire(bakery, at + HOUR) == [("rose", at + HOUR)]


async def test_the_payload_of_a_waiting_timer_can_be_changed(bakery: Bakery) -> None:
    at = utc_now()
    for payload in ("red", "white"):
        await REMINDERS.put(bakery.system, "demo", "rose", at, payload)

    [timer] = await REMINDERS.queue(bakery.system).claim("anna", at, limit=10)
    assert timer.payload_as(str) == "white"


async def test_a_cancelled_timer_does_not_fire_until_it_is_put_again(bakery: Bakery) -> None:
    at = utc_now()
    await REMINDERS.put(bakery.system, "demo", "rose", at)
    await REMINDERS.cancel(bakery.system, "demo", "rose")
    await REMINDERS.cancel(bakery.system, "demo", "never put")
    assert await due(bakery, at) == []

    await REMINDERS.put(bakery.system, "demo", "rose", at)
    assert await due(bakery, at) == [("rose", at)]


async def test_a_timer_that_is_moved_while_it_fires_fires_again_at_its_new_time(
    bakery: Bakery,
) -> None:
    at, queue = utc_now(), REMINDERS.queue(bakery.system)
    await REMINDERS.put(bakery.system, "demo", "rose", at)
    [timer] = await queue.claim("anna", at, limit=10)
    await REMINDERS.put(bakery.system, "demo", "rose", at + HOUR)
    await queue.finish(timer)

    assert await fire(bakery, at) == []
    assert await fire(bakery, at + HOUR) == [("rose", at + HOUR)]


async def test_a_timer_that_is_cancelled_while_it_fires_is_neither_retried_nor_released(
    bakery: Bakery,
) -> None:
    at, queue = utc_now(), REMINDERS.queue(bakery.system)
    await REMINDERS.put(bakery.system, "demo", "rose", at)
    [timer] = await queue.claim("anna", at, limit=10)
    await REMINDERS.cancel(bakery.system, "demo", "rose")

    assert await queue.fail("anna", timer, "late", Backoff(), at) is None
    await queue.release("anna", timer)
    assert await due(bakery, at + HOUR) == []


async def test_a_replay_of_the_events_of_a_key_changes_nothing(bakery: Bakery) -> None:
    at = utc_now()

    async def replay(pool: Pool) -> None:
        await REMINDERS.put(pool, "demo", "moved", at, version=1)
        await REMINDERS.put(pool, "demo", "moved", at + HOUR, version=2)
        await REMINDERS.put(pool, "demo", "cancelled", at, version=1)
        await REMINDERS.cancel(pool, "demo", "cancelled", version=2)

    await replay(bakery.system)
    fired = await fire(bakery, at + HOUR)
    for version in (1, 2):
        await REMINDERS.put(bakery.system, "demo", "moved", at, version=version - 1)
        await REMINDERS.put(bakery.system, "demo", "cancelled", at, version=1)
        assert await due(bakery, at + HOUR) == []
    await replay(bakery.system)
    await REMINDERS.queue(bakery.system).forget()
    await replay(bakery.system)

    assert fired == [("moved", at + HOUR)]
    assert await fire(bakery, at + 2 * HOUR) == []


async def test_only_timers_that_are_over_and_cannot_be_replayed_are_forgotten(
    bakery: Bakery,
) -> None:
    old = utc_now() - timedelta(days=100)
    await REMINDERS.put(bakery.system, "demo", "fired", old)
    await REMINDERS.put(bakery.system, "demo", "replayed", old, version=1)
    await fire(bakery, old)
    await REMINDERS.put(bakery.system, "demo", "due", old)
    await REMINDERS.queue(bakery.system).forget()

    left = await bakery.system.fetch("SELECT key FROM timer ORDER BY key")
    assert [row["key"] for row in left] == ["due", "replayed"]


async def test_the_id_of_a_firing_follows_from_key_and_time(bakery: Bakery) -> None:
    at = utc_now()
    await REMINDERS.put(bakery.system, "demo", "rose", at)
    [first] = await REMINDERS.queue(bakery.system, seconds=0).claim("anna", at, limit=1)
    [again] = await REMINDERS.queue(bakery.system, seconds=0).claim("boris", at, limit=1)
    await REMINDERS.put(bakery.system, "demo", "rose", at + HOUR)
    [moved] = await REMINDERS.queue(bakery.system).claim("anna", at + HOUR, limit=1)

    assert first.id == again.id
    assert moved.id != first.id


async def test_a_clock_that_jumps_fires_no_timer_twice_and_loses_none(bakery: Bakery) -> None:
    clock = Clock(utc_now())
    start = clock.now
    for hours in range(3):
        await REMINDERS.put(bakery.system, "demo", f"at {hours}", start + hours * HOUR)

    fired = [key for key, _ in await fire(bakery, clock())]
    for hours in (1, -5, 0, 5):
        clock.now = start + hours * HOUR
        fired += [key for key, _ in await fire(bakery, clock())]

    assert fired == ["at 0", "at 1", "at 2"]


async def test_a_tenant_sees_and_sets_its_own_timers_only(bakery: Bakery, tenants: Pool) -> None:
    at = utc_now()
    async with tenant_transaction(tenants, "demo") as connection:
        await REMINDERS.put(connection, "demo", "rose", at)
    async with tenant_transaction(tenants, "other") as connection:
        assert await connection.fetchval("SELECT count(*) FROM timer") == 0
        await REMINDERS.cancel(connection, "demo", "rose")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _put_as(tenants, "other", "demo")

    assert await due(bakery, at) == [("rose", at)]


async def _put_as(tenants: Pool, caller: str, tenant: str) -> None:
    async with tenant_transaction(tenants, caller) as connection:
        await REMINDERS.put(connection, tenant, "tulip", utc_now())


async def test_a_timer_belongs_to_the_transaction_in_which_it_is_put(bakery: Bakery) -> None:
    at = utc_now()
    async with bakery.system.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await REMINDERS.put(connection, "demo", "rose", at)
        await transaction.rollback()

    assert await due(bakery, at) == []


@pytest.mark.parametrize("topic", [JOBS, PROJECTED])
async def test_an_earlier_timer_wakes_a_sleeping_worker(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 3600.0)
    fired: list[Timer] = []

    async def remind(timer: Timer) -> None:
        fired.append(timer)

    await REMINDERS.put(bakery.system, "demo", "later", utc_now() + HOUR)
    worker = REMINDERS.worker(bakery, remind)
    async with running(worker):
        await eventually(lambda: worker.backlog)
        soon = utc_now() + timedelta(seconds=0.2)
        await REMINDERS.put(bakery.system, "demo", "soon", soon)
        bakery.doorbell.ring(topic)
        await eventually(lambda: fired)

    assert [(timer.key, timer.due_at) for timer in fired] == [("soon", soon)]
    assert fired[0].due_at <= utc_now()


async def test_timers_missed_in_a_downtime_fire_once_with_the_time_they_were_due(
    bakery: Bakery,
) -> None:
    missed, fired = utc_now() - 5 * HOUR, list[tuple[str, datetime]]()

    async def remind(timer: Timer) -> None:
        fired.append((timer.key, timer.due_at))

    for number in range(20):
        await REMINDERS.put(bakery.system, "demo", f"{number:02}", missed)
    async with running(REMINDERS.worker(bakery, remind)), running(REMINDERS.worker(bakery, remind)):
        query = "SELECT count(*) FROM timer WHERE fired_at IS NOT NULL"
        await eventually(lambda: bakery.system.fetchval(query), 20)

    assert sorted(fired) == [(f"{number:02}", missed) for number in range(20)]


async def test_a_timer_that_fails_is_retried_and_then_parked(bakery: Bakery) -> None:
    at, tried = utc_now(), list[datetime]()

    async def remind(timer: Timer) -> None:
        tried.append(timer.due_at)
        raise ValueError("no florist")

    retry = Backoff(attempts=3, first=timedelta(milliseconds=1))
    await REMINDERS.put(bakery.system, "demo", "rose", at)
    worker = REMINDERS.worker(bakery, remind, retry=retry)
    async with running(worker):
        await eventually(lambda: worker.backlog is not None and worker.backlog.parked == 1)

    assert tried == [at] * 3
    assert await due(bakery, at + HOUR) == []


def test_timers_fire_as_last_set_however_often_their_events_are_replayed(database: str) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        pool = runner.run(stack.enter_async_context(system_pool(database, "bakery")))
        bakery = Bakery(pool, Doorbell(database, "bakery"))

        @example(MOVED)
        @example(CANCELLED)
        @given(steps=STEPS)
        def hold(steps: Sequence[Step]) -> None:
            runner.run(_check(bakery, steps))

        hold()
        runner.run(stack.aclose())


async def _check(bakery: Bakery, steps: Sequence[Step]) -> None:
    """The model: of each key the time set last, whether it counts, and whether it has fired."""
    await bakery.system.execute("DELETE FROM timer")
    events: list[tuple[str, int | None]] = []
    times, cancelled, over = dict[str, int](), set[str](), set[str]()
    for step, key, number in steps:
        match step:
            case "fire":
                expected = [
                    one for one, at in times.items() if at <= number and one not in cancelled | over
                ]
                fired = await fire(bakery, START + number * HOUR)
                assert fired == sorted((one, START + times[one] * HOUR) for one in expected)
                over |= {*expected}
            case "replay":
                for version in range(max(0, len(events) - number), len(events)):
                    await _apply(bakery, version, *events[version])
            case "cancel":
                events.append((key, None))
                cancelled.add(key)
            case _:
                events.append((key, number))
                if times.get(key) != number:
                    over.discard(key)
                cancelled.discard(key)
                times[key] = number
        if step in ("cancel", "put"):
            await _apply(bakery, len(events) - 1, *events[-1])


async def _apply(bakery: Bakery, version: int, key: str, at: int | None) -> None:
    if at is None:
        await REMINDERS.cancel(bakery.system, "demo", key, version=version)
    else:
        await REMINDERS.put(bakery.system, "demo", key, START + at * HOUR, version=version)
