"""Reading topics of other services: unreadable records are parked, missing ones stop their
partition, and a person resolves both."""

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
from tests.libs.messaging.lab import WRITER_CODEC, Lab, order, running
from tests.libs.messaging.reaction_harness import ReactionHarness, handle_due, open_harness
from tests.libs.messaging.wires import LABELS, record, recorded

RESTORED = LABELS | {"incarnation": b"second"}


@pytest.fixture
async def harness(lab: Lab) -> ReactionHarness:
    """A new harness, its inbox, and a topic for its facts."""
    specs = [TopicSpec(category="lab.deed", partitions=1, retention_days=1)]
    await ensure_topics(lab.bootstrap, lab.prefix, specs)
    return await open_harness(lab)


def sent(
    number: int, prev: int, *, at: int = 0, by: Mapping[str, bytes] = LABELS, **given: Any
) -> Record:
    """The event with this number as a relay sends it."""
    event = recorded(number, given.pop("stream", order(number)), **given)
    return record(event, 0, number, prev, partition=at, but=by)


async def parked_events(harness: ReactionHarness) -> list[tuple[str, str]]:
    """The streams of parked messages with their errors."""
    rows = await harness.lab.pool.fetch(
        "SELECT stream, error FROM inbox WHERE parked_at IS NOT NULL ORDER BY sequence"
    )
    return [(row["stream"], row["error"]) for row in rows]


async def stopped_at(harness: ReactionHarness) -> dict[tuple[str, int], Gap]:
    async with harness.lab.pool.acquire() as connection:
        return await positions.stopped(connection, "deeds")


async def skip_gaps(harness: ReactionHarness, reason: str = "checked by hand") -> None:
    for at in await stopped_at(harness):
        async with harness.lab.pool.acquire() as connection, connection.transaction():
            assert await positions.skip(
                connection, "deeds", at, reason=reason, accepted_by="anna@office"
            )


@asynccontextmanager
async def stopped(harness: ReactionHarness, words: str) -> Any:
    """A reactor that is stopped by a gap and reports it."""
    reactor = harness.reactor()
    async with running(reactor):

        async def is_known() -> bool:
            result = await reactor.check()
            known = not result.ok and result.critical and words in result.detail
            return known and bool(await stopped_at(harness))

        await eventually(is_known, what=words)
        assert "skip-gap deeds" in (await reactor.check()).detail
        yield reactor


async def is_ready(reactor: Reactor[Any]) -> bool:
    return (await reactor.check()).ok


async def test_a_gap_stops_one_partition_until_a_person_skips_it(harness: ReactionHarness) -> None:
    """It is reported, also after a restart, and other partitions go on. The skip is recorded."""
    topic = harness.lab.topic
    await harness.send(sent(1, 0), sent(2, 0, at=1), sent(5, 3), sent(6, 2, at=1))
    words = "after number 1 came 5 at offset 1, which follows 3"
    async with stopped(harness, words):
        await harness.all_done([1, 2, 6])
        await harness.send(sent(7, 6, at=1))
        await harness.all_done([1, 2, 6, 7])
    async with stopped(harness, words) as reactor:
        await skip_gaps(harness, "number 3 was a test")
        await harness.all_done([1, 2, 5, 6, 7])
        await eventually(lambda: is_ready(reactor))
        await harness.send(sent(8, 5))
        await harness.all_done([1, 2, 5, 6, 7, 8])
    assert await stopped_at(harness) == {}
    [audit] = await positions.list_gaps(harness.lab.pool)
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
    harness: ReactionHarness,
) -> None:
    await harness.send(*[sent(n, n - 1) for n in range(1, 6)])
    async with running(harness.reactor()):
        await harness.all_done([1, 2, 3, 4, 5])
    # As if there had been records at these offsets, which the broker has lost.
    query = "UPDATE subscription_positions SET next_offset = 7 WHERE partition = 0"
    assert await harness.lab.pool.execute(query) == "UPDATE 1"
    await harness.send(*[sent(n, n - 1) for n in range(6, 10)])

    async with running(harness.reactor()):
        await harness.all_done([*range(1, 10)])
    assert await stopped_at(harness) == {}


async def test_another_incarnation_of_a_log_stops_its_reader(harness: ReactionHarness) -> None:
    """Its numbers were used before. Once it is accepted, it sends everything again, and no event is
    handled twice, not even one that the inbox has deleted."""
    await harness.send(sent(1, 0), sent(2, 1), sent(51, 0, at=1))
    async with running(harness.reactor()):
        await harness.all_done([1, 2, 51])
    query = "UPDATE inbox SET done_at = now() - interval '200 days' WHERE stream = $1"
    await harness.lab.pool.execute(query, order(1))
    async with harness.lab.pool.acquire() as connection:
        await inbox.forget(connection, positions.RETENTION)
    again = [sent(number, number - 1, by=RESTORED) for number in (1, 2)]
    await harness.send(*again)
    async with stopped(harness, "incarnation second of log lab-1") as reactor:
        await skip_gaps(harness)
        await eventually(lambda: is_ready(reactor))
        await harness.send(recent(3, 2), sent(52, 51, at=1), recent(53, 0, at=1))
        await harness.all_done([1, 2, 3, 51, 52, 53])
        assert await is_ready(reactor)
    assert sorted(harness.tried) == [1, 2, 3, 51, 52, 53]
    [audit] = await positions.list_gaps(harness.lab.pool)
    assert (audit["kind"], audit["from_seq"], audit["to_seq"]) == ("incarnation", 2, 1)
    async with running(harness.reactor()):
        # The retired incarnation continues: two relays write.
        await harness.send(sent(3, 2))

        async def incarnations() -> set[str]:
            return {gap.link.incarnation for gap in (await stopped_at(harness)).values()}

        await eventually(incarnations, {"first"})


def recent(number: int, prev: int, *, at: int = 0) -> Record:
    """An event recorded just now, as the restored log sends it."""
    now = {"ce_recordedtime": datetime.now(UTC).isoformat().encode()}
    return sent(number, prev, at=at, by=RESTORED | now)


async def test_workers_that_start_and_stop_store_and_handle_every_event_once(
    harness: ReactionHarness,
) -> None:
    """Partitions move between workers, and connections are terminated."""
    lab, total = harness.lab, 120
    await lab.pool.execute("CREATE TABLE seen (n integer NOT NULL)")

    async def see(connection: Any, envelope: Any) -> None:
        await connection.execute("INSERT INTO seen VALUES ($1)", envelope.event.n)

    def reactor() -> Reactor[Any]:
        return harness.reactor(react=None, react_in_transaction=see)

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
    assert await stopped_at(harness) == {}


async def test_facts_arrive_when_kafka_is_back(
    breakable_lab: Lab, own_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile own facts are handled, and the reaction reports the outage."""
    monkeypatch.setattr(Trouble.lasting, "__defaults__", (0.0,))
    harness = await open_harness(breakable_lab)
    await harness.send(sent(1, 0))
    reactor = harness.reactor()
    async with running(reactor):
        await harness.all_done([1])
        await asyncio.to_thread(own_kafka.stop)
        await harness.arrive(5)
        await harness.all_done([1, 5])
        late = CheckResult(ok=False, detail="Kafka does not answer", critical=False)
        await eventually(reactor.check, late)
        # In this thread: a broker dies with the thread that started it.
        own_kafka.start()
        await harness.send(sent(2, 1))
        await harness.all_done([1, 2, 5])
        await eventually(partial(is_ready, reactor))


async def test_another_log_in_a_topic_is_another_writer(harness: ReactionHarness) -> None:
    other = LABELS | {"log_id": b"lab-2"}
    first = [sent(1, 0), sent(2, 1), sent(3, 2)]
    second = [
        record(recorded(n + 100, order(n)), 0, n, n - 1, partition=0, but=other) for n in (1, 2)
    ]
    reactor = harness.reactor()
    await harness.send(first[0], second[0], first[1], second[1], first[2])
    async with running(reactor):
        await harness.all_done([1, 2, 3, 101, 102])
        assert await is_ready(reactor)


async def test_an_unreadable_record_is_parked_and_the_chain_continues(
    harness: ReactionHarness,
) -> None:
    """Later events of its stream wait for it, others go on. Once it can be read, they follow. A
    record that is no event is dropped."""
    lab = harness.lab
    await harness.send(
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

    async with running(harness.reactor(schedule_of=each_by_itself)):
        await harness.all_done([3, 6, 8])
    assert [stream for stream, _ in await parked_events(harness)] == [
        *("order-a", "order-c", "order-d"),
        "order-1",
    ]
    known = harness.reactor(codec=WRITER_CODEC, schedule_of=each_by_itself)
    first = recorded(1).event_id
    async with lab.pool.acquire() as connection:
        assert await inbox.retry(connection, "deeds", "demo", first)
    await handle_due(harness.reactor())
    assert len(await parked_events(harness)) == 4
    async with lab.pool.acquire() as connection:
        assert await inbox.retry(connection, "deeds", "demo", first)
    await handle_due(known)
    assert harness.tried[-2:] == [1, 2]
    [last] = [row for row in await harness.waiting() if row["subject"].endswith(" 6")]
    async with lab.pool.acquire() as connection:
        assert await inbox.drop(connection, "deeds", last["tenant"], last["event_id"])
    assert [stream for stream, _ in await parked_events(harness)] == ["order-c", "order-d"]


async def test_an_event_that_cannot_be_stored_is_parked_and_blocks_no_others(
    harness: ReactionHarness,
) -> None:
    """The same holds for an event on which the reaction itself fails."""

    def schedule_of(event: Any) -> Any:
        if event.n == 2:
            raise ValueError("no schedule for this one")
        return Schedule("key\0" if event.n == 3 else "key", NOON)

    feed = InboxFeed(harness.lab.pool, harness.reaction(schedule_of=schedule_of))
    records = [
        record(recorded(n, order(n)), n - 1, n, n - 1, topic=harness.lab.topic) for n in range(1, 5)
    ]
    for repeated in (0, 4):
        stored = await feed.store(records)
        assert (stored.messages, stored.repeated) == (4 - repeated, repeated)
    reasons = dict(await parked_events(harness))
    assert reasons[order(2)] == "ValueError: no schedule for this one"
    assert "CharacterNotInRepertoire" in reasons[order(3)]
    await handle_due(harness.reactor())
    assert harness.tried == [1, 4]


async def test_a_reaction_with_too_many_unreadable_records_stops(
    harness: ReactionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.messaging.inbox_feed.MAX_UNREADABLE", 2)
    feed = InboxFeed(harness.lab.pool, harness.reaction())
    records = [record(recorded(n, data=b"{"), n - 1, n, n - 1) for n in range(1, 4)]
    with pytest.raises(TooManyUnreadable):
        await feed.store(records)
    assert await harness.lab.pool.fetchval("SELECT count(*) FROM subscription_positions") == 0


async def test_two_feeds_that_store_the_same_batch_store_it_once(harness: ReactionHarness) -> None:
    """The position is compared and set in the transaction of the messages."""
    feed, pool = InboxFeed(harness.lab.pool, harness.reaction()), harness.lab.pool
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
    """Collects the reports of a consumer."""

    reports: list[str]

    def failed(self, error: KafkaError | None) -> None:
        self.reports.append(type(error).__name__)


async def test_a_failed_poll_is_retried_and_reported(harness: ReactionHarness) -> None:
    """FastStream would sleep for five seconds and report nothing."""
    answers: list[Any] = [NotLeaderForPartitionError(), NotLeaderForPartitionError(), {"a": [1]}]

    class Consumer:
        async def getmany(self, **_: Any) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    config = ConsumerConfig(bootstrap=harness.lab.bootstrap, prefix="t", group="t")
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
    harness: ReactionHarness,
) -> None:
    config = ConsumerConfig(bootstrap=harness.lab.bootstrap, prefix="nowhere", group="nowhere")
    subscription = ForeignSubscription(harness.lab.pool, harness.reaction(), config)
    async with running(subscription):
        lasting = subscription.state.trouble.lasting
        await eventually(lambda: "nowhere.lab.order" in (lasting(0.0) or ""))
    assert not subscription.state.joined
