"""Folders, programs and a whole installation for tests of the local runner."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.child import Program
from deploy.local.ports import free_port
from deploy.local.services import Service
from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack
from libs.testing.polling import PATIENCE_SECONDS


@contextmanager
def lent_folder() -> Iterator[Path]:
    """A data folder that the user lent to PostgreSQL can reach, too."""
    path = Path(tempfile.mkdtemp(prefix="tillstream-tests-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home() -> Iterator[Path]:
    with lent_folder() as path:
        yield path


@pytest.fixture
def python(home: Path) -> Callable[..., Program]:
    """Make a program out of Python source; ready at once unless `ready` says otherwise."""

    def make(
        source: str, *, name: str = "child", ready: Callable[[], bool | None] = lambda: True
    ) -> Program:
        return Program(
            name=name,
            command=(sys.executable, "-c", source),
            log_file=home / "logs" / f"{name}.log",
            ready=lambda: ready() is True,
            pulse=ready,
            is_service=True,
            grace_seconds=PATIENCE_SECONDS,
        )

    return make


@pytest.fixture
def fakes() -> tuple[Service, ...]:
    """Services with nothing inside, in the places of real ones."""
    names = ("ingest", "gateway")
    return tuple(Service(name=name, module=f"tests.deploy.fakes.{name}") for name in names)


@pytest.fixture
def said() -> list[str]:
    """What the stack has told the person so far."""
    return []


@pytest.fixture
def settings(home: Path, postgres_url: str, kafka_bootstrap: str) -> LocalSettings:
    """A folder of its own on the tests' real servers."""
    return LocalSettings(
        home=home,
        gateway_port=free_port(),
        database_url=postgres_url,
        kafka_bootstrap=kafka_bootstrap,
    )


@pytest.fixture
def stack(settings: LocalSettings, said: list[str], fakes: tuple[Service, ...]) -> Iterator[Stack]:
    with Stack(settings, tell=said.append, services=fakes, first=()) as stack:
        stack.up()
        yield stack
