"""Kafka is ready when it tells who it is, and keeps what it has acknowledged through a crash."""

import hashlib
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.files import write_whole
from deploy.local.jars import LOCK, mismatches, read_lock
from deploy.local.kafka import is_answering, start_kafka


async def make_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait(topic, value)


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest"
    ) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value or b"" for _ in range(count)]


async def test_the_broker_of_the_tests_takes_a_record(kafka_bootstrap: str) -> None:
    topic = f"test-{uuid.uuid4().hex}"
    await make_topic(kafka_bootstrap, topic)

    await produce(kafka_bootstrap, topic, b"scan")

    assert await consume(kafka_bootstrap, topic, 1) == [b"scan"]


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_after_a_kill(home: Path) -> None:
    with start_kafka(home) as server:
        await make_topic(server.bootstrap, "scans")
        await produce(server.bootstrap, "scans", b"before")

        server.kill()
        assert not is_answering(server.bootstrap)
        server.start()
        await produce(server.bootstrap, "scans", b"after")

        assert await consume(server.bootstrap, "scans", 2) == [b"before", b"after"]
    assert "shut down" in (home / "logs" / "kafka.log").read_text()


def test_a_jar_that_is_missing_added_or_changed_is_noticed(tmp_path: Path) -> None:
    same, changed, added = (tmp_path / name for name in ("same.jar", "changed.jar", "added.jar"))
    for jar in (same, changed, added):
        write_whole(jar, jar.name)
    digest = "0967115f2813a3541eaef77de9d9d5773f1c0c04314b0bbfe4ff3b3b1c55b5d5"
    locked = {"missing.jar": digest, "changed.jar": digest}
    locked["same.jar"] = hashlib.sha256(b"same.jar").hexdigest()

    wrong = mismatches({jar.name: jar for jar in (same, changed, added)}, locked)

    assert wrong == ["added.jar", "changed.jar", "missing.jar"]


def test_the_lock_names_coordinates_and_hashes_and_no_address() -> None:
    locked = read_lock(LOCK)

    assert "kafka_2.13-4.3.1.jar" in locked
    assert all(len(digest) == 64 for digest in locked.values())
    assert "://" not in LOCK.read_text()
