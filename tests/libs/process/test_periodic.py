"""Periodic jobs survive a failure and are not cut short by a stop."""

import asyncio
from typing import Final

from libs.errors import Unavailable
from libs.postgres.doorbell import Doorbell
from libs.process.periodic import Periodic, task_of
from libs.testing.polling import PATIENCE_SECONDS

DOORBELL: Final = Doorbell("postgresql://nowhere", "bakery")


async def test_a_periodic_job_runs_again_after_a_failure_until_it_is_stopped() -> None:
    stop, runs = asyncio.Event(), 0
    errors = {1: Unavailable(), 2: ValueError("mine")}

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs in errors:
            raise errors[runs]
        if runs == 4:
            stop.set()

    await asyncio.wait_for(task_of(Periodic("fail", job, 0.001), DOORBELL)(stop), PATIENCE_SECONDS)

    assert runs == 4


async def test_a_run_in_progress_is_finished_before_the_stop() -> None:
    stop, finished = asyncio.Event(), False

    async def job() -> None:
        nonlocal finished
        stop.set()
        await asyncio.sleep(0)
        finished = True

    await asyncio.wait_for(task_of(Periodic("last", job, 60), DOORBELL)(stop), PATIENCE_SECONDS)

    assert finished
