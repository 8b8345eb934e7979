"""What tests of several libraries need."""

from collections.abc import Iterator

import pytest

from deploy.local.kafka import KafkaServer, start_kafka


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker that a test may suspend or stop, as long as it runs again afterwards.

    Tests that use it are marked with `xdist_group("own_kafka")`, so that one broker is enough.
    """
    with start_kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server
