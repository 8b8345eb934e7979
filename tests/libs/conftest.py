"""Fixtures for tests of several libraries."""

from collections.abc import Iterator

import pytest

from deploy.local.kafka import KafkaServer, start_kafka


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that a test may suspend or stop, but must start again afterwards.

    Each worker that runs such a test starts a broker of its own.
    """
    with start_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server
