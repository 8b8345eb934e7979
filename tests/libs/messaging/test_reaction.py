"""Reactions: every fact has its effect once, whatever fails, and nothing runs in a replay."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from msgspec import structs

from libs.errors import Unavailable
from libs.eventsourcing.log import NO_STREAM
from libs.eventsourcing.store import envelope
from libs.messaging import inbox
from libs.messaging.inbox import create_inbox
from libs.messaging.reaction import TRIES, Reaction, Reactor, Turn, intake
from libs.messaging.subscription import Source
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.messaging.wire import decode
from libs.testing.clock import NOON, Clock
from libs.testing.waiting import eventually
from tests.libs.messaging.lab import CAUSE, CODEC, Cursed, Lab, Numbered, order, running
from tests.libs.messaging.wires import recorded


@dataclass
class Deeds:
    """What a reaction did: facts in a stream of its own, by command ids that follow from events."""

    lab: Lab
    clock: Clock = field(default_factory=Clock)
    due: Callable[[int], datetime] = lambda _: NOON
    fails: dict[int, list[Exception]] = field(default_factory=dict)
    tried: list[int] = field(default_factory=list)
    together: int = 0
    most_together: int = 0

    def turn_of(self, event: Any) -> Turn | None:
        return Turn("all", self.due(event.n)) if isinstance(event, Numbered) else None

    async def react(self, arrived: Any) -> None:
        self.together += 1
        self.most_together = max(self.together, self.most_together)
        try:
            await asyncio.sleep(0)
            self.tried.append(arrived.event.n)
            if errors := self.fails.get(arrived.event.n):
                raise errors.pop(0)
            command = uuid5(arrived.event_id, "deed")
            await self.lab.store.append(
                f"deed-{command}",
                [Numbered(arrived.event.n)],
                expected=NO_STREAM,
                cause=CAUSE,
                command_id=command,
            )
        finally:
            self.together -= 1

    async def done(self) -> list[int]:
        """The numbers of what was done, in its order."""
        rows = await self.lab.pool.fetch(
            "SELECT (data->>'n')::int AS n FROM events WHERE stream LIKE 'deed-%' ORDER BY position"
        )
        return [row["n"] for row in rows]

    async def all_done(self, numbers: list[int]) -> None:
        """Wait until these were done, in any order, and nothing else."""

        async def done() -> list[int]:
            return sorted(await self.done())

        await eventually(done, numbers)

    def reaction(self, **different: Any) -> Reaction[Any]:
        given: Reaction[Any] = Reaction(
            name="deeds", topics=("lab.order",), codec=CODEC, turn_of=self.turn_of, react=self.react
        )
        return replace(given, **different)

    def reactor(self, **different: Any) -> Reactor[Any]:
        lab = self.lab
        source = Source(bootstrap=lab.bootstrap, prefix=lab.prefix, group=lab.group)
        return Reactor(lab.pool, self.reaction(**different), source, clock=self.clock)

    async def arrive(self, *numbers: int) -> None:
        """Put facts into the inbox as the reader does."""
        envelopes = [
            envelope(
                structs.replace(recorded(n, order(n)), occurred_at=NOON + timedelta(seconds=n)),
                Numbered(n),
            )
            for n in numbers
        ]
        async with self.lab.pool.acquire() as connection, connection.transaction():
            await intake(self.reaction()).project(connection, envelopes)


class _Statements:
    """What a migration would execute."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def execute(self, sqltext: str) -> None:
        if not sqltext.startswith("GRANT"):
            self.all.append(sqltext)


@pytest.fixture
async def deeds(lab: Lab) -> Deeds:
    """A reaction that has done nothing yet, its inbox, and a topic for what it does."""
    specs = [TopicSpec(category="lab.deed", partitions=1, retention_days=1)]
    await ensure_topics(lab.bootstrap, lab.prefix, specs)
    statements = _Statements()
    create_inbox(statements, application_role="unused")
    await lab.pool.execute(";".join(statements.all))
    return Deeds(lab)


async def append(lab: Lab, *numbers: int) -> None:
    for number in numbers:
        await lab.append(order(number), Numbered(number))


async def work_off(worker: Reactor[Any]) -> None:
    while await worker.react():
        pass


async def work_again_and_again(deeds: Deeds, worker: Reactor[Any], times: int) -> None:
    """Each time ten minutes later, which is longer than any back-off."""
    for _ in range(times):
        await work_off(worker)
        deeds.clock.advance(minutes=10)


async def test_what_is_announced_on_kafka_has_its_effect_once(deeds: Deeds) -> None:
    """Two workers, facts that nobody reacts to in between, and a reader that begins anew."""
    lab = deeds.lab
    await append(lab, *range(10))
    await lab.append(order(1), Cursed(99))
    async with running(lab.relay(), deeds.reactor(), deeds.reactor()):
        await deeds.all_done([*range(10)])
    async with running(lab.relay(), deeds.reactor()):
        await append(lab, 20)
        await deeds.all_done([*range(10), 20])
    # As if the reader had lost its place: checkpoint and inbox are of one mind about what is new.
    await lab.pool.execute("UPDATE checkpoints SET next_offset = 0, relay_seq = NULL")
    async with running(lab.relay(), deeds.reactor()):
        await append(lab, 30)
        await deeds.all_done([*range(10), 20, 30])
    assert sorted(deeds.tried) == [*range(10), 20, 30]


async def test_what_a_topic_has_forgotten_is_not_waited_for(deeds: Deeds) -> None:
    """Who begins to listen long after the others hears what is still said, and all that follows."""
    lab = deeds.lab
    async with running(lab.relay()):
        await append(lab, *range(6))
        await eventually(lab.published, 6)
        records = await lab.records()
        await lab.delete_records({one.partition: one.offset + 1 for one in records[:-1]})
        still = sorted(decode(one).recorded.data for one in await lab.records())
        assert 0 < len(still) < 6
        async with running(deeds.reactor(), deeds.reactor()):
            await append(lab, 9)
            await deeds.all_done(sorted([*(msgspec.json.decode(data)["n"] for data in still), 9]))


async def test_a_crash_between_the_effect_and_its_note_doubles_nothing(deeds: Deeds) -> None:
    await deeds.arrive(1)
    async with deeds.lab.pool.acquire() as connection:
        now = deeds.clock()
        (arrival,) = await inbox.claim(connection, "deeds", now, limit=9, latest_wins=False)
    await deeds.react(_Announced(Numbered(arrival.event_id.int), arrival.event_id))
    worker = deeds.reactor()
    assert await worker.react() == 0

    deeds.clock.now += inbox.LEASE
    await work_off(worker)

    assert deeds.tried == [1, 1]
    assert await deeds.done() == [1]


@dataclass
class _Announced:
    event: Numbered
    event_id: UUID


async def test_one_subject_is_done_one_after_the_other_by_time(deeds: Deeds) -> None:
    """Also by several workers at once."""
    await deeds.arrive(*range(1, 20))
    workers = [deeds.reactor() for _ in range(4)]
    while len(deeds.tried) < 19:
        await asyncio.gather(*(worker.react() for worker in workers))

    assert deeds.tried == list(range(1, 20))
    assert deeds.most_together == 1


async def test_what_is_to_be_done_later_waits_for_its_time(deeds: Deeds) -> None:
    deeds.due = lambda n: NOON + timedelta(hours=n)
    await deeds.arrive(1, 2)
    worker = deeds.reactor()
    for tried in ([], [1], [1, 2]):
        await work_off(worker)
        assert deeds.tried == tried
        deeds.clock.advance(hours=1)


async def test_where_the_latest_wins_earlier_ones_are_not_done(deeds: Deeds) -> None:
    """Neither what waited meanwhile nor what comes too late; what is yet to come overtakes none."""
    deeds.due = lambda n: NOON + timedelta(hours=n)
    await deeds.arrive(1, 3, 5)
    deeds.clock.advance(hours=4)
    worker = deeds.reactor(latest_wins=True)
    await work_off(worker)
    await deeds.arrive(2)
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
    deeds.fails = {1: [ValueError("poison\0")] * (TRIES + 1)}
    await deeds.arrive(1, 2)
    worker = deeds.reactor()
    await work_again_and_again(deeds, worker, TRIES + 3)

    assert deeds.tried == [1] * TRIES
    async with deeds.lab.pool.acquire() as connection:
        assert await inbox.parked(connection, "deeds") == 1
        assert await inbox.retry(connection, "deeds", "demo", UUID(int=1))
    await work_again_and_again(deeds, worker, 2)
    assert await deeds.done() == [1, 2]


async def test_what_is_given_up_holds_nobody_up(deeds: Deeds) -> None:
    deeds.fails = {1: [ValueError("poison")] * TRIES}
    await deeds.arrive(1, 2)
    worker = deeds.reactor()
    await work_again_and_again(deeds, worker, TRIES)
    async with deeds.lab.pool.acquire() as connection:
        now = deeds.clock()
        assert await inbox.drop(connection, "deeds", "demo", UUID(int=1), now)
        assert not await inbox.drop(connection, "deeds", "demo", UUID(int=2), now)
    await work_off(worker)
    assert await deeds.done() == [2]


async def test_what_is_away_for_a_while_is_waited_for_however_long(deeds: Deeds) -> None:
    deeds.fails = {1: [Unavailable()] * (3 * TRIES)}
    await deeds.arrive(1)
    await work_again_and_again(deeds, deeds.reactor(), 3 * TRIES + 1)
    assert await deeds.done() == [1]


async def test_what_was_done_long_ago_is_forgotten(deeds: Deeds) -> None:
    await deeds.arrive(1)
    await work_off(deeds.reactor())
    async with deeds.lab.pool.acquire() as connection:
        for before, left in ((NOON, 1), (NOON + timedelta(seconds=1), 0)):
            await inbox.forget(connection, before)
            assert await connection.fetchval("SELECT count(*) FROM inbox") == left


async def test_the_database_may_go_away(deeds: Deeds) -> None:
    async with running(deeds.lab.relay(), deeds.reactor()):
        for number in range(4):
            await append(deeds.lab, number)
            await deeds.lab.terminate_backends()
        await deeds.all_done([*range(4)])


def test_a_reaction_has_no_tables_to_rebuild(lab: Lab) -> None:
    """So that nothing is done about the past when read models are."""
    assert intake(Deeds(lab).reaction()).tables == ()
