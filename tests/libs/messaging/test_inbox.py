"""Messages in the inbox: claimed by one worker, in the order of their key, each finished once."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.messaging import inbox, inbox_worker
from libs.messaging.inbox_worker import InboxWorker
from tests.libs.messaging.deeds import Deeds, open_deeds_without_broker, work_off


@pytest.fixture
async def deeds(pool: asyncpg.Pool) -> Deeds:
    """A reaction that has done nothing yet, and no broker."""
    return await open_deeds_without_broker(pool)


async def test_a_worker_that_lost_its_claim_changes_nothing(deeds: Deeds) -> None:
    """Neither that it is done nor that it failed; nor where a later message has replaced it."""
    await deeds.arrive(1, 2)
    async with deeds.lab.pool.acquire() as connection:
        claim = partial(inbox.claim, connection, "deeds", limit=1)
        [first] = await claim(latest_wins=False)
        fail = partial(inbox.fail, connection, "deeds", first, "late", retry_in=timedelta())
        for latest_wins in (False, True):
            await deeds.let_pass(minutes=1)
            [_] = await claim(latest_wins=latest_wins)
            with pytest.raises(inbox.ClaimLost):
                await inbox.complete(connection, "deeds", first)
            with pytest.raises(inbox.ClaimLost):
                await fail(park=True)
            with pytest.raises(inbox.ClaimLost):
                await inbox.replace(connection, "deeds", first, None)
    outcomes = await deeds.lab.pool.fetch("SELECT outcome, error FROM inbox ORDER BY event_id")
    assert [tuple(row) for row in outcomes] == [("overtaken", None), (None, None)]


async def test_a_message_replaced_by_a_later_one_cannot_be_finished(deeds: Deeds) -> None:
    """Its worker was frozen until its claim ran out. One under a claim is not replaced."""
    await deeds.arrive(1, 2)
    async with deeds.lab.pool.acquire() as connection:
        claim = partial(inbox.claim, connection, "deeds", limit=9)
        [first] = await claim(latest_wins=False)
        assert await claim(latest_wins=True) == []
        assert await outcomes(deeds) == [None, None]
        await deeds.let_pass(minutes=1)
        await claim(latest_wins=True)
        assert await outcomes(deeds) == ["overtaken", None]
        with pytest.raises(inbox.ClaimLost):
            await inbox.complete(connection, "deeds", first)
        fail = partial(inbox.fail, connection, "deeds", first, "late", retry_in=timedelta())
        with pytest.raises(inbox.ClaimLost):
            await fail(park=True)
    assert await outcomes(deeds) == ["overtaken", None]


async def outcomes(deeds: Deeds) -> list[str | None]:
    rows = await deeds.lab.pool.fetch("SELECT outcome FROM inbox ORDER BY event_id")
    return [row["outcome"] for row in rows]


async def test_messages_of_one_key_are_handled_one_by_one_in_order_of_time(deeds: Deeds) -> None:
    """Also by several workers at once."""
    await deeds.arrive(*range(1, 20))
    workers = [deeds.reactor().worker for _ in range(4)]
    while len(deeds.tried) < 19:
        await asyncio.gather(*(worker.react() for worker in workers))

    assert deeds.tried == list(range(1, 20))
    assert deeds.most_together == 1


async def test_a_message_is_not_handled_before_it_is_due(deeds: Deeds) -> None:
    soon = datetime.now(UTC)
    deeds.due = lambda n: soon + timedelta(hours=n)
    await deeds.arrive(1, 2)
    reactor = deeds.reactor()
    for tried in ([], [1], [1, 2]):
        await work_off(reactor)
        assert deeds.tried == tried
        await deeds.let_pass(hours=1)


async def test_if_the_latest_wins_earlier_messages_are_skipped(deeds: Deeds) -> None:
    """Neither what waited meanwhile nor what comes too late; what is yet to come overtakes none."""
    now = datetime.now(UTC)
    deeds.due = lambda n: now + timedelta(hours=n - 4)
    await deeds.arrive(1, 3, 5)
    reactor = deeds.reactor(latest_wins=True)
    await work_off(reactor)
    await deeds.arrive(2)
    await work_off(reactor)

    assert deeds.tried == [3]
    rows = await deeds.lab.pool.fetch("SELECT event_id, outcome FROM inbox")
    assert {row["event_id"].int: row["outcome"] for row in rows} == {
        1: "overtaken",
        2: "overtaken",
        3: "done",
        5: None,
    }


async def test_a_failed_message_is_retried_after_a_pause(
    deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer after each failure."""
    monkeypatch.setattr(inbox_worker, "FIRST_BACKOFF", timedelta(minutes=1))
    deeds.fails = {1: [ValueError("poison")] * 3}
    await deeds.arrive(1)
    worker = deeds.reactor().worker
    for attempt in range(1, 4):
        assert await worker.react() == 1
        await deeds.let_pass(minutes=2 ** (attempt - 1) - 0.5)
        assert await worker.react() == 0
        await deeds.let_pass(minutes=0.5)
    assert await worker.react() == 1
    assert await deeds.done() == [1]


async def test_only_parked_messages_can_be_retried_or_dropped(deeds: Deeds) -> None:
    """Neither what waits, whose attempts go on counting, nor what was done."""
    deeds.fails = {2: [ValueError("poison")]}
    await deeds.arrive(1, 2)
    await work_off(deeds.reactor())
    async with deeds.lab.pool.acquire() as connection:
        for number in (1, 2):
            for decide in (inbox.retry, inbox.drop):
                assert not await decide(connection, "deeds", "demo", UUID(int=number))
    rows = await deeds.lab.pool.fetch("SELECT outcome, attempts FROM inbox ORDER BY event_id")
    assert [tuple(row) for row in rows] == [("done", 1), (None, 1)]


async def test_a_repeated_message_is_handled_once(deeds: Deeds) -> None:
    await deeds.arrive(1)
    await work_off(deeds.reactor())
    await deeds.arrive(1, 2)
    await work_off(deeds.reactor())
    assert deeds.tried == [1, 2]


async def test_a_reaction_has_two_thirds_of_its_claim(deeds: Deeds) -> None:
    """So that it has ended before another worker may begin with the same message."""
    lease = timedelta(seconds=0.6)

    async def take_long(_: Any) -> None:
        await asyncio.sleep(lease.total_seconds())

    await deeds.arrive(1)
    await InboxWorker(deeds.lab.pool, deeds.reaction(react=take_long), lease=lease).react()
    errors = [row["error"].split(":")[0] for row in await deeds.waiting()]
    assert errors == ["TimeoutError"]


async def test_messages_finished_long_ago_are_deleted(deeds: Deeds) -> None:
    await deeds.arrive(1)
    await work_off(deeds.reactor())
    async with deeds.lab.pool.acquire() as connection:
        for after, left in ((timedelta(hours=1), 1), (timedelta(), 0)):
            await inbox.forget(connection, after)
            assert await connection.fetchval("SELECT count(*) FROM inbox") == left
