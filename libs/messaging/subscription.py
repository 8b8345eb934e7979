"""Subscribing to topics without trusting the subscription.

FastStream consumes; position, retries, parking and commits are ours, because the read model's own
transaction is the only truth about how far it is. Kafka's committed offset is a hint for people.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Protocol

from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from libs.messaging.publisher import Lane
from libs.messaging.topics import MAX_MESSAGE_BYTES

REVOKE_SECONDS: Final = 20.0
"""How long a rebalance waits for a batch under way."""
STOP_SECONDS: Final = 10.0
METADATA_MS: Final = 30_000
POLL_MS: Final = 250
"""How long one question for records lasts at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a projector reads from. `group` stands before the projection's name."""

    bootstrap: str
    prefix: str
    group: str
    max_records: int = 2000
    batch_timeout_ms: int = 10
    fetch_max_wait_ms: int = 50
    session_timeout_ms: int = 6000


class Lanes(Protocol):
    """Who is told which lanes come and go."""

    async def revoked(self, lanes: set[Lane]) -> None: ...
    async def assigned(self, lanes: set[Lane]) -> None: ...


def subscribe(
    source: Source,
    projection: str,
    topics: Sequence[str],
    *,
    handle: Callable[[tuple[ConsumerRecord, ...]], Awaitable[None]],
    lanes: Lanes,
) -> tuple[KafkaBroker, Any]:
    """A broker, not started, and its one subscriber, whose `consumer` is there once it is."""
    broker = KafkaBroker(
        source.bootstrap,
        client_id=f"{source.group}.{projection}",
        apply_types=False,
        consumer_only=True,
        allow_auto_create_topics=False,
        graceful_timeout=STOP_SECONDS / 2,
        metadata_max_age_ms=METADATA_MS,
        logger=logging.getLogger("faststream"),
        log_level=logging.DEBUG,
    )
    subscriber = broker.subscriber(
        *topics,
        batch=True,
        group_id=f"{source.group}.{projection}",
        ack_policy=AckPolicy.MANUAL,
        # Safe, unlike "latest": whatever comes is compared with the checkpoint first.
        auto_offset_reset="earliest",
        max_records=source.max_records,
        batch_timeout_ms=source.batch_timeout_ms,
        fetch_max_wait_ms=source.fetch_max_wait_ms,
        max_partition_fetch_bytes=4 * MAX_MESSAGE_BYTES,
        session_timeout_ms=source.session_timeout_ms,
        heartbeat_interval_ms=source.session_timeout_ms // 4,
        rebalance_timeout_ms=int(REVOKE_SECONDS * 1500),
        parser=_parse,
        decoder=_decode,
        listener=_Listener(lanes),
    )
    subscriber(handle)
    return broker, subscriber


def make_patient(consumer: Any) -> None:
    """Let no poll of an aiokafka consumer end before there are records.

    FastStream sleeps after every poll that brought nothing, and what comes meanwhile waits for it.
    """
    poll = consumer.getmany

    async def until_some(*lanes: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        while True:
            began = monotonic()
            found = await poll(*lanes, timeout_ms=POLL_MS, max_records=max_records)
            # Nothing, and at once: then sleeping is better than asking on and on.
            if found or (monotonic() - began) * 1000 < min(timeout_ms, POLL_MS):
                return found

    consumer.getmany = until_some


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands aiokafka's rebalances on, in our own terms."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._lanes.revoked({(tp.topic, tp.partition) for tp in revoked})

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._lanes.assigned({(tp.topic, tp.partition) for tp in assigned})


async def _parse(records: tuple[ConsumerRecord, ...]) -> KafkaMessage:
    """The records as they are: FastStream's own parser fails on a foreign record's headers."""
    return KafkaMessage(body=b"", raw_message=records, consumer=FAKE_CONSUMER)


async def _decode(message: KafkaMessage) -> Any:
    return message.raw_message
