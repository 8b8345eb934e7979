"""Declared topics, and the partitions of streams."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import murmur2

from libs.messaging.categories import category_of
from libs.messaging.topics import (
    TopicMismatch,
    TopicSpec,
    ensure_topics,
    partition_of,
    read_topics,
    topic_name,
)
from libs.testing.polling import eventually
from tests.libs.messaging.lab import open_admin

JAVA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}
"""Out of the tests of Kafka's own client."""


def spec(partitions: int = 3, days: int = 1) -> TopicSpec:
    return TopicSpec(category="lab.order", partitions=partitions, retention_days=days)


@pytest.mark.parametrize("key", JAVA)
def test_keys_are_hashed_as_java_does(key: str) -> None:
    assert murmur2(key.encode()) & 0xFFFFFFFF == JAVA[key] & 0xFFFFFFFF


@pytest.mark.parametrize("partitions", [1, 3, 12, 100])
@pytest.mark.parametrize("key", JAVA)
def test_a_stream_has_the_partition_that_every_client_chooses(key: str, partitions: int) -> None:
    assert partition_of(key, partitions) == (JAVA[key] & 0x7FFFFFFF) % partitions


def test_a_stream_belongs_to_the_topic_of_its_category() -> None:
    assert topic_name("tillstream", category_of("ingest", "scan-7f-1")) == "tillstream.ingest.scan"


def test_topics_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text(
        "topics:\n  lab.order: {partitions: 3, retention_days: 7, why: orders}\n"
        "  lab.till: {partitions: 1, retention_days: 1}\n"
    )

    assert [(s.category, s.partitions, s.why) for s in read_topics(file)] == [
        ("lab.order", 3, "orders"),
        ("lab.till", 1, ""),
    ]

    file.write_text("topics: {lab.order: {partitions: 3, retention_days: 7, colour: red}}")
    with pytest.raises(TypeError, match="colour"):
        read_topics(file)


async def test_concurrent_calls_create_only_missing_topics(
    kafka_bootstrap: str, prefix: str
) -> None:
    assert await ensure_topics(kafka_bootstrap, prefix, [spec()]) == [f"{prefix}.lab.order"]
    assert await ensure_topics(kafka_bootstrap, prefix, [spec()]) == []
    at_once = (ensure_topics(kafka_bootstrap, f"{prefix}2", [spec()]) for _ in range(3))
    await asyncio.gather(*at_once)


async def test_another_number_of_partitions_is_an_error(kafka_bootstrap: str, prefix: str) -> None:
    await ensure_topics(kafka_bootstrap, prefix, [spec(3)])

    with pytest.raises(TopicMismatch, match="has 3 partitions, declared are 4"):
        await ensure_topics(kafka_bootstrap, prefix, [spec(4)])


async def test_another_retention_is_set(kafka_bootstrap: str, prefix: str) -> None:
    topic = ConfigResource(ConfigResourceType.TOPIC, f"{prefix}.lab.order")
    for days in (1, 2):
        await ensure_topics(kafka_bootstrap, prefix, [spec(days=days)])

    async with open_admin(kafka_bootstrap) as admin:

        async def setting(name: str) -> str:
            (answer,) = await admin.describe_configs([topic])
            return str({config[0]: config[1] for config in answer.resources[0][4]}[name])

        # The broker answers with the old one for a moment.
        await eventually(lambda: setting("retention.ms"), str(2 * 86_400_000))
        assert await setting("max.message.bytes") == "1048576"
