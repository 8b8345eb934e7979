"""Reactions: every fact has its effect once, whatever fails, and nothing runs in a replay."""

import asyncio
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from libs.errors import Unavailable
from libs.eventsourcing.log import VersionConflict
from libs.messaging import inbox
from libs.messaging.inbox_worker import ATTEMPTS, CONTENDED_ATTEMPTS, InboxWorker
from libs.messaging.reaction import Reaction, feed_of, is_own
from libs.messaging.reactor import OVERDUE_SECONDS
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.messaging.wire import decode
from libs.projections.runner import ProjectionRunner
from libs.testing.polling import eventually
from tests.libs.messaging.frozen_worker import SEEN
from tests.libs.messaging.lab import CODEC, Cursed, Lab, Numbered, order, running
from tests.libs.messaging.reaction_harness import (
    ReactionHarness,
    handle_due,
    handle_repeatedly,
    open_harness,
)


@pytest.fixture
async def harness(lab: Lab) -> ReactionHarness:
    """A new harness, its inbox, and a topic for its facts."""
    specs = [TopicSpec(category="lab.deed", partitions=1, retention_days=1)]
    await ensure_topics(lab.bootstrap, lab.prefix, specs)
    return await open_harness(lab)


async def append(lab: Lab, *numbers: int) -> None:
    for number in numbers:
        await lab.append(order(number), Numbered(number))


async def test_a_fact_on_kafka_has_its_effect_once(harness: ReactionHarness) -> None:
    """With two workers, ignored facts, and a reader that starts over."""
    lab = harness.lab
    await append(lab, *range(10))
    await lab.append(order(1), Cursed(99))
    async with running(lab.relay(), harness.reactor(), harness.reactor()):
        await harness.all_done([*range(10)])
    async with running(lab.relay(), harness.reactor()):
        await append(lab, 20)
        await harness.all_done([*range(10), 20])
    # As if the positions were lost: the inbox still has the events.
    await lab.pool.execute("DELETE FROM subscription_positions")
    async with running(lab.relay(), harness.reactor()):
        await append(lab, 30)
        await harness.all_done([*range(10), 20, 30])
    assert sorted(harness.tried) == [*range(10), 20, 30]


async def test_records_that_a_topic_no_longer_holds_are_not_waited_for(
    harness: ReactionHarness,
) -> None:
    """A reaction that is added later gets all records that the topic still holds."""
    lab = harness.lab
    async with running(lab.relay()):
        await append(lab, *range(6))
        await eventually(lab.published, 6)
        records = await lab.records()
        await lab.delete_records({one.partition: one.offset + 1 for one in records[:-1]})
        still = sorted(decode(one).recorded.data for one in await lab.records())
        assert 0 < len(still) < 6
        async with running(harness.reactor(), harness.reactor()):
            await append(lab, 9)
            await harness.all_done([*(msgspec.json.decode(data)["n"] for data in still), 9])


async def test_own_facts_come_from_the_services_own_log(harness: ReactionHarness) -> None:
    """Without Kafka, and once, even if the runner starts over."""
    lab = harness.lab
    reactor = harness.reactor(own=True)
    woken = [lambda *_: reactor.wake()]

    def runner() -> ProjectionRunner:
        return ProjectionRunner(
            lab.pool, [feed_of(harness.reaction())], service="lab", on_applied=woken
        )

    async with running(runner(), reactor):
        await append(lab, *range(5))
        await harness.all_done([*range(5)])
        assert (await reactor.check()).ok
    await lab.pool.execute("DELETE FROM projections; DELETE FROM projection_checkpoints")
    async with running(runner(), reactor):
        await append(lab, 7)
        await harness.all_done([*range(5), 7])
    assert sorted(harness.tried) == [*range(5), 7]


def test_a_reaction_is_to_own_facts_or_to_facts_of_others(lab: Lab) -> None:
    def about(*topics: str) -> Reaction[Any]:
        return ReactionHarness(lab).reaction(topics=topics)

    assert is_own("scale-bridge", about("scale-bridge.device", "scale-bridge.schedule"))
    assert not is_own("scale", about("scale-bridge.device"))
    with pytest.raises(ValueError, match="mixes"):
        is_own("shop", about("shop.price", "gateway.session"))


async def test_a_crash_between_effect_and_completion_doubles_nothing(
    harness: ReactionHarness,
) -> None:
    await harness.arrive(1)
    async with harness.lab.pool.acquire() as connection:
        (message,) = await inbox.claim(connection, "deeds", limit=9, latest_wins=False)
    await harness.react(_Announced(Numbered(message.event_id.int), message.event_id))
    reactor = harness.reactor()
    assert await reactor.worker.react() == 0

    await harness.advance(minutes=1)
    await handle_due(reactor)

    assert harness.tried == [1, 1]
    assert await harness.done() == [1]


@dataclass
class _Announced:
    event: Numbered
    event_id: UUID


async def test_a_worker_that_was_frozen_can_neither_finish_nor_have_an_effect(
    harness: ReactionHarness, database: str
) -> None:
    """It stops in the middle of a reaction, another worker handles the message, then it resumes."""
    await harness.arrive(1)
    await harness.lab.pool.execute(SEEN)
    frozen = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.libs.messaging.frozen_worker", database)
    )
    try:
        state = Path(f"/proc/{frozen.pid}/stat")
        await eventually(lambda: state.read_text().rsplit(") ", 1)[1][0], "T")
        await harness.advance(minutes=1)

        async def see(connection: Any, _: Any) -> None:
            await connection.execute("INSERT INTO seen VALUES ('the other')")

        await handle_due(harness.reactor(react=None, react_in_transaction=see))
        frozen.send_signal(signal.SIGCONT)
        assert await frozen.wait() == 0
    finally:
        if frozen.returncode is None:
            frozen.kill()
            await frozen.wait()

    rows = await harness.lab.pool.fetch("SELECT by FROM seen")
    assert [row["by"] for row in rows] == ["the other"]
    [message] = await harness.lab.pool.fetch("SELECT outcome, fence, error FROM inbox")
    assert tuple(message) == ("done", 2, None)


async def test_an_effect_in_the_transaction_is_all_or_nothing(harness: ReactionHarness) -> None:
    await harness.arrive(1)
    await harness.lab.pool.execute(SEEN)
    errors: list[Exception] = [ValueError("in the middle")]

    async def see(connection: Any, _: Any) -> None:
        await connection.execute("INSERT INTO seen VALUES ('me')")
        if errors:
            raise errors.pop()

    reactor = harness.reactor(react=None, react_in_transaction=see)
    await handle_repeatedly(harness, reactor, 2)

    assert await harness.lab.pool.fetchval("SELECT count(*) FROM seen") == 1
    assert await harness.lab.pool.fetchval("SELECT attempts FROM inbox WHERE outcome = 'done'") == 2


async def test_an_idle_worker_wakes_when_a_message_is_due(harness: ReactionHarness) -> None:
    """A blocked message does not wake it."""
    soon = datetime.now(UTC)
    harness.due = lambda n: soon + timedelta(seconds=3 * n)
    await harness.arrive(1, 2)
    async with harness.lab.pool.acquire() as connection:
        next_in = await inbox.seconds_to_next(connection, "deeds", latest_wins=False)
        assert next_in is not None
        assert 0 < next_in <= 3
        await connection.execute("UPDATE inbox SET parked_at = now() WHERE due_at < now() + '4 s'")
        assert await inbox.seconds_to_next(connection, "deeds", latest_wins=False) is None
        await connection.execute("UPDATE inbox SET parked_at = NULL")
    async with running(harness.reactor(own=True)):
        await harness.all_done([1, 2])


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ValueError("poison\0 \ud800"), ATTEMPTS),
        (TimeoutError("too slow"), CONTENDED_ATTEMPTS),
        (VersionConflict("others"), CONTENDED_ATTEMPTS),
    ],
    ids=["fails", "times out", "loses races"],
)
async def test_a_failing_message_is_retried_then_parked_and_blocks_later_ones(
    harness: ReactionHarness, error: Exception, attempts: int
) -> None:
    harness.fails = {1: [error] * (attempts + 1)}
    await harness.arrive(1, 2)
    reactor = harness.reactor()
    await handle_repeatedly(harness, reactor, attempts + 3)

    assert harness.tried == [1] * attempts
    states = [(row["event_id"].int, row["parked"], row["error"]) for row in await harness.waiting()]
    text = f"{type(error).__name__}: {error}".replace("\0", "").replace("\ud800", "?")
    assert states == [(1, True, text), (2, False, None)]
    async with harness.lab.pool.acquire() as connection:
        assert (await inbox.backlog(connection, "deeds")).parked == 1
        assert await inbox.retry(connection, "deeds", "demo", UUID(int=1))
    await handle_repeatedly(harness, reactor, 2)
    assert await harness.done() == [1, 2]


async def test_a_dropped_message_blocks_no_others(harness: ReactionHarness) -> None:
    harness.fails = {1: [ValueError("poison")] * ATTEMPTS}
    await harness.arrive(1, 2)
    reactor = harness.reactor()
    await handle_repeatedly(harness, reactor, ATTEMPTS)
    async with harness.lab.pool.acquire() as connection:
        assert await inbox.drop(connection, "deeds", "demo", UUID(int=1))
        assert not await inbox.drop(connection, "deeds", "demo", UUID(int=2))
    await handle_due(reactor)
    assert await harness.done() == [2]
    # The drop stays on record.
    rows = await harness.lab.pool.fetch("SELECT outcome, error FROM inbox ORDER BY event_id")
    assert [tuple(row) for row in rows] == [("dropped", "ValueError: poison"), ("done", None)]


async def test_an_outage_is_waited_out_and_reported(harness: ReactionHarness) -> None:
    """The message is listed with its error, and finally the service is not ready."""
    many = 2 * CONTENDED_ATTEMPTS
    harness.fails = {1: [Unavailable("the scales")] * many}
    await harness.arrive(1)
    reactor = harness.reactor(own=True)
    await handle_repeatedly(harness, reactor, many)
    [row] = await harness.waiting()
    assert (row["parked"], row["attempts"], row["error"]) == (
        False,
        many,
        "Unavailable: the scales unavailable",
    )
    await reactor.worker._maintain()
    assert reactor.worker.backlog.oldest_seconds > OVERDUE_SECONDS
    result = await reactor.check()
    assert not result.ok
    assert "a message has waited" in result.detail

    await handle_due(reactor)
    assert await harness.done() == [1]


async def test_a_worker_survives_an_outage_of_the_database(harness: ReactionHarness) -> None:
    async with running(harness.lab.relay(), harness.reactor()):
        for number in range(4):
            await append(harness.lab, number)
            await harness.lab.terminate_backends()
        await harness.all_done([*range(4)])


def test_a_reaction_has_no_tables_to_rebuild(lab: Lab) -> None:
    """So a rebuild never repeats its effects."""
    assert feed_of(ReactionHarness(lab).reaction()).tables == ()


async def test_a_reaction_has_exactly_one_handler(lab: Lab, pool: Any) -> None:
    with pytest.raises(ValueError, match="one of"):
        Reaction(name="none", topics=("a.b",), codec=CODEC, schedule_of=lambda _: None)
    assert InboxWorker(pool, ReactionHarness(lab).reaction()).backlog.parked == 0
