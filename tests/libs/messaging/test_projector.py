"""The projector: everything, once, in order, whatever happens to database, broker and group."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient

from libs.messaging import checkpoints, consumption, subscription
from libs.messaging.projector import Projector
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.testing.waiting import eventually
from tests.libs.messaging.lab import Lab, open_admin, running
from tests.libs.messaging.wires import recorded


async def broken(projector: Projector[Any]) -> str:
    """What the projector says is broken, once it does."""
    return await eventually(lambda: projector.progress.broken) or ""


async def mended(projector: Projector[Any]) -> None:
    await eventually(lambda: projector.progress.broken, None)


async def test_a_projector_started_late_or_again_goes_on_where_it_was(lab: Lab) -> None:
    async with running(lab.relay()):
        for number in range(1, 4):
            await lab.append_numbers(range(30 * (number - 1), 30 * number))
            async with running(lab.projector(max_records=7)):
                await lab.applied(30 * number)


async def test_members_of_a_group_share_the_work_and_hand_it_over(lab: Lab) -> None:
    first, second = lab.projector(max_records=5), lab.projector(max_records=5)

    def lanes() -> list[int]:
        return sorted(len(one.progress.lanes) for one in (first, second))

    async with running(lab.relay()), running(first):
        await lab.append_numbers(range(30))
        async with running(second):
            await lab.append_numbers(range(30, 60))
            await eventually(lanes, [1, 2])
            await lab.append_numbers(range(60, 90))
            await lab.applied(90)
        await lab.append_numbers(range(90, 120))
        await lab.applied(120)
        await eventually(lanes, [0, 3])


async def test_a_lock_in_the_way_is_waited_for_and_the_lag_is_measured(lab: Lab) -> None:
    database = await lab.pool.fetchval("SELECT current_database()")
    await lab.pool.execute(f"ALTER DATABASE {database} SET lock_timeout = '50ms'")
    await lab.pool.expire_connections()
    projector = lab.projector()

    def trouble() -> str:
        return (projector.progress.trouble or "").partition(":")[0]

    async with running(lab.relay(), projector):
        async with lab.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
            await lab.append_numbers(range(6))
            await eventually(trouble, "LockNotAvailableError")
            await eventually(lambda: projector.progress.lag, 6)
        await lab.applied(6)
        await eventually(lambda: projector.progress.lag, 0)
        await eventually(trouble, "")


async def test_a_projection_that_does_not_fit_its_tables_parks_nothing_and_recovers(
    lab: Lab,
) -> None:
    projector = lab.projector()
    await lab.pool.execute("ALTER TABLE ledger RENAME TO elsewhere")
    async with running(lab.relay(), projector):
        await lab.append_numbers(range(6))
        assert "UndefinedTableError" in await broken(projector)
        assert await lab.pool.fetchval("SELECT count(*) FROM parked_streams") == 0
        await lab.pool.execute("ALTER TABLE elsewhere RENAME TO ledger")
        await lab.applied(6)
        await mended(projector)


@pytest.mark.parametrize("request_of", ["Fetch", "Heartbeat"])
async def test_a_consumer_that_died_of_a_lost_connection_is_replaced(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, request_of: str
) -> None:
    """As uvloop has it: whoever writes to a connection just lost gets a RuntimeError."""
    send = AIOKafkaClient.send
    died: list[Any] = []

    async def lost(self: Any, node: int, request: Any, **how: Any) -> Any:
        if type(request).__name__.startswith(f"{request_of}Request") and not died:
            died.append(request)
            raise RuntimeError("unable to perform operation; the handler is closed")
        return await send(self, node, request, **how)

    async with lab.live(10):
        monkeypatch.setattr(AIOKafkaClient, "send", lost)
        await eventually(lambda: died)
        await lab.append_numbers(range(10, 20))
        await lab.applied(20)


async def test_a_broker_that_goes_away_while_the_lag_is_asked_ends_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka says then that we were cancelled, which nobody was."""
    ask, asked = AIOKafkaConsumer.end_offsets, asyncio.Event()

    async def gone(self: Any, partitions: Any) -> Any:
        if asked.is_set():
            return await ask(self, partitions)
        asked.set()
        raise asyncio.CancelledError

    monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", gone)
    async with running(lab.relay(), lab.projector()):
        await asked.wait()
        await lab.append_numbers(range(10))
        await lab.applied(10)


async def test_a_hole_in_the_topic_is_never_skipped_and_said_aloud(lab: Lab) -> None:
    projector = lab.projector()
    publisher = await lab.connect()
    await publisher.publish([recorded(n, version=n) for n in range(1, 4)], 1, {})
    async with running(projector):
        await eventually(lab.rows, {"order-1": [1, 2, 3]})
        (at,) = (
            projector.progress.lanes
            & {(lab.topic, n) for n in range(3)}
            & set(await checkpoints.read(lab.pool, "ledger"))
        )
        await publisher.publish([recorded(5, version=5)], 5, {at: 4})
        await publisher.close()
        why = await broken(projector)

    assert "after number 3 came 5, which follows 4" in why
    assert "rebuild this read model from the log" in why
    assert await lab.rows() == {"order-1": [1, 2, 3]}
    assert (await checkpoints.read(lab.pool, "ledger"))[at].next_offset == 3


async def test_a_consumer_in_the_wrong_place_is_put_right(lab: Lab) -> None:
    async with lab.live(6):
        # As after a roll-back: an older model, an older checkpoint, and nothing new in the topic.
        async with lab.pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE checkpoints SET next_offset = 0, relay_seq = NULL")
            await connection.execute("DELETE FROM ledger")
        await lab.applied(6)
        await lab.append_numbers(range(6, 12))
        await lab.applied(12)


async def test_kafka_is_told_how_far_the_model_is(lab: Lab) -> None:
    async with lab.live(9):
        pass

    async with open_admin(lab.bootstrap) as admin:
        hints = await admin.list_consumer_group_offsets(f"{lab.group}.ledger")
    places = await checkpoints.read(lab.pool, "ledger")
    told = {TopicPartition(*at): place.next_offset for at, place in places.items()}
    assert {tp: hints[tp].offset for tp in told} == told


async def test_a_topic_nobody_made_yet_is_waited_for_but_not_by_who_stops(lab: Lab) -> None:
    await lab.delete_topic()
    async with running(lab.projector()):
        await asyncio.sleep(0.1)
    async with running(lab.projector()):
        await asyncio.sleep(0)
        specs = [TopicSpec(category="lab.order", partitions=3, retention_days=1)]
        await ensure_topics(lab.bootstrap, lab.prefix, specs)
        async with running(lab.relay()):
            await lab.append_numbers(range(3))
            await lab.applied(3)


async def test_stopping_does_not_wait_for_a_database_that_hangs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (consumption, subscription):
        monkeypatch.setattr(module, "STOP_SECONDS", 0.5)
    waiting = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    async with lab.pool.acquire() as connection, running(lab.relay()):
        async with connection.transaction():
            await connection.execute("LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE")
            async with running(lab.projector()):
                await lab.append_numbers(range(3))
                await eventually(lambda: lab.pool.fetchval(waiting), 1)
        assert await lab.rows() == {}
        async with running(lab.projector()):
            await lab.applied(3)
