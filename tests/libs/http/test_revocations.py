"""Revoked sessions, heard over a real Kafka that may be away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.kafka import KafkaServer
from libs.clock import utc_now
from libs.http import revocations
from libs.http.revocations import BLIND, MARGIN, REVOKED, Heard, Revocations
from libs.messaging.topics import TopicSpec, ensure_topics
from libs.messaging.wire import encode_headers
from libs.testing.clock import Clock
from libs.testing.waiting import PATIENCE_SECONDS, eventually
from tests.libs.messaging.wires import recorded

LONGEST = timedelta(minutes=15)
SPEC = TopicSpec(category="gateway.session", partitions=2, retention_days=1)
NOWHERE = Heard(bootstrap="127.0.0.1:1", topic="t", event="SessionRevoked", field="session_id")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(revocations, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(revocations, "RETRY_SECONDS", 0.1)


async def heard_at(bootstrap: str) -> Heard:
    """A topic nobody else uses."""
    prefix = f"t{uuid4().hex[:12]}"
    await ensure_topics(bootstrap, prefix, [SPEC])
    topic = f"{prefix}.{SPEC.category}"
    return replace(NOWHERE, bootstrap=bootstrap, topic=topic)


@pytest.fixture
async def heard(kafka_bootstrap: str) -> Heard:
    return await heard_at(kafka_bootstrap)


@asynccontextmanager
async def following(made: Revocations) -> AsyncIterator[Revocations]:
    stop = asyncio.Event()
    task = asyncio.create_task(made.follow(stop))
    try:
        yield made
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


@asynccontextmanager
async def telling(heard: Heard) -> AsyncIterator["Teller"]:
    producer = AIOKafkaProducer(bootstrap_servers=heard.bootstrap)
    await producer.start()
    try:
        yield Teller(producer, heard.topic)
    finally:
        await producer.stop()


@dataclass
class Teller:
    """Says on the topic what the gateway would, and what it would not."""

    producer: AIOKafkaProducer
    topic: str

    async def say(
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
            data=msgspec.json.encode({"session_id": session}) if value is None else value,
        )
        sent = utc_now() - (ago if sent_ago is None else sent_ago)
        headers = encode_headers("gateway", event, 1, 0)
        await self.producer.send_and_wait(
            self.topic,
            event.data,
            key=event.stream.encode(),
            partition=partition,
            timestamp_ms=int(sent.timestamp() * 1000),
            headers=[pair for pair in headers if pair[0] != without],
        )


def gauge(metric: Any) -> float:
    return float(metric._value.get())


async def test_a_revoked_session_is_known_once_kafka_tells_of_it(heard: Heard) -> None:
    async with telling(heard) as teller, following(Revocations(heard, longest=LONGEST)) as known:
        assert await known.known_within(PATIENCE_SECONDS)
        assert not known.is_revoked("s1")

        await teller.say("s1", partition=0)
        await teller.say("s2", partition=1)

        await eventually(lambda: known.is_revoked("s1") and known.is_revoked("s2"))
        assert not known.is_revoked("s3")
        assert known.blind_since is None


async def test_what_was_told_before_the_start_is_known_as_far_as_it_matters(heard: Heard) -> None:
    async with telling(heard) as teller:
        await teller.say("long ago", ago=LONGEST + MARGIN + timedelta(minutes=1))
        # Kafka's time says it is too old to be read, so not even its own time is looked at.
        await teller.say("never read", sent_ago=timedelta(hours=2))
        await teller.say("lately", ago=LONGEST)
        await teller.say("published late", ago=LONGEST * 2, sent_ago=timedelta())
        await teller.say("just now")
    async with following(Revocations(heard, longest=LONGEST)) as known:
        assert await known.known_within(PATIENCE_SECONDS)

        all_of_them = ("long ago", "never read", "lately", "published late", "just now")
        assert [one for one in all_of_them if known.is_revoked(one)] == ["lately", "just now"]


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


async def test_anything_else_on_the_topic_revokes_nothing_and_stops_nothing(heard: Heard) -> None:
    async with telling(heard) as teller:
        for session, changed in [*UNRELATED, ("revoked", {})]:
            await teller.say(session, **changed)
    async with following(Revocations(heard, longest=LONGEST)) as known:
        assert await known.known_within(PATIENCE_SECONDS)

        assert known.is_revoked("revoked")
        await eventually(lambda: gauge(REVOKED), 1)
        assert not known.is_revoked("")


async def test_a_session_is_forgotten_when_no_token_of_it_can_live() -> None:
    clock = Clock()
    known = Revocations(NOWHERE, longest=LONGEST, clock=clock)
    async with following(known):
        known.remember("s1", clock())
        known.remember("s2", clock() - LONGEST - MARGIN)
        await eventually(lambda: gauge(REVOKED), 1)
        assert known.is_revoked("s1")
        assert not known.is_revoked("s2")

        clock.now += LONGEST + timedelta(minutes=1)
        known.remember("s3", clock())
        await eventually(lambda: gauge(REVOKED), 2)
        assert known.is_revoked("s1")

        clock.now += MARGIN - timedelta(seconds=59)
        await eventually(lambda: not known.is_revoked("s1"))
        assert known.is_revoked("s3")


async def test_hearing_of_it_twice_does_not_shorten_what_is_remembered() -> None:
    clock = Clock()
    known = Revocations(NOWHERE, longest=LONGEST, clock=clock)
    known.remember("s1", clock())
    known.remember("s1", clock() - LONGEST)

    clock.now += LONGEST
    async with following(known):
        known.remember("s2", clock())
        await eventually(lambda: gauge(REVOKED), 2)
        assert known.is_revoked("s1")


async def test_without_kafka_it_says_since_when_it_is_blind_and_keeps_what_it_was_told() -> None:
    known = Revocations(NOWHERE, longest=LONGEST)
    async with following(known):
        known.remember("s1", utc_now())

        assert not await known.known_within(0.05)
        assert known.is_revoked("s1")
        assert known.blind_since is not None
        check = await known.check()
        assert check.ok
        assert check.detail.startswith("blind since")
        since = known.blind_since.timestamp()
        await eventually(lambda: gauge(BLIND) == pytest.approx(since))


async def test_a_topic_that_comes_later_is_found(kafka_bootstrap: str) -> None:
    prefix = f"t{uuid4().hex[:12]}"
    heard = replace(NOWHERE, bootstrap=kafka_bootstrap, topic=f"{prefix}.{SPEC.category}")
    async with following(Revocations(heard, longest=LONGEST)) as known:
        assert not await known.known_within(0.3)

        await ensure_topics(kafka_bootstrap, prefix, [SPEC])

        assert await known.known_within(PATIENCE_SECONDS)


async def test_it_survives_kafka_and_hears_what_it_missed(
    own_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "BLIND_AFTER", timedelta(seconds=3))
    monkeypatch.setattr(revocations, "REQUEST_MS", 3000)
    heard = await heard_at(own_kafka.bootstrap)
    async with following(Revocations(heard, longest=LONGEST)) as known:
        async with telling(heard) as teller:
            await teller.say("before")
            await eventually(lambda: known.is_revoked("before"))
            await eventually(lambda: gauge(BLIND), 0)
            await eventually(lambda: known.blind_since, None)
            seeing = utc_now()

        await asyncio.to_thread(own_kafka.stop)
        await eventually(lambda: gauge(BLIND) > 0)
        assert known.is_revoked("before")
        assert known.blind_since is not None
        assert datetime.fromtimestamp(gauge(BLIND), UTC) < utc_now()
        assert known.blind_since >= seeing - timedelta(seconds=3)

        # In this thread: a broker dies with the thread that started it.
        own_kafka.start()
        async with telling(heard) as teller:
            await teller.say("meanwhile")
        await eventually(lambda: known.is_revoked("meanwhile"))
        await eventually(lambda: gauge(BLIND), 0)
        assert known.is_revoked("before")
