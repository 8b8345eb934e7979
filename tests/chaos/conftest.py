"""Servers for the short matrix: the session's own, because they are killed."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.servers import Servers, open_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Postgres and Kafka that no other test stands on."""
    home = Path(tempfile.mkdtemp(prefix="tillstream-chaos-"))
    with open_servers(home, hurried=True) as opened:
        yield opened
    shutil.rmtree(home)
