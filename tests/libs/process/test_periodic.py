"""Periodic jobs survive a failure and are not cut short by a stop."""

import asyncio
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import Unavailable
from libs.postgres.doorbell import Doorbell
from libs.process.periodic import Periodic, task_of
from libs.testing.polling import PATIENCE_SECONDS, eventually

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


class Listening(Doorbell):
    """A doorbell that other processes reach."""

    @property
    def is_listening(self) -> bool:
        return True


@pytest.mark.parametrize("due", [None, 0.0])
async def test_a_job_rests_until_its_topic_rings_or_something_is_due(due: float | None) -> None:
    stop, doorbell = asyncio.Event(), Listening("postgresql://nowhere", "bakery")
    runs: list[float] = []

    async def bake() -> float | None:
        runs.append(asyncio.get_running_loop().time())
        if len(runs) == 3:
            stop.set()
        return due

    job = Periodic("bake", bake, 0.001, "dough", 3600.0)
    working = asyncio.ensure_future(task_of(job, doorbell)(stop))
    await eventually(lambda: runs)
    if due is None:
        await asyncio.sleep(0.05)
        assert len(runs) == 1
        while not stop.is_set():
            doorbell.ring("dough")
            await asyncio.sleep(0.005)
    await asyncio.wait_for(working, PATIENCE_SECONDS)

    assert len(runs) == 3


@given(due=st.none() | st.floats(-10, 10_000), longest=st.floats(0, 3600))
def test_a_job_never_rests_longer_than_its_limit_or_past_what_is_due(
    due: float | None, longest: float
) -> None:
    job = Periodic("bake", asyncio.Event().wait, 1.0, "dough", longest)

    assert job.rest(DOORBELL, due) == 0.0
    rest = job.rest(Listening("postgresql://nowhere", "bakery"), due)
    assert rest <= longest
    assert due is None or rest <= due
