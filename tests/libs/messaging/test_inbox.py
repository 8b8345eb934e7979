"""Messages in the inbox: claimed by one worker, in the order of their key, finished once."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from libs.messaging import inbox, inbox_worker
from libs.messaging.inbox_worker import InboxWorker
from tests.libs.messaging.reaction_harness import (
    ReactionHarness,
    handle_due,
    open_harness_without_broker,
)


@pytest.fixture
async def harness(pool: asyncpg.Pool) -> ReactionHarness:
    """A new harness without a broker."""
    return await open_harness_without_broker(pool)


async def test_a_worker_that_lost_its_claim_changes_nothing(harness: ReactionHarness) -> None:
    """Neither by completing nor by failing the message, nor if a later message replaced it."""
    await harness.arrive(1, 2)
    async with harness.lab.pool.acquire() as connection:
        claim = partial(inbox.claim, connection, "deeds", limit=1)
        [first] = await claim(latest_wins=False)
        fail = partial(inbox.fail, connection, "deeds", first, "late", retry_in=timedelta())
        for latest_wins in (False, True):
            await harness.advance(minutes=1)
            [_] = await claim(latest_wins=latest_wins)
            with pytest.raises(inbox.ClaimLost):
                await inbox.complete(connection, "deeds", first)
            with pytest.raises(inbox.ClaimLost):
                await fail(park=True)
            with pytest.raises(inbox.ClaimLost):
                await inbox.replace(connection, "deeds", first, None)
    outcomes = await harness.lab.pool.fetch("SELECT outcome, error FROM inbox ORDER BY event_id")
    assert [tuple(row) for row in outcomes] == [("overtaken", None), (None, None)]


async def test_a_message_replaced_by_a_later_one_cannot_be_finished(
    harness: ReactionHarness,
) -> None:
    """Its worker was frozen until its claim expired. A claimed message is not replaced."""
    await harness.arrive(1, 2)
    async with harness.lab.pool.acquire() as connection:
        claim = partial(inbox.claim, connection, "deeds", limit=9)
        [first] = await claim(latest_wins=False)
        assert await claim(latest_wins=True) == []
        assert await outcomes(harness) == [None, None]
        await harness.advance(minutes=1)
        await claim(latest_wins=True)
        assert await outcomes(harness) == ["overtaken", None]
        with pytest.raises(inbox.ClaimLost):
            await inbox.complete(connection, "deeds", first)
        fail = partial(inbox.fail, connection, "deeds", first, "late", retry_in=timedelta())
        with pytest.raises(inbox.ClaimLost):
            await fail(park=True)
    assert await outcomes(harness) == ["overtaken", None]


async def outcomes(harness: ReactionHarness) -> list[str | None]:
    rows = await harness.lab.pool.fetch("SELECT outcome FROM inbox ORDER BY event_id")
    return [row["outcome"] for row in rows]


async def test_messages_of_one_key_are_handled_one_by_one_in_order_of_time(
    harness: ReactionHarness,
) -> None:
    """Also with several workers at once."""
    await harness.arrive(*range(1, 20))
    workers = [harness.reactor().worker for _ in range(4)]
    while len(harness.tried) < 19:
        await asyncio.gather(*(worker.react() for worker in workers))

    assert harness.tried == list(range(1, 20))
    assert harness.most_together == 1


async def test_a_message_is_not_handled_before_it_is_due(harness: ReactionHarness) -> None:
    soon = datetime.now(UTC)
    harness.due = lambda n: soon + timedelta(hours=n)
    await harness.arrive(1, 2)
    reactor = harness.reactor()
    for tried in ([], [1], [1, 2]):
        await handle_due(reactor)
        assert harness.tried == tried
        await harness.advance(hours=1)


async def test_if_the_latest_wins_earlier_messages_are_skipped(harness: ReactionHarness) -> None:
    """This also holds for late messages; a message that is not due replaces none."""
    now = datetime.now(UTC)
    harness.due = lambda n: now + timedelta(hours=n - 4)
    await harness.arrive(1, 3, 5)
    reactor = harness.reactor(latest_wins=True)
    await handle_due(reactor)
    await harness.arrive(2)
    await handle_due(reactor)

    assert harness.tried == [3]
    rows = await harness.lab.pool.fetch("SELECT event_id, outcome FROM inbox")
    assert {row["event_id"].int: row["outcome"] for row in rows} == {
        1: "overtaken",
        2: "overtaken",
        3: "done",
        5: None,
    }


async def test_a_failed_message_is_retried_after_a_pause(
    harness: ReactionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause grows with each failure."""
    monkeypatch.setattr(inbox_worker, "FIRST_BACKOFF", timedelta(minutes=1))
    harness.fails = {1: [ValueError("poison")] * 3}
    await harness.arrive(1)
    worker = harness.reactor().worker
    for attempt in range(1, 4):
        assert await worker.react() == 1
        await harness.advance(minutes=2 ** (attempt - 1) - 0.5)
        assert await worker.react() == 0
        await harness.advance(minutes=0.5)
    assert await worker.react() == 1
    assert await harness.done() == [1]


async def test_only_parked_messages_can_be_retried_or_dropped(harness: ReactionHarness) -> None:
    """Neither waiting messages, whose attempts stay counted, nor finished ones."""
    harness.fails = {2: [ValueError("poison")]}
    await harness.arrive(1, 2)
    await handle_due(harness.reactor())
    async with harness.lab.pool.acquire() as connection:
        for number in (1, 2):
            for decide in (inbox.retry, inbox.drop):
                assert not await decide(connection, "deeds", "demo", UUID(int=number))
    rows = await harness.lab.pool.fetch("SELECT outcome, attempts FROM inbox ORDER BY event_id")
    assert [tuple(row) for row in rows] == [("done", 1), (None, 1)]


async def test_a_repeated_message_is_handled_once(harness: ReactionHarness) -> None:
    await harness.arrive(1)
    await handle_due(harness.reactor())
    await harness.arrive(1, 2)
    await handle_due(harness.reactor())
    assert harness.tried == [1, 2]


async def test_a_reaction_has_two_thirds_of_its_claim(harness: ReactionHarness) -> None:
    """So it ends before another worker can claim the same message."""
    lease = timedelta(seconds=0.6)

    async def take_long(_: Any) -> None:
        await asyncio.sleep(lease.total_seconds())

    await harness.arrive(1)
    await InboxWorker(harness.lab.pool, harness.reaction(react=take_long), lease=lease).react()
    errors = [row["error"].split(":")[0] for row in await harness.waiting()]
    assert errors == ["TimeoutError"]


async def test_messages_finished_long_ago_are_deleted(harness: ReactionHarness) -> None:
    await harness.arrive(1)
    await handle_due(harness.reactor())
    async with harness.lab.pool.acquire() as connection:
        for after, left in ((timedelta(hours=1), 1), (timedelta(), 0)):
            await inbox.forget(connection, after)
            assert await connection.fetchval("SELECT count(*) FROM inbox") == left
