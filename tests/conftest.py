"""The real servers tests stand on: started when the first test asks, stopped when the last is done.

They live in a folder of their own with ports of their own, so a running `make up` is not touched.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.kafka import start_kafka
from deploy.local.postgres import start_postgres
from tests.databases import empty

# What a crash of the machine would lose does not matter here; a test of that starts its own server.
IN_A_HURRY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """A folder for the session's servers. Not below pytest's own: that one it closes to others,
    and as root the database runs as somebody else."""
    home = Path(tempfile.mkdtemp(prefix="tillstream-tests-"))
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def postgres_url(servers_home: Path) -> Iterator[str]:
    """A superuser's address of one PostgreSQL for the whole session. Prefer `database`."""
    with start_postgres(servers_home, settings=IN_A_HURRY | {"max_connections": "200"}) as server:
        yield server.url


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """The address of an empty database of one's own, dropped after the test with every
    connection still open to it."""
    with empty(postgres_url) as url:
        yield url


@pytest.fixture
def database(empty_database: str) -> str:
    """The same. Where a service is tested its tables are there already."""
    return empty_database


@pytest.fixture(scope="session")
def kafka_bootstrap(servers_home: Path) -> Iterator[str]:
    """The `host:port` of one Kafka broker for the whole session; name topics of one's own."""
    with start_kafka(servers_home) as server:
        yield server.bootstrap
