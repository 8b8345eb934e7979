"""Workers run each job of a queue at least once, side by side, until they are stopped."""

import asyncio
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from libs.clock import utc_now
from libs.errors import Unavailable
from libs.jobs import worker as workers
from libs.jobs.queue import Backoff
from libs.jobs.worker import JOBS
from libs.testing.polling import PATIENCE_SECONDS, eventually
from tests.libs.jobs.bakery import Bakery, Loaf
from tests.libs.jobs.working import baker, running

ROOT: Final = Path(__file__).parents[3]
LEFT: Final = "SELECT count(*) FROM loaf"


async def put(bakery: Bakery, *numbers: int, tenant: str = "demo") -> None:
    for number in numbers:
        await bakery.loaves().put(Loaf(tenant=tenant, number=number))
    bakery.doorbell.ring(JOBS)


async def test_two_workers_run_every_job_once(bakery: Bakery) -> None:
    baked: list[int] = []

    async def bake(loaf: Loaf) -> None:
        await asyncio.sleep(0)
        baked.append(loaf.number)

    await put(bakery, *range(40))
    async with running(baker(bakery, bake), baker(bakery, bake)):
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)

    assert sorted(baked) == [*range(40)]


async def test_a_job_of_a_killed_process_runs_again(bakery: Bakery, database: str) -> None:
    async def bake(loaf: Loaf) -> None:
        sql = "INSERT INTO baked VALUES ($1, $2, 'the second one')"
        await bakery.system.execute(sql, loaf.tenant, loaf.number)

    await put(bakery, 1)
    program = [sys.executable, "-m", "tests.libs.jobs.dying_baker", database]
    killed = await asyncio.to_thread(
        subprocess.run, program, cwd=ROOT, timeout=PATIENCE_SECONDS, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    async with running(baker(bakery, bake)):
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)

    by = [row["by"] for row in await bakery.system.fetch("SELECT by FROM baked")]
    assert by == ["the dying one", "the second one"]


async def test_a_ring_or_the_end_of_a_job_wakes_a_worker(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 3600.0)

    async def bake(loaf: Loaf) -> None:
        if loaf.number == 1:
            # Without a ring: the end of this job starts the next round.
            await bakery.loaves().put(Loaf(tenant="demo", number=2))

    worker = baker(bakery, bake)
    async with running(worker):
        await eventually(lambda: worker.backlog)
        await put(bakery, 1)
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)


async def test_no_more_jobs_run_at_once_than_allowed(bakery: Bakery) -> None:
    now, most = 0, 0

    async def bake(_: Loaf) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    await put(bakery, *range(12))
    async with running(baker(bakery, bake, parallel=3)):
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)

    assert most == 3


async def test_the_claim_of_a_running_job_is_renewed(bakery: Bakery) -> None:
    baked: list[int] = []

    async def bake(loaf: Loaf) -> None:
        await asyncio.sleep(3)
        baked.append(loaf.number)

    await put(bakery, 1)
    async with running(*(baker(bakery, bake, seconds=2.0) for _ in range(2))):
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)

    assert baked == [1]


async def test_a_failed_job_is_retried_until_it_is_parked(bakery: Bakery) -> None:
    tried: list[int] = []

    async def bake(loaf: Loaf) -> None:
        tried.append(loaf.number)
        if loaf.number == 1 or len(tried) < 3:
            raise ValueError("burnt")

    await put(bakery, 1, 2)
    retry = Backoff(attempts=3, first=timedelta(milliseconds=1))
    worker = baker(bakery, bake, retry=retry)
    async with running(worker):
        await eventually(lambda: worker.backlog is not None and worker.backlog.parked == 1)
        await eventually(lambda: bakery.system.fetchval(LEFT), 1)

    assert tried.count(1) == 3
    assert tried.count(2) <= 2


@pytest.mark.parametrize("error", [Unavailable(), ConnectionResetError()])
async def test_while_a_dependency_is_away_a_job_is_never_parked(
    bakery: Bakery, error: Exception
) -> None:
    tried = 0

    async def bake(_: Loaf) -> None:
        nonlocal tried
        tried += 1
        if tried < 4:
            raise error

    await put(bakery, 1)
    async with running(baker(bakery, bake, seconds=0.2, retry=Backoff(attempts=1))):
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)

    assert tried == 4


async def test_a_job_that_does_not_end_in_time_is_left_to_another_worker(bakery: Bakery) -> None:
    started = asyncio.Event()

    async def hang(_: Loaf) -> None:
        started.set()
        await asyncio.Event().wait()

    await put(bakery, 1)
    async with running(baker(bakery, hang, drain_seconds=0.01)):
        await started.wait()

    assert [one.number for one in await bakery.loaves().claim("boris", utc_now(), limit=1)] == [1]


async def test_a_stop_waits_for_running_jobs(bakery: Bakery) -> None:
    started, baked = asyncio.Event(), False

    async def bake(_: Loaf) -> None:
        nonlocal baked
        started.set()
        await asyncio.sleep(0.1)
        baked = True

    await put(bakery, 1)
    async with running(baker(bakery, bake, drain_seconds=PATIENCE_SECONDS)):
        await started.wait()

    assert baked
    assert await bakery.system.fetchval(LEFT) == 0


async def test_progress_of_running_jobs_is_stored(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PROGRESS_SECONDS", 0.01)
    ended = asyncio.Event()

    async def bake(loaf: Loaf) -> None:
        worker.progress(loaf, 3, 4)
        await ended.wait()

    worker = baker(bakery, bake)
    await put(bakery, 1)
    async with running(worker):
        await eventually(lambda: bakery.system.fetchval("SELECT moved FROM loaf"), 3)
        ended.set()
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)


async def test_overdue_jobs_are_handed_over_and_not_run(bakery: Bakery) -> None:
    overdue: list[int] = []

    async def expire(loaf: Loaf) -> None:
        overdue.append(loaf.number)
        await bakery.loaves().done(loaf.tenant, loaf.number)

    past = utc_now() - timedelta(hours=1)
    await bakery.loaves("steel").put(Loaf(tenant="demo", number=1, deadline_at=past))

    async def bake(_: Loaf) -> None:
        raise AssertionError("this oven is another one's")

    async with running(baker(bakery, bake, on_overdue=expire)):
        await eventually(lambda: bakery.system.fetchval(LEFT), 0)

    assert overdue == [1]


@pytest.mark.parametrize("error", [Unavailable, ValueError], ids=["away", "another error"])
async def test_a_cancellation_that_met_an_error_ends_a_repeated_step(
    error: type[Exception],
) -> None:
    started = asyncio.Event()

    async def step() -> None:
        again = started.is_set()
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if again:
                raise
            # A transaction does so whose connection is lost.
            raise error from None

    repeated = asyncio.create_task(workers.repeat(step, lambda: asyncio.sleep(0)))
    await started.wait()

    repeated.cancel()

    await asyncio.wait([repeated], timeout=PATIENCE_SECONDS)
    assert repeated.cancelled()
