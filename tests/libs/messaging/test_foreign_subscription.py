"""Reading other services' topics: what cannot be read is parked, what is missing stops its
partition alone, and a person moves both on."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from aiokafka.errors import KafkaError, NotLeaderForPartitionError

from deploy.local.kafka import KafkaServer
from libs.http.health import CheckResult
from libs.messaging import inbox, positions
from libs.messaging.batch_consumer import BatchConsumer, ConsumerConfig
from libs.messaging.dedup import Gap, Position
from libs.messaging.foreign_subscription import ForeignSubscription
from libs.messaging.inbox_feed import InboxFeed, TooManyUnreadable
from libs.messaging.reaction import Schedule
from libs.messaging.reactor import Reactor
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.messaging.trouble import Trouble
from libs.messaging.wire import Record
from libs.testing.clock import NOON
from libs.testing.polling import eventually
from tests.libs.messaging.deeds import Deeds, open_deeds, work_off
from tests.libs.messaging.lab import WRITER_CODEC, Lab, order, running
from tests.libs.messaging.wires import record, recorded

LABELS = {"log_id": b"lab-1", "incarnation": b"first"}
RESTORED = LABELS | {"incarnation": b"second"}


@pytest.fixture
async def deeds(lab: Lab) -> Deeds:
    """A reaction that has done nothing yet, its inbox, and a topic for what it does."""
    specs = [TopicSpec(category="lab.deed", partitions=1, retention_days=1)]
    await ensure_topics(lab.bootstrap, lab.prefix, specs)
    return await open_deeds(lab)


def sent(
    number: int, prev: int, *, at: int = 0, by: Mapping[str, bytes] | None = LABELS, **given: Any
) -> Record:
    """The event with that number, as a relay sends it."""
    event = recorded(number, given.pop("stream", order(number)), **given)
    return record(event, 0, number, prev, partition=at, but=by)


async def parked_events(deeds: Deeds) -> list[tuple[str, str]]:
    """The streams of parked messages, and why."""
    rows = await deeds.lab.pool.fetch(
        "SELECT stream, error FROM inbox WHERE parked_at IS NOT NULL ORDER BY sequence"
    )
    return [(row["stream"], row["error"]) for row in rows]


async def stopped_at(deeds: Deeds) -> dict[tuple[str, int], Gap]:
    async with deeds.lab.pool.acquire() as connection:
        return await positions.stopped(connection, "deeds")


async def skip_gaps(deeds: Deeds, reason: str = "checked by hand") -> None:
    for at in await stopped_at(deeds):
        async with deeds.lab.pool.acquire() as connection, connection.transaction():
            assert await positions.skip(
                connection, "deeds", at, reason=reason, accepted_by="anna@office"
            )


@asynccontextmanager
async def stopped(deeds: Deeds, words: str) -> Any:
    """A reactor that runs into a gap, and says so."""
    reactor = deeds.reactor()
    async with running(reactor):

        async def is_known() -> bool:
            result = await reactor.check()
            known = not result.ok and result.critical and words in result.detail
            return known and bool(await stopped_at(deeds))

        await eventually(is_known, what=words)
        assert "skip-gap deeds" in (await reactor.check()).detail
        yield reactor


async def is_ready(reactor: Reactor[Any]) -> bool:
    return (await reactor.check()).ok


async def test_a_gap_stops_one_partition_until_a_person_skips_it(deeds: Deeds) -> None:
    """Loudly, also after a restart; all others go on. Who skipped it, and what, is recorded."""
    topic = deeds.lab.topic
    await deeds.send(sent(1, 0), sent(2, 0, at=1), sent(5, 3), sent(6, 2, at=1))
    words = "after number 1 came 5 at offset 1, which follows 3"
    async with stopped(deeds, words):
        await deeds.all_done([1, 2, 6])
        await deeds.send(sent(7, 6, at=1))
        await deeds.all_done([1, 2, 6, 7])
    async with stopped(deeds, words) as reactor:
        await skip_gaps(deeds, "number 3 was a test")
        await deeds.all_done([1, 2, 5, 6, 7])
        await eventually(lambda: is_ready(reactor))
        await deeds.send(sent(8, 5))
        await deeds.all_done([1, 2, 5, 6, 7, 8])
    assert await stopped_at(deeds) == {}
    [audit] = await positions.list_gaps(deeds.lab.pool)
    expected = {
        "reaction": "deeds",
        "topic": topic,
        "partition": 0,
        "kind": "missing",
        "from_seq": 2,
        "to_seq": 3,
        "from_offset": 1,
        "to_offset": 1,
        "reason": "number 3 was a test",
        "accepted_by": "anna@office",
    }
    assert expected.items() <= dict(audit).items()


async def test_a_topic_that_lost_records_already_read_continues_at_lower_offsets(
    deeds: Deeds,
) -> None:
    await deeds.send(*[sent(n, n - 1) for n in range(1, 6)])
    async with running(deeds.reactor()):
        await deeds.all_done([1, 2, 3, 4, 5])
    # As if there had been records at these offsets, which the broker has lost.
    query = "UPDATE subscription_positions SET next_offset = 7 WHERE partition = 0"
    assert await deeds.lab.pool.execute(query) == "UPDATE 1"
    await deeds.send(*[sent(n, n - 1) for n in range(6, 10)])

    async with running(deeds.reactor()):
        await deeds.all_done([*range(1, 10)])
    assert await stopped_at(deeds) == {}


async def test_another_incarnation_of_a_log_stops_its_reader(deeds: Deeds) -> None:
    """Its numbers were used before. Once accepted, in all partitions, it sends all again, and
    nothing is done twice; nor is an event that the inbox has forgotten."""
    await deeds.send(sent(1, 0), sent(2, 1), sent(51, 0, at=1))
    async with running(deeds.reactor()):
        await deeds.all_done([1, 2, 51])
    query = "UPDATE inbox SET done_at = now() - interval '200 days' WHERE stream = $1"
    await deeds.lab.pool.execute(query, order(1))
    async with deeds.lab.pool.acquire() as connection:
        await inbox.forget(connection, positions.RETENTION)
    again = [sent(number, number - 1, by=RESTORED) for number in (1, 2)]
    await deeds.send(*again)
    async with stopped(deeds, "incarnation second of log lab-1") as reactor:
        await skip_gaps(deeds)
        await eventually(lambda: is_ready(reactor))
        await deeds.send(recent(3, 2), sent(52, 51, at=1), recent(53, 0, at=1))
        await deeds.all_done([1, 2, 3, 51, 52, 53])
        assert await is_ready(reactor)
    assert sorted(deeds.tried) == [1, 2, 3, 51, 52, 53]
    [audit] = await positions.list_gaps(deeds.lab.pool)
    assert (audit["kind"], audit["from_seq"], audit["to_seq"]) == ("incarnation", 2, 1)
    async with running(deeds.reactor()):
        # The one that was given up goes on all the same: two write.
        await deeds.send(sent(3, 2))

        async def incarnations() -> set[str]:
            return {gap.link.incarnation for gap in (await stopped_at(deeds)).values()}

        await eventually(incarnations, {"first"})


def recent(number: int, prev: int, *, at: int = 0) -> Record:
    """An event that was recorded just now, as the restored log sends it."""
    now = {"ce_recordedtime": datetime.now(UTC).isoformat().encode()}
    return sent(number, prev, at=at, by=RESTORED | now)


async def test_workers_that_start_and_stop_store_and_handle_every_event_once(deeds: Deeds) -> None:
    """While their partitions are handed from one to the other, some are cut off in the middle."""
    lab, total = deeds.lab, 120
    await lab.pool.execute("CREATE TABLE seen (n integer NOT NULL)")

    async def see(connection: Any, envelope: Any) -> None:
        await connection.execute("INSERT INTO seen VALUES ($1)", envelope.event.n)

    def reactor() -> Reactor[Any]:
        return deeds.reactor(react=None, react_in_transaction=see)

    async def come_and_go(times: int) -> None:
        for _ in range(times):
            async with running(one := reactor()):
                assert one.subscription is not None
                state = one.subscription.state
                await eventually(partial(getattr, state, "joined"))

    async def rows() -> list[int]:
        return [row["n"] for row in await lab.pool.fetch("SELECT n FROM seen ORDER BY n")]

    async with running(lab.relay(), reactor()):
        comers = [asyncio.create_task(come_and_go(3)) for _ in range(2)]
        for start in range(0, total, 20):
            await lab.append_numbers(range(start, start + 20))
            await lab.terminate_backends()
        await asyncio.gather(*comers)
        await eventually(rows, [*range(total)])
    assert await stopped_at(deeds) == {}


async def test_facts_arrive_when_kafka_is_back(
    breakable_lab: Lab, own_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile own facts are worked off, and the reaction says what is late."""
    monkeypatch.setattr(Trouble.lasting, "__defaults__", (0.0,))
    deeds = await open_deeds(breakable_lab)
    await deeds.send(sent(1, 0))
    reactor = deeds.reactor()
    async with running(reactor):
        await deeds.all_done([1])
        await asyncio.to_thread(own_kafka.stop)
        await deeds.arrive(5)
        await deeds.all_done([1, 5])
        late = CheckResult(ok=False, detail="Kafka does not answer", critical=False)
        await eventually(reactor.check, late)
        await asyncio.to_thread(own_kafka.start)
        await deeds.send(sent(2, 1))
        await deeds.all_done([1, 2, 5])
        await eventually(partial(is_ready, reactor))


async def test_another_log_in_a_topic_is_another_writer(deeds: Deeds) -> None:
    other = LABELS | {"log_id": b"lab-2"}
    first = [sent(1, 0), sent(2, 1), sent(3, 2)]
    second = [
        record(recorded(n + 100, order(n)), 0, n, n - 1, partition=0, but=other) for n in (1, 2)
    ]
    reactor = deeds.reactor()
    await deeds.send(first[0], second[0], first[1], second[1], first[2])
    async with running(reactor):
        await deeds.all_done([1, 2, 3, 101, 102])
        assert await is_ready(reactor)


async def test_a_relay_that_starts_to_label_its_records_continues_its_chain(deeds: Deeds) -> None:
    await deeds.send(sent(1, 0, by=None), sent(2, 1, by=None))
    async with running(deeds.reactor()):
        await deeds.all_done([1, 2])
    await deeds.send(sent(2, 1), sent(3, 2), sent(4, 3))
    async with running(deeds.reactor()):
        await deeds.all_done([1, 2, 3, 4])
    async with deeds.lab.pool.acquire() as connection:
        known = await positions.read(connection, "deeds")
    chains = known[deeds.lab.topic, 0].chains
    assert [(one.log_id, one.relay_seq, one.unlabelled) for one in chains] == [("lab-1", 4, True)]


async def test_an_unreadable_record_is_parked_and_the_chain_continues(deeds: Deeds) -> None:
    """Later ones of its stream wait behind it, all others go on; once it can be read, they follow
    it. What is no event at all is given up."""
    lab = deeds.lab
    await deeds.send(
        sent(1, 0, stream="order-a", type="Foreign"),
        sent(2, 1, stream="order-a"),
        sent(3, 2, stream="order-b"),
        sent(4, 3, stream="order-c", tenant="t" * 201),
        sent(5, 4, stream="order-d", data=b"{"),
        sent(6, 5, stream="order-b"),
        record(recorded(7), 0, 7, 7, partition=0, without=["relay_seq"]),
        sent(8, 6, stream="order-e"),
    )

    def each_by_itself(event: Any) -> Schedule:
        return Schedule(f"number {event.n}", NOON)

    async with running(deeds.reactor(schedule_of=each_by_itself)):
        await deeds.all_done([3, 6, 8])
    assert [stream for stream, _ in await parked_events(deeds)] == [
        *("order-a", "order-c", "order-d"),
        "order-1",
    ]
    known = deeds.reactor(codec=WRITER_CODEC, schedule_of=each_by_itself)
    first = recorded(1).event_id
    async with lab.pool.acquire() as connection:
        assert await inbox.retry(connection, "deeds", "demo", first)
    await work_off(deeds.reactor())
    assert len(await parked_events(deeds)) == 4
    async with lab.pool.acquire() as connection:
        assert await inbox.retry(connection, "deeds", "demo", first)
    await work_off(known)
    assert deeds.tried[-2:] == [1, 2]
    [last] = [row for row in await deeds.waiting() if row["subject"].endswith(" 6")]
    async with lab.pool.acquire() as connection:
        assert await inbox.drop(connection, "deeds", last["tenant"], last["event_id"])
    assert [stream for stream, _ in await parked_events(deeds)] == ["order-c", "order-d"]


async def test_an_event_that_cannot_be_stored_is_parked_and_blocks_no_others(deeds: Deeds) -> None:
    """Neither is an event that makes the reaction itself fail."""

    def schedule_of(event: Any) -> Any:
        if event.n == 2:
            raise ValueError("no schedule for this one")
        return Schedule("key\0" if event.n == 3 else "key", NOON)

    feed = InboxFeed(deeds.lab.pool, deeds.reaction(schedule_of=schedule_of))
    records = [
        record(recorded(n, order(n)), n - 1, n, n - 1, topic=deeds.lab.topic) for n in range(1, 5)
    ]
    for repeated in (0, 4):
        stored = await feed.store(records)
        assert (stored.messages, stored.repeated) == (4 - repeated, repeated)
    reasons = dict(await parked_events(deeds))
    assert reasons[order(2)] == "ValueError: no schedule for this one"
    assert "CharacterNotInRepertoire" in reasons[order(3)]
    await work_off(deeds.reactor())
    assert deeds.tried == [1, 4]


async def test_a_reaction_with_too_many_unreadable_records_stops(
    deeds: Deeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.messaging.inbox_feed.MAX_UNREADABLE", 2)
    feed = InboxFeed(deeds.lab.pool, deeds.reaction())
    records = [record(recorded(n, data=b"{"), n - 1, n, n - 1) for n in range(1, 4)]
    with pytest.raises(TooManyUnreadable):
        await feed.store(records)
    assert await deeds.lab.pool.fetchval("SELECT count(*) FROM subscription_positions") == 0


async def test_two_feeds_that_store_the_same_batch_store_it_once(deeds: Deeds) -> None:
    """The position is compared and set, and stands in the transaction of the messages."""
    feed, pool = InboxFeed(deeds.lab.pool, deeds.reaction()), deeds.lab.pool
    records = [record(recorded(n, order(n)), n - 1, n, n - 1) for n in range(1, 9)]
    results = await asyncio.gather(*(feed.store(records) for _ in range(4)))
    assert sorted(one.messages for one in results) == [0, 0, 0, 8]
    async with pool.acquire() as connection:
        old = await positions.read(connection, "deeds")
        at = (records[0].topic, 0)
        stale = {at: Position(3)}
        with pytest.raises(positions.PositionConflict):
            await positions.save(connection, "deeds", stale, old)


@dataclass
class _User:
    """What a consumer reports."""

    reports: list[str]

    def failed(self, error: KafkaError | None) -> None:
        self.reports.append(type(error).__name__)


async def test_a_failed_poll_is_retried_and_reported(deeds: Deeds) -> None:
    """FastStream would sleep for five seconds, and report nothing."""
    answers: list[Any] = [NotLeaderForPartitionError(), NotLeaderForPartitionError(), {"a": [1]}]

    class Consumer:
        async def getmany(self, **_: Any) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    config = ConsumerConfig(bootstrap=deeds.lab.bootstrap, prefix="t", group="t")
    user, consumer = _User([]), Consumer()
    made: Any = BatchConsumer(config, "x", ["t"], _Handlers(user))
    made._poll_patiently(consumer)
    assert await consumer.getmany(timeout_ms=10, max_records=1) == {"a": [1]}
    failed = "NotLeaderForPartitionError"
    assert user.reports == [failed, failed, "NoneType"]


class _Handlers:
    def __init__(self, user: _User) -> None:
        self.failed = user.failed

    async def handle(self, records: Sequence[Any]) -> None: ...
    async def assigned(self, partitions: set[Any]) -> None: ...
    async def revoked(self, partitions: set[Any]) -> None: ...


async def test_a_subscription_without_its_topic_is_not_ready_and_gives_the_reason(
    deeds: Deeds,
) -> None:
    config = ConsumerConfig(bootstrap=deeds.lab.bootstrap, prefix="nowhere", group="nowhere")
    subscription = ForeignSubscription(deeds.lab.pool, deeds.reaction(), config)
    async with running(subscription):
        lasting = subscription.state.trouble.lasting
        await eventually(lambda: "nowhere.lab.order" in (lasting(0.0) or ""))
    assert not subscription.state.joined
