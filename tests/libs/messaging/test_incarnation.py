"""Every record names its log and incarnation. A restored log and a republished topic begin a new
incarnation, whose numbers start over.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from io import StringIO

import asyncpg
import pytest
from rich.console import Console

from libs.eventsourcing.snapshot import Snapshot
from libs.eventsourcing.tail import Cursor, read_rows
from libs.messaging import republish
from libs.messaging.leadership import take_over
from libs.messaging.loaded_log import adopt_loaded_log
from libs.messaging.relay_batch import BatchTable, read_heads
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.messaging.wire import Record, decode
from libs.messaging.worker import check_relay
from libs.process.relay_commands import _follow, _progress_display
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.messaging.faulty import Fault
from tests.libs.messaging.lab import Lab, Numbered, running

INSERT = """INSERT INTO events
    (event_id, tenant, stream, version, type, schema_version, data, metadata, occurred_at)
VALUES ($1, $2, $3, 1, 'Numbered', 1, '{"n": 1}', '{}', now())"""


LEVEL_AND_BEHIND = """
INSERT INTO projection_checkpoints (name, batch, published, target, after_position, complete)
SELECT 'main', 1, target, target, 0, true FROM relay
UNION ALL SELECT 'behind', 1, '1:1:', target, 7, false FROM relay;
INSERT INTO projections (name, state, version, checkpoint)
VALUES ('level', 'live', 1, 'main'), ('behind', 'live', 1, 'behind')"""

AS_IF_DUMPED = """
ALTER TABLE events DISABLE TRIGGER events_append_only;
UPDATE events SET xid = (xid::text::bigint + 1000000)::text::xid8;
UPDATE relay SET target = (pg_snapshot_xmax(target)::text::bigint + 1000000 || ':'
    || pg_snapshot_xmax(target)::text::bigint + 1000000 || ':')::pg_snapshot;
UPDATE projection_checkpoints SET target = relay.target FROM relay"""
"""The ids of another cluster, which had run for longer."""


def header(record: Record, name: str) -> str:
    return (dict(record.headers)[name] or b"").decode()


def chains_of(records: Sequence[Record]) -> dict[tuple[str, str], list[int]]:
    """The numbers of every incarnation; asserts that each partition has complete chains."""
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    last: dict[tuple[str, str, int], int] = defaultdict(int)
    for record in records:
        labels = header(record, "log_id"), header(record, "incarnation")
        seq, prev = int(header(record, "relay_seq")), int(header(record, "prev_seq"))
        place = (*labels, record.partition)
        if seq > last[place]:
            assert prev == last[place]
            last[place] = seq
        numbers[labels].add(seq)
    return {labels: sorted(them) for labels, them in numbers.items()}


async def labels_of(lab: Lab) -> tuple[str, str]:
    """The log's id and incarnation in the relay's table."""
    row = await lab.pool.fetchrow("SELECT log_id::text, incarnation::text FROM relay")
    assert row is not None
    return row["log_id"], row["incarnation"]


async def test_every_record_names_its_log_and_incarnation(lab: Lab) -> None:
    await lab.append_numbers(range(30))

    records = await lab.relayed(30)

    assert chains_of(records) == {await labels_of(lab): list(range(1, 31))}


async def test_a_log_on_another_timeline_begins_a_new_incarnation(lab: Lab) -> None:
    await lab.append_numbers(range(30))
    await lab.relayed(30)
    before = await labels_of(lab)
    await lab.pool.execute("UPDATE relay SET database = database || '0'")

    await lab.append_numbers(range(30, 50))
    async with running(lab.relay()):
        await eventually(lab.published, 20)

    after = await labels_of(lab)
    assert (after[0], after[1] != before[1]) == (before[0], True)
    assert chains_of(await lab.records()) == {
        before: list(range(1, 31)),
        after: list(range(1, 21)),
    }


async def test_a_batch_saved_before_the_restore_is_the_first_of_the_new_incarnation(
    lab: Lab,
) -> None:
    await lab.append_numbers(range(50))
    async with lab.pool.acquire() as connection:
        leadership, batch = await take_over(connection)
        for limit in (20, 30):
            batch = batch.next(await read_rows(connection, batch.cursor, limit=limit))
            table = BatchTable(connection, leadership.epoch)
            await table.save(batch, {(lab.topic, 0): 20})
        await connection.execute("UPDATE relay SET database = 'another'")

        _, again = await take_over(connection)
        assert (again.first_seq, again.next_seq, again.confirmed) == (1, 31, False)
        assert await read_heads(connection) == {}

    async with running(lab.relay()):
        await eventually(lab.published, 30)
    assert chains_of(await lab.records()) == {await labels_of(lab): list(range(1, 31))}


async def test_a_topic_is_sent_again_before_the_relay_continues(lab: Lab) -> None:
    await lab.append_numbers(range(120))
    await with_till(lab, 10)
    relays = [lab.relay(), lab.relay()]
    async with running(*relays):
        await eventually(lab.published, 130)
        log_id, first = await labels_of(lab)
        await republish.request(lab.pool, lab.topic)
        await lab.append_numbers(range(120, 150))
        await eventually(lambda: republish.progress(lab.pool, lab.topic), None)
        second = await incarnation_of(lab, lab.topic)
        sent = await lab.published()
        await lab.append_numbers(range(150, 160))
        await eventually(lambda: behind(lab), 0)

    chains = chains_of(await lab.records())
    assert set(chains) == {(log_id, first), (log_id, second)}
    assert len(chains[log_id, second]) >= 130
    # Old events are sent again; new events are sent once, in either incarnation.
    events = [decode(record).recorded.event_id for record in await lab.records()]
    assert len(set(events)) == 160
    assert sent >= 130


async def test_a_topic_half_sent_again_is_finished_by_the_next_relay(lab: Lab) -> None:
    await lab.append_numbers(range(200))
    await lab.relayed(200)
    log_id, first = await labels_of(lab)
    await republish.request(lab.pool, lab.topic)
    fault = Fault(lab.connect, "before confirming", nth=2, hangs=True)
    relay = lab.relay(fault.connect)
    crashing = asyncio.create_task(relay.run(asyncio.Event()))
    await asyncio.wait_for(fault.reached.wait(), PATIENCE_SECONDS)
    assert f"sends again {lab.topic}, 50 of 200 events" in ((await check_relay(relay)).detail or "")
    crashing.cancel()
    await asyncio.wait([crashing])
    assert await republish.progress(lab.pool, lab.topic) == (50, 200)

    await lab.append_numbers(range(200, 210))
    async with running(lab.relay()):
        await eventually(lambda: behind(lab), 0)

    second = await incarnation_of(lab, lab.topic)
    chains = chains_of(await lab.records())
    assert chains[log_id, first] == list(range(1, 201))
    assert chains[log_id, second] == list(range(1, 211))
    # The records sent again are not mixed with those of another incarnation.
    for partition in range(3):
        labels = [
            header(record, "incarnation")
            for record in await lab.records()
            if record.partition == partition
        ]
        assert labels == sorted(labels, key=lambda one: one == second)


async def test_the_command_shows_the_progress_until_a_topic_is_sent_again(lab: Lab) -> None:
    await lab.append_numbers(range(200))
    await lab.relayed(200)
    calls: list[tuple[str, int, int | None]] = []
    printed = StringIO()
    await republish.request(lab.pool, lab.topic)

    with _progress_display([lab.topic], Console(file=printed)) as print_line:

        def show(topic: str, sent: int, total: int | None) -> None:
            calls.append((topic, sent, total))
            print_line(topic, sent, total)

        task = asyncio.create_task(_follow(lab.pool, [lab.topic], show))
        await eventually(lambda: calls)
        async with running(lab.relay()):
            await asyncio.wait_for(task, PATIENCE_SECONDS)

    assert (calls[0], calls[-1][1]) == ((lab.topic, 0, None), calls[-1][2])
    assert printed.getvalue().splitlines() == [
        f"{lab.topic}: waits for its turn",
        f"{lab.topic}: sent again",
    ]


async def test_a_log_loaded_from_a_dump_is_sent_again_and_appended_to(lab: Lab) -> None:
    await lab.append_numbers(range(40))
    await lab.relayed(40)
    before = await labels_of(lab)
    await lab.pool.execute(LEVEL_AND_BEHIND)
    await lab.pool.execute(AS_IF_DUMPED)

    assert await adopt_loaded_log(lab.pool) == ["behind"]
    versions = await lab.pool.fetch("SELECT name, version, checkpoint FROM projections ORDER BY 1")
    assert [tuple(row) for row in versions] == [
        ("behind", 0, "detached/behind"),
        ("level", 1, "main"),
    ]
    await lab.append_numbers(range(40, 50))
    async with running(lab.relay()):
        await eventually(lab.published, 50)

    assert chains_of(await lab.records()) == {
        before: list(range(1, 41)),
        await labels_of(lab): list(range(1, 51)),
    }
    query = "SELECT target::text FROM projection_checkpoints WHERE name = 'main'"
    main = await lab.pool.fetchrow(query)
    assert main is not None
    cursor = Cursor(target=Snapshot.parse(main["target"]))
    logged = [event async for page in lab.store.log.read_all() for event in page]
    assert [cursor.includes(e.xid, e.position) for e in logged] == [True] * 40 + [False] * 10
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await lab.pool.execute("DELETE FROM events")


async def with_till(lab: Lab, count: int) -> None:
    """A second topic of the same log, with some events."""
    specs = [TopicSpec(category="lab.till", partitions=1, retention_days=1)]
    await ensure_topics(lab.bootstrap, lab.prefix, specs)
    for number in range(count):
        await lab.append(f"till-{number}", Numbered(number))


async def incarnation_of(lab: Lab, topic: str) -> str:
    query = "SELECT incarnation::text FROM relay_topics WHERE topic = $1"
    found = await lab.pool.fetchval(query, topic)
    assert isinstance(found, str)
    return found


async def behind(lab: Lab) -> int:
    """The number of events that the relay has not sent, by its snapshot."""
    return int(
        await lab.pool.fetchval(
            "SELECT count(*) FROM events, relay WHERE NOT (relay.complete AND relay.confirmed"
            " AND pg_visible_in_snapshot(xid, relay.target))"
        )
    )
