"""The real servers that tests run against, and the control of the run.

The servers have a folder and ports of their own, so a running `make up` is not touched.
"""

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from deploy.local.kafka import KafkaServer, start_kafka
from deploy.local.postgres import PostgresServer, start_postgres
from libs.http import client
from libs.postgres import guarded_pool, pool
from libs.testing.databases import empty
from libs.testing.shared_servers import Servers, Start, address_of
from tests.order import schedule, scheduler

SERVERS = pytest.StashKey[Servers]()
HOME = pytest.StashKey[Path]()
ENDPOINT = pytest.StashKey[tuple[str, int, str]]()

hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile(
    "searching", max_examples=400, deadline=None, print_blob=True, derandomize=False
)


# The product's limits for connecting are short for a machine busy with tests. A test of such a
# limit sets its own.
guarded_pool.CONNECT_SECONDS = pool.ACQUIRE_SECONDS = client.CONNECT_SECONDS = 30.0


def _postgres(home: Path) -> tuple[PostgresServer, str]:
    # Durability does not matter here; a test of a crash starts a server of its own.
    fast = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    more = {"max_connections": "400", "autovacuum_naptime": "10min"}
    server = start_postgres(home, settings=fast | more)
    return server, server.superuser_url


def _kafka(home: Path) -> tuple[KafkaServer, str]:
    server = start_kafka(home)
    return server, server.bootstrap


def pytest_configure(config: pytest.Config) -> None:
    """The controlling process provides the servers; a worker gets their endpoint."""
    worker_input: Any = getattr(config, "workerinput", None)
    if worker_input is None:
        # Not below pytest's own folder, which only its user can read: as root the database runs as
        # another user.
        home = config.stash[HOME] = Path(tempfile.mkdtemp(prefix="tillstream-tests-"))
        starts: dict[str, Start] = {
            "postgres": partial(_postgres, home),
            "kafka": partial(_kafka, home),
        }
        servers = config.stash[SERVERS] = Servers(starts)
        config.stash[ENDPOINT] = servers.endpoint
    else:
        config.stash[ENDPOINT] = worker_input["servers"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the endpoint to a new worker of xdist."""
    node.workerinput["servers"] = node.config.stash[ENDPOINT]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute the tests over workers, see tests.order."""
    return scheduler(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers at the end of the run."""
    if (servers := config.stash.get(SERVERS, None)) is not None:
        servers.close()
        shutil.rmtree(config.stash[HOME], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, see tests.order."""
    schedule(items)


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """A superuser's address of one PostgreSQL for the whole run. Prefer `database`."""
    return address_of("postgres", pytestconfig.stash[ENDPOINT])


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """The address of an empty database for one test. Its connections are closed afterwards."""
    with empty(postgres_url) as url:
        yield url


@pytest.fixture
def database(empty_database: str) -> str:
    """The address of a database for one test; tests of services override it with a migrated one."""
    return empty_database


@pytest.fixture(scope="session")
def kafka_bootstrap(pytestconfig: pytest.Config) -> str:
    """The `host:port` of one Kafka broker for the whole run; use unique topic names."""
    return address_of("kafka", pytestconfig.stash[ENDPOINT])
