"""The declared topics: read from a file, created by a command, never automatically."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code
from aiokafka.partitioner import murmur2

DECLARED: Final = Path("deploy/kafka/topics.yaml")
MAX_MESSAGE_BYTES: Final = 1_048_576
DAY_MS: Final = 86_400_000
METADATA_SECONDS: Final = 15.0


class TopicMismatch(Exception):
    """A topic has another number of partitions than declared: streams would change partitions.

    Declare the number it has, or make a new topic and publish it again from the log.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicSpec:
    """A declared topic. `category` is `<service>.<kind of stream>`."""

    category: str
    partitions: int
    retention_days: int
    why: str = ""

    @property
    def configs(self) -> dict[str, str]:
        """The topic's settings in Kafka."""
        return {
            "retention.ms": str(self.retention_days * DAY_MS),
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
        }


def topic_name(prefix: str, category: str) -> str:
    """`tillstream.ingest.scan` for the prefix `tillstream` and the category `ingest.scan`."""
    return f"{prefix}.{category}"


# aiokafka's murmur2 is slow, and most streams are used again soon.
@lru_cache(16_384)
def partition_of(stream: str, partitions: int) -> int:
    """The partition of a stream, by Kafka's murmur2, as every client chooses it for this key."""
    number: int = murmur2(stream.encode())
    return (number & 0x7FFFFFFF) % partitions


def read_topics(file: Path = DECLARED) -> list[TopicSpec]:
    """The declared topics. Raises OSError, or TypeError for an unknown field."""
    declared: Mapping[str, Mapping[str, Any]] = yaml.safe_load(file.read_text())["topics"]
    return [TopicSpec(category=category, **fields) for category, fields in declared.items()]


async def ensure_topics(
    bootstrap: str, prefix: str, specs: Sequence[TopicSpec], *, replicas: int = 1
) -> list[str]:
    """Create missing topics and update the settings of all. Returns the names of the new topics.

    The topics can be used at once. Safe to repeat. Raises TopicMismatch, TimeoutError, and
    aiokafka's KafkaError if the broker is away.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        named = {topic_name(prefix, spec.category): spec for spec in specs}
        existing = set(await admin.list_topics())
        missing = {name: spec for name, spec in named.items() if name not in existing}
        await _create(admin, missing, replicas)
        await _compare(admin, named)
        await _configure(admin, {name: named[name] for name in named if name in existing})
        return sorted(missing)
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient, missing: Mapping[str, TopicSpec], replicas: int
) -> None:
    new = [
        NewTopic(name, spec.partitions, replicas, topic_configs=spec.configs)
        for name, spec in missing.items()
    ]
    if not new:
        return
    answer = await admin.create_topics(new)
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"topic {name} was not created")


async def _compare(admin: AIOKafkaAdminClient, named: Mapping[str, TopicSpec]) -> None:
    """Wait until the broker knows all topics, and compare their numbers of partitions."""
    unknown = set(named)
    async with asyncio.timeout(METADATA_SECONDS):
        while unknown:
            for described in await admin.describe_topics(sorted(unknown)):
                name, actual = described["topic"], len(described["partitions"])
                if actual and actual != named[name].partitions:
                    declared = named[name].partitions
                    raise TopicMismatch(f"{name} has {actual} partitions, declared are {declared}")
                if actual:
                    unknown.discard(name)
            await asyncio.sleep(0.05 if unknown else 0)


async def _configure(admin: AIOKafkaAdminClient, named: Mapping[str, TopicSpec]) -> None:
    if not named:
        return
    answers = await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, n, s.configs) for n, s in named.items()]
    )
    for code, message, _, name in (one for answer in answers for one in answer.resources):
        if code:
            raise for_code(code)(f"topic {name} was not configured: {message}")
