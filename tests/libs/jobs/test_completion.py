"""Waiters for the end of jobs share one query, which is repeated only while something waits."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import pytest

from libs.errors import Unavailable
from libs.jobs import completion
from libs.jobs.completion import CompletionWaiter
from libs.postgres.doorbell import APPENDED, Doorbell
from libs.testing.polling import PATIENCE_SECONDS, eventually

DOORBELL: Final = Doorbell("postgresql://nowhere", "bakery")


class Jobs:
    """Jobs by number, some of which have ended."""

    def __init__(self, *errors: Exception) -> None:
        self.ends: dict[int, str] = {}
        self.queries: list[list[int]] = []
        self._errors = [*errors]

    async def find(self, jobs: Collection[int]) -> Mapping[int, str]:
        self.queries.append(sorted(jobs))
        if self._errors:
            raise self._errors.pop()
        return {job: end for job, end in self.ends.items() if job in jobs}


async def test_a_job_that_has_ended_before_is_not_waited_for() -> None:
    jobs = Jobs()
    jobs.ends[1] = "baked"
    assert await CompletionWaiter(jobs.find, DOORBELL).wait(1, PATIENCE_SECONDS) == "baked"


async def test_waiters_are_woken_by_a_ring_and_share_a_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(completion, "POLL_SECONDS", 0.0)
    jobs, doorbell = Jobs(), Doorbell("postgresql://nowhere", "bakery")
    waiter = CompletionWaiter(jobs.find, doorbell)
    waits = [asyncio.create_task(waiter.wait(job, PATIENCE_SECONDS)) for job in (1, 2, 2)]
    await eventually(lambda: jobs.queries)
    jobs.ends |= {1: "baked", 2: "burnt"}
    doorbell.ring(APPENDED)

    assert await asyncio.gather(*waits) == ["baked", "burnt", "burnt"]
    assert jobs.queries[-1] == [1, 2]


async def test_a_wait_ends_without_an_end_and_nothing_is_queried_any_more() -> None:
    jobs = Jobs()
    waiter = CompletionWaiter(jobs.find, DOORBELL)
    assert await waiter.wait(1, 0.01) is None
    jobs.queries.clear()
    DOORBELL.ring(APPENDED)
    await asyncio.sleep(3 * completion.POLL_SECONDS)

    assert jobs.queries == []


async def test_a_wait_survives_an_outage_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "AWAY_SECONDS", 0.01)
    jobs = Jobs(Unavailable(), Unavailable())
    jobs.ends[1] = "baked"

    assert await CompletionWaiter(jobs.find, DOORBELL).wait(1, PATIENCE_SECONDS) == "baked"
    assert len(jobs.queries) == 3
