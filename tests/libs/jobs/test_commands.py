"""The worker of a service runs its queues and timers; its commands show and change parked jobs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from libs.clock import utc_now
from libs.jobs.queue import Backoff
from libs.jobs.timers import TABLE, Timer, Timers
from libs.jobs.worker import Worker
from libs.process.commands import command_line
from libs.process.context import Context
from libs.process.service import Service, open_tasks
from libs.testing.polling import eventually
from libs.testing.pools import system_pool
from tests.libs.jobs.bakery import LOAVES
from tests.libs.process.toy.settings import Settings

REMINDERS: Final = Timers("reminder")
SERVICE: Final = Service(
    name="bakery",
    settings=Settings,
    package="tests.libs.jobs.bakery",
    job_tables=(LOAVES, TABLE),
)


@pytest.fixture
def variables(database: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the bakery."""
    environment = {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP_SERVERS": "nowhere:1",
        "TILLSTREAM_PROFILE": "demo",
        "BAKERY_JWKS_URL": "http://127.0.0.1:1/jwks.json",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


async def test_a_worker_process_fires_the_timers_of_its_service(
    variables: dict[str, str], database: str
) -> None:
    fired: list[str] = []

    async def remind(timer: Timer) -> None:
        fired.append(timer.key)

    def reminders(context: Context[Any, Any]) -> Worker[Timer]:
        return REMINDERS.worker(context, remind)

    service = replace(SERVICE, jobs=(reminders, lambda _: None))
    async with system_pool(database, "bakery") as pool:
        await REMINDERS.put(pool, "demo", "rose", utc_now())
    async with open_tasks(service, Settings.from_env("BAKERY", variables)) as tasks:
        stop = asyncio.Event()
        running = [asyncio.ensure_future(task(stop)) for task in tasks]
        await eventually(lambda: fired)
        stop.set()
        await asyncio.gather(*running)

    assert fired == ["rose"]


def test_parked_jobs_are_listed_retried_and_dropped(
    variables: dict[str, str], database: str
) -> None:
    assert "nothing is parked" in run("list")[1]
    asyncio.run(park(database, ["rose", "tulip"]))

    status, output = run("list")
    assert status == 0
    for cell in ("timer", "demo reminder rose", "demo reminder tulip", "1", "ValueError: no"):
        assert cell in output

    assert run("retry", "timer", "demo", "reminder", "rose") == (0, "will be tried again\n")
    assert run("drop", "timer", "demo", "reminder", "tulip") == (0, "given up\n")
    assert run("drop", "timer", "demo", "reminder", "rose") == (1, "this job is not parked\n")
    assert "nothing is parked" in run("list")[1]
    assert asyncio.run(due(database)) == ["rose"]


@pytest.mark.parametrize("arguments", [["oven", "demo", "1"], ["timer", "demo"]])
def test_a_job_that_cannot_be_named_so_is_refused(
    variables: dict[str, str], arguments: Sequence[str]
) -> None:
    assert run("retry", *arguments)[0] == 2


def test_a_service_without_queues_has_no_such_commands(variables: dict[str, str]) -> None:
    app = command_line(replace(SERVICE, job_tables=()))
    assert CliRunner().invoke(app, ["jobs", "list"]).exit_code == 2


def run(*arguments: str) -> tuple[int, str]:
    """The exit status and the output of `jobs …`."""
    result = CliRunner().invoke(command_line(SERVICE), ["jobs", *arguments])
    return result.exit_code, result.output


async def park(database: str, keys: Sequence[str]) -> None:
    async with system_pool(database, "bakery") as pool:
        queue, now = REMINDERS.queue(pool), utc_now()
        for key in keys:
            await REMINDERS.put(pool, "demo", key, now)
        for timer in await queue.claim("anna", now, limit=10):
            await queue.fail("anna", timer, "ValueError: no", Backoff(attempts=1), now)


async def due(database: str) -> list[str]:
    async with system_pool(database, "bakery") as pool:
        timers = await REMINDERS.queue(pool).claim("anna", utc_now(), limit=10)
        return [timer.key for timer in timers]
