"""The feed of revocations from Kafka into a service's table, and outages of Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.kafka import KafkaServer
from libs.clock import utc_now
from libs.http import revoked_sessions
from libs.http.revocations import MARGIN
from libs.messaging import reader, revocation_feed
from libs.messaging.revocation_feed import RevocationFeed, RevocationTopic
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.postgres.doorbell import REVOKED, Doorbell
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.messaging.wires import encode_headers, recorded
from tests.libs.revoked import open_revoked_sessions, own_doorbell

LONGEST = timedelta(minutes=15)
SPEC = TopicSpec(category="gateway.session", partitions=2, retention_days=1)
NOWHERE = RevocationTopic(
    bootstrap="127.0.0.1:1", topic="t", event="SessionRevoked", field="session_id"
)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation_feed, "LEVEL_SECONDS", 0.1)
    monkeypatch.setattr(revocation_feed, "RETRY_SECONDS", 0.1)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    async with open_revoked_sessions(database) as made:
        yield made


@pytest.fixture
def doorbell() -> Doorbell:
    return own_doorbell()


async def topic_at(bootstrap: str) -> RevocationTopic:
    """A unique topic."""
    prefix = f"t{uuid4().hex[:12]}"
    await ensure_topics(bootstrap, prefix, [SPEC])
    return replace(NOWHERE, bootstrap=bootstrap, topic=f"{prefix}.{SPEC.category}")


@pytest.fixture
async def topic(kafka_bootstrap: str) -> RevocationTopic:
    return await topic_at(kafka_bootstrap)


@dataclass
class Table:
    """The table that the feed writes."""

    pool: Any

    async def has(self, *sessions: str) -> bool:
        return set(sessions) <= (await revoked_sessions.load(self.pool)).sessions.keys()

    async def is_level(self, within: timedelta = timedelta(seconds=60)) -> bool:
        return (await revoked_sessions.load(self.pool)).age < within


@pytest.fixture
def table(pool: Any) -> Table:
    return Table(pool)


@pytest.fixture
def feed(table: Table, doorbell: Doorbell) -> Any:
    """A running feed."""

    @asynccontextmanager
    async def feeding(topic: RevocationTopic) -> AsyncIterator[None]:
        made = RevocationFeed(topic, table.pool, doorbell, longest=LONGEST)
        task = asyncio.create_task(made.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE_SECONDS)

    return feeding


@asynccontextmanager
async def publishing(topic: RevocationTopic) -> AsyncIterator["Gateway"]:
    producer = AIOKafkaProducer(bootstrap_servers=topic.bootstrap)
    await producer.start()
    try:
        yield Gateway(producer, topic.topic)
    finally:
        await producer.stop()


@dataclass
class Gateway:
    """Publishes records of the gateway, and malformed ones."""

    producer: AIOKafkaProducer
    topic: str

    async def revoke(
        self,
        session: object,
        *,
        type: str = "SessionRevoked",
        ago: timedelta = timedelta(),
        sent_ago: timedelta | None = None,
        value: bytes | None = None,
        without: str = "",
        partition: int = 0,
    ) -> None:
        event = msgspec.structs.replace(
            recorded(1, f"session-{session}", type=type),
            recorded_at=utc_now() - ago,
            data=msgspec.json.encode({"session_id": session}),
        )
        sent = utc_now() - (ago if sent_ago is None else sent_ago)
        headers = encode_headers("gateway", event, 1, 0)
        await self.producer.send_and_wait(
            self.topic,
            event.data if value is None else value,
            key=event.stream.encode(),
            partition=partition,
            timestamp_ms=int(sent.timestamp() * 1000),
            headers=[pair for pair in headers if pair[0] != without],
        )


async def test_a_revoked_session_is_stored_and_the_doorbell_rings_once(
    topic: RevocationTopic, table: Table, feed: Any, doorbell: Doorbell
) -> None:
    rung = doorbell.subscribe(REVOKED)
    async with publishing(topic) as gateway, feed(topic):
        # Who has just started waits for this before it serves.
        assert await rung.wait(PATIENCE_SECONDS)
        assert await table.is_level()
        assert not await rung.wait(0)

        await gateway.revoke("s1", partition=0)
        await gateway.revoke("s2", partition=1)

        await eventually(lambda: table.has("s1", "s2"))
        assert await rung.wait(PATIENCE_SECONDS)
        assert not await table.has("s3")
    # Another process, or the same after a restart, reads it again, to no effect.
    while await rung.wait(0.2):
        pass
    before = await revoked_sessions.load(table.pool)
    async with feed(topic):
        assert await rung.wait(PATIENCE_SECONDS)
        await asyncio.sleep(0.5)
    assert await revoked_sessions.load(table.pool, before.seen) != before
    assert not await rung.wait(0)


async def test_revocations_before_the_start_are_read_while_tokens_may_be_valid(
    topic: RevocationTopic, table: Table, feed: Any
) -> None:
    async with publishing(topic) as gateway:
        await gateway.revoke("long ago", ago=LONGEST + MARGIN + timedelta(minutes=1))
        # Kafka's time says it is too old to be read, so not even its own time is considered.
        await gateway.revoke("never read", sent_ago=timedelta(hours=2))
        await gateway.revoke("lately", ago=LONGEST)
        await gateway.revoke("published late", ago=LONGEST * 2, sent_ago=timedelta())
        await gateway.revoke("just now")
    async with feed(topic):
        await eventually(table.is_level)

    assert (await revoked_sessions.load(table.pool)).sessions.keys() == {"lately", "just now"}


UNRELATED: list[tuple[object, dict[str, Any]]] = [
    ("opened", {"type": "SessionOpened"}),
    ("like", {"type": "NotSessionRevoked"}),
    ("unheaded", {"without": "ce_id"}),
    ("untyped", {"without": "ce_type"}),
    ("garbled", {"value": b'{"session_id": "gar\xff'}),
    ("listed", {"value": b'["session_id"]'}),
    ("absent", {"value": b"{}"}),
    (7, {}),
    ("", {}),
]


async def test_other_records_on_the_topic_revoke_nothing_and_stop_nothing(
    topic: RevocationTopic, table: Table, feed: Any
) -> None:
    async with publishing(topic) as gateway:
        for session, changed in [*UNRELATED, ("revoked", {})]:
            await gateway.revoke(session, **changed)
    async with feed(topic):
        await eventually(table.is_level)

    assert (await revoked_sessions.load(table.pool)).sessions.keys() == {"revoked"}


async def test_a_topic_that_is_created_later_is_read(
    kafka_bootstrap: str, table: Table, feed: Any
) -> None:
    prefix = f"t{uuid4().hex[:12]}"
    topic = replace(NOWHERE, bootstrap=kafka_bootstrap, topic=f"{prefix}.{SPEC.category}")
    async with feed(topic):
        await asyncio.sleep(0.3)
        assert not await table.is_level()

        await ensure_topics(kafka_bootstrap, prefix, [SPEC])

        await eventually(table.is_level)


async def test_it_survives_outages_and_reads_the_missed_records(
    own_kafka: KafkaServer, table: Table, feed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "REQUEST_MS", 3000)
    topic = await topic_at(own_kafka.bootstrap)
    level = "SELECT level_at FROM revocations_level"
    async with feed(topic):
        async with publishing(topic) as gateway:
            await gateway.revoke("before")
            await eventually(lambda: table.has("before"))
            await eventually(table.is_level)

            await table.pool.execute("ALTER TABLE revoked_session RENAME TO away")
            await gateway.revoke("to nowhere")
            await asyncio.sleep(0.3)
            await table.pool.execute("ALTER TABLE away RENAME TO revoked_session")
            await eventually(lambda: table.has("to nowhere"))

        await asyncio.to_thread(own_kafka.stop)
        await asyncio.sleep(0.5)
        stopped = await table.pool.fetchval(level)
        await asyncio.sleep(0.5)
        # It does not say that it is level while it cannot know.
        assert await table.pool.fetchval(level) == stopped
        assert await table.has("before")

        # In this thread: a broker dies with the thread that started it.
        own_kafka.start()
        async with publishing(topic) as gateway:
            await gateway.revoke("meanwhile")
        await eventually(lambda: table.has("meanwhile"))

        async def is_level_again() -> bool:
            return bool(await table.pool.fetchval(level) > stopped)

        await eventually(is_level_again)


@pytest.mark.parametrize("error", [OSError, ValueError], ids=["away", "another error"])
async def test_a_cancellation_that_met_an_error_ends_the_feed(
    doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    reading = asyncio.Event()

    async def read(_: RevocationFeed) -> None:
        again = reading.is_set()
        reading.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if again:
                raise
            # As a transaction does whose connection is lost.
            raise error from None

    monkeypatch.setattr(RevocationFeed, "_read", read)
    feed = RevocationFeed(NOWHERE, pool=None, doorbell=doorbell, longest=LONGEST)  # type: ignore[arg-type]
    running = asyncio.create_task(feed.run())
    await reading.wait()

    running.cancel()

    await asyncio.wait([running], timeout=PATIENCE_SECONDS)
    assert running.cancelled()
