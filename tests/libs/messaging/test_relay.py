"""The relay publishes the whole log in order, through every kind of failure.

The publisher sends a page completely, or is discarded without leaks.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import pytest

from libs.eventsourcing.log import ANY
from libs.eventsourcing.store import Fact
from libs.eventsourcing.tail import read_rows
from libs.messaging.leadership import take_over
from libs.messaging.publisher import SpentPublisher
from libs.messaging.relay import Relay
from libs.messaging.relay_batch import BatchTable, Deposed, read_heads
from libs.messaging.topics import TopicSpec, ensure_topics, partition_of
from libs.messaging.wire import decode
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.messaging.chain import faults_of
from tests.libs.messaging.faulty import POINTS, Fault, hanging_broker
from tests.libs.messaging.lab import METADATA, Lab, Numbered, order, publish, running
from tests.libs.messaging.wires import NOW, recorded


async def append_many(lab: Lab, count: int, *, first: int = 0, streams: int = 7) -> None:
    appends = [lab.append(order(n % streams), Numbered(n)) for n in range(first, first + count)]
    await asyncio.gather(*appends)


async def failed(relay: Relay, error: str) -> None:
    await eventually(lambda: error in (relay.progress.last_error or ""), what=error)


async def test_every_event_is_sent_once_numbered_and_chained_in_log_order(lab: Lab) -> None:
    await append_many(lab, 120)
    async with running(lab.relay()):
        await append_many(lab, 80, first=120)
        await eventually(lab.published, 200)

    records = await lab.sent(200)
    sent = [decode(record).recorded for record in records]
    for record, event in zip(records, sent, strict=True):
        assert record.key == event.stream.encode()
        assert record.partition == partition_of(event.stream, 3)
    assert len({record.partition for record in records}) == 3
    logged = [event async for page in lab.store.log.read_all() for event in page]
    assert sorted(sent, key=lambda event: event.position) == logged


async def test_appends_to_several_streams_are_published_and_applied_like_others(lab: Lab) -> None:
    """Pages are small, so that many end within an append."""
    streams = [order(n) for n in range(5)]

    async def append(n: int) -> None:
        events = {stream: [Numbered(n), Numbered(n)] for stream in streams[n % 3 :]}
        await lab.store.append_streams(
            events, expected=dict.fromkeys(events, ANY), metadata=METADATA
        )

    await asyncio.gather(*map(append, range(30)))
    async with running(lab.relay(page=7), lab.runner()):
        await asyncio.gather(*map(append, range(30, 60)))
        await eventually(lab.published, 480)
        await eventually(_counts(lab), {40: 1, 80: 1, 120: 3})

    logged = [event async for page in lab.store.log.read_all() for event in page]
    sent = [decode(record).recorded for record in await lab.sent(480)]
    assert sorted(sent, key=lambda event: event.position) == logged
    transactions = defaultdict[bytes, set[int]](set)
    for event in logged:
        transactions[event.data].add(event.xid)
    assert [len(xids) for xids in transactions.values()] == [1] * 60
    for stream, (_, versions) in (await lab.table()).items():
        assert versions == [*range(1, len(versions) + 1)], stream


def _counts(lab: Lab) -> Callable[[], Awaitable[Counter[int]]]:
    """How many streams have so many events in the read model."""

    async def counts() -> Counter[int]:
        return Counter([len(seen) for seen in (await lab.rows()).values()])

    return counts


async def test_a_backlog_of_thousands_is_paged_through(lab: Lab) -> None:
    await append_many(lab, 3000, streams=100)
    await lab.relayed(3000)

    assert await lab.pool.fetchval("SELECT batch FROM relay") == 60


@pytest.mark.parametrize("count", [49, 50, 51, 100])
async def test_an_idle_relay_has_confirmed_everything(lab: Lab, count: int) -> None:
    token = ""
    for appended in range(2):
        await append_many(lab, count - 1, first=appended * count)
        token = await lab.append(order(1), Numbered(-1))
        await lab.relayed(count * (appended + 1))

    query = "SELECT complete AND confirmed AND pg_visible_in_snapshot($1::text::xid8, target)"
    assert await lab.pool.fetchval(f"{query} FROM relay", token.partition(".")[0])


@pytest.mark.parametrize("point", POINTS)
async def test_after_a_failure_a_new_producer_sends_the_same_page(lab: Lab, point: str) -> None:
    fault = Fault(lab.connect, point, hangs=False)
    await append_many(lab, 180)
    async with running(lab.relay(fault.connect)):
        await eventually(lab.published, 180)

    records = await lab.sent(180)
    assert fault.connected == 2
    repeated = {"before sending": range(1), "before confirming": range(50, 51)}
    assert len(records) - 180 in repeated.get(point, range(1, 50))


@pytest.mark.parametrize("point", POINTS)
async def test_after_a_crash_another_relay_sends_the_same_page(lab: Lab, point: str) -> None:
    fault = Fault(lab.connect, point, hangs=True)
    await append_many(lab, 180)
    crashing = asyncio.create_task(lab.relay(fault.connect).run(asyncio.Event()))
    await asyncio.wait_for(fault.reached.wait(), PATIENCE_SECONDS)
    crashing.cancel()
    await asyncio.wait([crashing])
    await append_many(lab, 20, first=180)

    await lab.relayed(200)


async def test_only_one_relay_leads_and_the_other_takes_over(lab: Lab) -> None:
    relays = [lab.relay(), lab.relay()]

    def leading() -> list[bool]:
        return sorted(relay.progress.leading for relay in relays)

    async with running(*relays):
        for round_ in range(3):
            await eventually(leading, [False, True])
            await append_many(lab, 60, first=60 * round_)
            await lab.terminate_backends()
            await append_many(lab, 40, first=1000 + 40 * round_)
            await eventually(lab.published, 100 * (round_ + 1))
        await eventually(leading, [False, True])

    await lab.sent(300)


async def test_a_deposed_relay_can_write_nothing_and_a_batch_is_confirmed_once(lab: Lab) -> None:
    await append_many(lab, 10)
    async with lab.pool.acquire() as connection:
        old, batch = await take_over(connection)
        page = await read_rows(connection, batch.cursor, limit=5)
        batch = batch.next(page)
        new, _ = await take_over(connection)
        with pytest.raises(Deposed):
            await BatchTable(connection, old.epoch).save(batch, {})
        with pytest.raises(Deposed):
            await old.check()

        await BatchTable(connection, new.epoch).save(batch, {})
        with pytest.raises(Deposed):
            await BatchTable(connection, new.epoch).save(batch, {})
        newest, saved = await take_over(connection)
        assert saved == batch
        with pytest.raises(Deposed):
            await BatchTable(connection, new.epoch).confirm(batch, {("t", 0): 5})
        assert await read_heads(connection) == {}

        await BatchTable(connection, newest.epoch).confirm(batch, {("t", 0): 5})
        with pytest.raises(Deposed):
            await BatchTable(connection, newest.epoch).confirm(batch, {})
        assert await read_heads(connection) == {("t", 0): 5}


async def test_the_next_batch_confirms_the_one_before_it_with_its_numbers(lab: Lab) -> None:
    await append_many(lab, 10)
    async with lab.pool.acquire() as connection:
        leadership, batch = await take_over(connection)
        table = BatchTable(connection, leadership.epoch)
        first = batch.next(await read_rows(connection, batch.cursor, limit=5))
        await table.save(first, {})
        second = first.next(await read_rows(connection, first.cursor, limit=5))
        await table.save(second, {("t", 0): 5})

        _, saved = await take_over(connection)
        assert (saved, saved.confirmed) == (second, False)
        assert await read_heads(connection) == {("t", 0): 5}


async def test_a_stream_without_a_topic_blocks_the_relay_and_is_reported(lab: Lab) -> None:
    relay = lab.relay()
    await lab.append("till-1", Numbered(1))
    await lab.append(order(1), Numbered(2))

    async with running(relay):
        await failed(relay, "UnknownTopic")
        await failed(relay, "lab.till")
        assert await lab.records() == []
        specs = [TopicSpec(category="lab.till", partitions=1, retention_days=1)]
        await ensure_topics(lab.bootstrap, lab.prefix, specs)
        await eventually(lab.published, 2)

    (record,) = await lab.records()
    assert (decode(record).relay_seq, decode(record).prev_seq) == (2, 0)
    assert relay.progress.last_error is None


async def test_a_relay_survives_a_broker_that_hangs(breakable_lab: Lab) -> None:
    lab = breakable_lab
    relay = lab.relay(partial(lab.connect, deadline_seconds=0.5))
    async with running(relay):
        await append_many(lab, 60)
        await eventually(lab.published, 60)
        with hanging_broker(lab.bootstrap):
            await append_many(lab, 60, first=60)
            await failed(relay, "SpentPublisher")
        await eventually(lab.published, 120)

    await lab.sent(120)


async def test_a_log_that_was_tampered_with_is_not_sent(lab: Lab) -> None:
    fault = Fault(lab.connect, "before sending", nth=1, hangs=False)
    relay = lab.relay(fault.connect)
    await append_many(lab, 10)
    await lab.pool.execute("ALTER TABLE events DISABLE TRIGGER events_append_only")

    async with running(relay):
        await asyncio.wait_for(fault.reached.wait(), PATIENCE_SECONDS)
        await lab.pool.execute("DELETE FROM events WHERE position = 5")
        await failed(relay, "LogChanged")

    assert await lab.records() == []


async def test_facts_are_sent_too_and_have_no_version(lab: Lab) -> None:
    facts = [
        Fact(event_id=UUID(int=n), stream="order-1", event=Numbered(n), occurred_at=NOW)
        for n in range(1, 4)
    ]
    await lab.store.record(facts, metadata=METADATA)

    sent = [decode(record).recorded for record in await lab.relayed(3)]
    assert [(event.event_id.int, event.version) for event in sent] == [(n, None) for n in (1, 2, 3)]


async def test_a_page_bigger_than_a_batch_keeps_its_order(lab: Lab) -> None:
    text = b'{"n": "' + b"x" * 200_000 + b'"}'
    events = [recorded(n, version=n, data=text) for n in range(1, 11)]
    publisher = await lab.connect()

    heads = await publish(publisher, events, 1, {})
    await publisher.close()

    records = await lab.records()
    assert [decode(record).relay_seq for record in records] == list(range(1, 11))
    assert faults_of(records) == []
    assert [*heads.values()] == [10]


async def test_the_biggest_event_the_log_takes_can_be_sent(lab: Lab) -> None:
    text = b'"' + b"x" * 499_998 + b'"'
    publisher = await lab.connect()

    await publish(publisher, [recorded(1, data=text), recorded(2, version=2, data=text)], 1, {})
    await publisher.close()

    assert [record.value for record in await lab.records()] == [text, text]


async def test_heads_of_partitions_without_new_records_stay(lab: Lab) -> None:
    publisher = await lab.connect()
    (place,) = await publish(publisher, [recorded(1, order(1))], 8, {})

    again = await publish(publisher, [recorded(2, order(1), version=2)], 9, {place: 8, ("x", 1): 3})
    await publisher.close()

    assert again == {place: 9}
    assert [decode(record).prev_seq for record in await lab.records()] == [0, 8]


async def test_a_publisher_leaves_a_broker_that_hangs_without_leaks(breakable_lab: Lab) -> None:
    lab, before = breakable_lab, asyncio.all_tasks()
    publisher = await lab.connect()
    await publish(publisher, [recorded(1)], 1, {})
    publisher._deadline = 0.3  # its partitions are known, so only the sending is late

    with hanging_broker(lab.bootstrap):
        with pytest.raises(SpentPublisher, match="not confirmed"):
            await publish(publisher, [recorded(n, order(n)) for n in range(2, 50)], 2, {})
        await asyncio.wait_for(publisher.close(), PATIENCE_SECONDS)

    assert asyncio.all_tasks() <= before
