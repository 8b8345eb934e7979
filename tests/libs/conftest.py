"""What tests of several libraries need."""

from collections.abc import Iterator

import pytest

from deploy.local.kafka import KafkaServer, start_kafka


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that a test may suspend or stop, as long as it runs again afterwards.

    Each worker that meets such a test starts one of its own.
    """
    with start_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server
