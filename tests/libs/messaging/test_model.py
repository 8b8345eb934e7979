"""Whatever is done, in whatever order, system and model agree."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from libs.eventsourcing.log import Log
from libs.eventsourcing.memory import MemoryLog
from libs.eventsourcing.postgres import PostgresLog
from tests.libs.messaging.model import Model
from tests.libs.messaging.setup import EMPTY, open_database


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def pool(database: str, runner: asyncio.Runner) -> Iterator[asyncpg.Pool]:
    """A pool in the loop of the runner."""
    opening = open_database(database)
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


@pytest.mark.parametrize("kind", ["memory", "postgres"])
def test_whatever_is_done_system_and_model_agree(
    pool: asyncpg.Pool, runner: asyncio.Runner, kind: str
) -> None:
    def machine() -> Model:
        runner.run(pool.execute(EMPTY))
        log: Log = MemoryLog() if kind == "memory" else PostgresLog(pool)
        return Model(runner.run, pool, log)  # type: ignore[arg-type]

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
