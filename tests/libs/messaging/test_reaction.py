"""Reactions: every fact has its effect once, whatever fails, and nothing runs in a replay."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from libs.errors import Unavailable
from libs.messaging import inbox
from libs.messaging.reaction import TRIES, intake
from libs.messaging.wire import decode
from tests.libs.messaging.deeds import (
    NOON,
    Clock,
    Deeds,
    arrive,
    open_deeds,
    reaction,
    reactor,
    work_off,
)
from tests.libs.messaging.lab import Cursed, Lab, Numbered, eventually, order, running


@pytest.fixture
async def deeds(lab: Lab) -> Deeds:
    """A reaction that has done nothing yet."""
    return await open_deeds(lab)


async def _sorted(deeds: Deeds) -> list[int]:
    return sorted(await deeds.done())


def _told(arrival: inbox.Arrival) -> Any:
    @dataclass
    class Told:
        event: Numbered
        event_id: UUID

    return Told(Numbered(arrival.event_id.int), arrival.event_id)


async def test_what_is_announced_on_kafka_has_its_effect_once(deeds: Deeds) -> None:
    """Two workers, a reader that begins anew, and facts that nobody reacts to in between."""
    lab = deeds.lab
    for number in range(10):
        await lab.append(order(number), Numbered(number))
    await lab.append(order(1), Cursed(99))
    async with running(lab.relay(), reactor(deeds), reactor(deeds)):
        await eventually(lambda: _sorted(deeds), list(range(10)))
    async with running(lab.relay(), reactor(deeds)):
        await lab.append(order(20), Numbered(20))
        await eventually(lambda: _sorted(deeds), [*range(10), 20])
    assert sorted(deeds.tried) == [*range(10), 20]


async def test_reading_the_topic_from_its_beginning_does_nothing_twice(deeds: Deeds) -> None:
    lab = deeds.lab
    async with running(lab.relay(), reactor(deeds)):
        for number in range(5):
            await lab.append(order(number), Numbered(number))
        await eventually(lambda: _sorted(deeds), list(range(5)))
    # As if the reader had lost its place: checkpoint and inbox are of one mind about what is new.
    await lab.pool.execute("UPDATE checkpoints SET next_offset = 0, relay_seq = NULL")
    async with running(lab.relay(), reactor(deeds)):
        await lab.append(order(7), Numbered(7))
        await eventually(lambda: _sorted(deeds), [*range(5), 7])
    assert sorted(deeds.tried) == [*range(5), 7]


async def test_what_a_topic_has_forgotten_is_not_waited_for(deeds: Deeds) -> None:
    """Who begins to listen long after the others hears what is still said, and all that follows."""
    lab = deeds.lab
    async with running(lab.relay()):
        for number in range(6):
            await lab.append(order(number), Numbered(number))
        await eventually(lab.published, 6)
        kept = await lab.records()
        await forget(lab, {(one.topic, one.partition): one.offset + 1 for one in kept[:-1]})
        still = sorted(decode(one).recorded.data for one in await lab.records())
        assert 0 < len(still) < 6
        async with running(reactor(deeds), reactor(deeds)):
            await lab.append(order(9), Numbered(9))
            expected = sorted([*(msgspec.json.decode(data)["n"] for data in still), 9])
            await eventually(lambda: _sorted(deeds), expected)


async def forget(lab: Lab, before: dict[tuple[str, int], int]) -> None:
    """As retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=lab.bootstrap)
    await admin.start()
    records = {
        TopicPartition(*lane): RecordsToDelete(before_offset=offset)
        for lane, offset in before.items()
    }
    await admin.delete_records(records)
    await admin.close()


async def test_a_crash_between_the_effect_and_its_note_doubles_nothing(deeds: Deeds) -> None:
    clock = Clock()
    await arrive(deeds, 1)
    async with deeds.lab.pool.acquire() as connection:
        (arrival,) = await inbox.claim(connection, "deeds", clock(), limit=9, latest_wins=False)
    await deeds.react(_told(arrival))
    worker = reactor(deeds, clock=clock)
    assert await worker.react() == 0

    clock.now += inbox.LEASE
    await work_off(worker)

    assert deeds.tried == [1, 1]
    assert await deeds.done() == [1]


async def test_one_subject_is_done_one_after_the_other_by_time(deeds: Deeds) -> None:
    """Also by several workers at once."""
    await arrive(deeds, *range(1, 20))
    workers = [reactor(deeds) for _ in range(4)]
    while len(deeds.tried) < 19:
        await asyncio.gather(*(worker.react() for worker in workers))

    assert deeds.tried == list(range(1, 20))
    assert deeds.most_together == 1


async def test_what_is_to_be_done_later_waits_for_its_time(deeds: Deeds) -> None:
    clock = Clock()
    deeds.due = lambda n: NOON + timedelta(hours=n)
    await arrive(deeds, 1, 2)
    worker = reactor(deeds, clock=clock)
    await work_off(worker)
    assert deeds.tried == []

    clock.now += timedelta(hours=1)
    await work_off(worker)
    assert deeds.tried == [1]

    clock.now += timedelta(hours=1)
    await work_off(worker)
    assert deeds.tried == [1, 2]


async def test_where_the_latest_wins_earlier_ones_are_not_done(deeds: Deeds) -> None:
    """Neither what waited meanwhile nor what comes too late; what is yet to come overtakes none."""
    clock = Clock()
    deeds.due = lambda n: NOON + timedelta(hours=n)
    await arrive(deeds, 1, 3, 5)
    clock.now += timedelta(hours=4)
    worker = reactor(deeds, clock=clock, latest_wins=True)
    await work_off(worker)
    await arrive(deeds, 2)
    await work_off(worker)

    assert deeds.tried == [3]
    rows = await deeds.lab.pool.fetch("SELECT event_id, outcome FROM inbox")
    assert {row["event_id"].int: row["outcome"] for row in rows} == {
        1: "overtaken",
        2: "overtaken",
        3: "done",
        5: None,
    }


async def test_what_fails_is_tried_again_then_parked_and_holds_others_up(deeds: Deeds) -> None:
    clock = Clock()
    deeds.fails = {1: [ValueError("poison")] * (TRIES + 1)}
    await arrive(deeds, 1, 2)
    worker = reactor(deeds, clock=clock)
    for _ in range(TRIES + 3):
        await work_off(worker)
        clock.now += timedelta(minutes=10)

    assert deeds.tried == [1] * TRIES
    async with deeds.lab.pool.acquire() as connection:
        assert await inbox.parked(connection, "deeds") == 1
        assert await inbox.retry(connection, "deeds", "demo", UUID(int=1))
    await work_off(worker)
    clock.now += timedelta(minutes=10)
    await work_off(worker)
    assert await deeds.done() == [1, 2]


async def test_what_is_given_up_holds_nobody_up(deeds: Deeds) -> None:
    clock = Clock()
    deeds.fails = {1: [ValueError("poison")] * TRIES}
    await arrive(deeds, 1, 2)
    worker = reactor(deeds, clock=clock)
    for _ in range(TRIES):
        await work_off(worker)
        clock.now += timedelta(minutes=10)
    async with deeds.lab.pool.acquire() as connection:
        assert await inbox.drop(connection, "deeds", "demo", UUID(int=1), clock())
        assert not await inbox.drop(connection, "deeds", "demo", UUID(int=2), clock())
    await work_off(worker)
    assert await deeds.done() == [2]


async def test_what_is_away_for_a_while_is_waited_for_however_long(deeds: Deeds) -> None:
    clock = Clock()
    deeds.fails = {1: [Unavailable()] * (3 * TRIES)}
    await arrive(deeds, 1)
    worker = reactor(deeds, clock=clock)
    for _ in range(3 * TRIES + 1):
        await work_off(worker)
        clock.now += timedelta(minutes=10)
    assert await deeds.done() == [1]


async def test_what_was_done_long_ago_is_forgotten(deeds: Deeds) -> None:
    clock = Clock()
    await arrive(deeds, 1)
    await work_off(reactor(deeds, clock=clock))
    async with deeds.lab.pool.acquire() as connection:
        await inbox.forget(connection, NOON)
        assert await connection.fetchval("SELECT count(*) FROM inbox") == 1
        await inbox.forget(connection, NOON + timedelta(seconds=1))
        assert await connection.fetchval("SELECT count(*) FROM inbox") == 0


async def test_the_database_may_go_away(deeds: Deeds) -> None:
    lab = deeds.lab
    async with running(lab.relay(), reactor(deeds)):
        for number in range(4):
            await lab.append(order(number), Numbered(number))
            await lab.terminate_backends()
        await eventually(lambda: _sorted(deeds), list(range(4)))


def test_a_reaction_has_no_tables_to_rebuild(lab: Lab) -> None:
    """So that nothing is done about the past when read models are."""
    assert intake(reaction(Deeds(lab))).tables == ()
