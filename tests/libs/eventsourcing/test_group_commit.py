"""Requests are written in groups, and each gets its own result."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from libs.eventsourcing.group_commit import GroupCommit, Limits, Weight
from libs.testing.polling import PATIENCE_SECONDS, eventually


class Writer:
    """A writer that waits for a permit before each group, and doubles numbers."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.permits = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def write(self, requests: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(requests))
        await self.permits.acquire()
        if self.failure:
            raise self.failure
        return [ValueError(str(n)) if n < 0 else n * 2 for n in requests]

    def allow(self, groups: int) -> None:
        for _ in range(groups):
            self.permits.release()


Group = GroupCommit[int, int]


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def group(writer: Writer) -> Group:
    return GroupCommit(writer.write, rows)


async def submit_all(group: Group, requests: Sequence[int]) -> list[asyncio.Task[int]]:
    """The requests as tasks, each waiting in the queue."""
    tasks = [asyncio.create_task(group.submit(request)) for request in requests]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_requests_during_a_commit_are_written_by_the_next(
    writer: Writer, group: Group
) -> None:
    first = await submit_all(group, [1])
    rest = await submit_all(group, [2, 3, 4])

    writer.allow(2)

    assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8]
    assert writer.groups == [[1], [2, 3, 4]]


async def test_one_bad_request_does_not_fail_its_neighbours(writer: Writer, group: Group) -> None:
    writer.allow(1)

    answers = await asyncio.gather(*await submit_all(group, [1, -2, 3]), return_exceptions=True)

    assert [str(answer) for answer in answers] == ["2", "-2", "6"]


async def test_an_error_of_the_writer_is_raised_to_all_callers_of_its_group_only(
    writer: Writer, group: Group
) -> None:
    writer.failure = OSError("no disk")
    writer.allow(2)
    tasks = await submit_all(group, [1, 2])

    answers = await asyncio.gather(*tasks, return_exceptions=True)
    writer.failure = None

    assert [type(answer) for answer in answers] == [OSError, OSError]
    assert await group.submit(5) == 10


async def test_a_cancelled_caller_does_not_affect_others(writer: Writer, group: Group) -> None:
    tasks = await submit_all(group, [1, 2, 3])

    tasks[0].cancel()
    writer.allow(1)

    assert await asyncio.gather(*tasks[1:]) == [4, 6]
    assert tasks[0].cancelled()


async def test_a_cancelled_writer_cancels_all_callers(writer: Writer, group: Group) -> None:
    tasks = await submit_all(group, [1])
    tasks += await submit_all(group, [2])

    (drain,) = (task for task in asyncio.all_tasks() if task.get_name() == "group-commit")
    drain.cancel()
    await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)

    assert all(task.done() for task in tasks)
    writer.allow(2)
    assert await group.submit(3) == 6


async def test_a_writer_with_too_few_results_fails_all_callers() -> None:
    async def write(requests: Sequence[int]) -> Sequence[int | Exception]:
        return [requests[0]]

    tasks = await submit_all(GroupCommit(write, rows), [1, 2])
    await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)

    assert all(task.done() for task in tasks)
    assert all(task.exception() for task in tasks)


def rows(request: int) -> Weight:
    return Weight(abs(request))


def size(request: int) -> Weight:
    return Weight(1, request)


@pytest.mark.parametrize(
    ("weigh", "limits"), [(rows, Limits(group_rows=5)), (size, Limits(group_bytes=5))]
)
async def test_a_group_exceeds_the_limits_only_by_a_single_request(
    writer: Writer, weigh: Callable[[int], Weight], limits: Limits
) -> None:
    group = GroupCommit(writer.write, weigh, limits)
    writer.allow(9)
    tasks = await submit_all(group, [2, 3, 1, 9, 4, 1, 1])

    assert await asyncio.gather(*tasks) == [4, 6, 2, 18, 8, 2, 2]
    assert writer.groups == [[2, 3], [1], [9], [4, 1], [1]]


@pytest.mark.parametrize(
    "limits",
    [Limits(group_rows=1, queued_requests=2), Limits(group_rows=1, queued_bytes=2)],
    ids=["requests", "bytes"],
)
async def test_cancelled_requests_count_until_they_are_written(
    writer: Writer, limits: Limits
) -> None:
    group = GroupCommit(writer.write, lambda _: Weight(1, 1), limits)
    tasks = await submit_all(group, [1, 2, 3, 4, 5])
    # One that is being written, one in the queue, and one outside give up.
    for left in (tasks[0], tasks[1], tasks[3]):
        left.cancel()
    await asyncio.wait([tasks[0], tasks[1], tasks[3]])
    assert (writer.groups, len(group._queue)) == ([[1]], 1)

    writer.allow(1)
    await eventually(lambda: writer.groups == [[1], [2]])
    assert len(group._queue) == 1
    writer.allow(3)

    assert [*await asyncio.gather(tasks[2], tasks[4])] == [6, 10]
    assert writer.groups == [[1], [2], [3], [5]]


async def test_a_request_larger_than_the_capacity_is_written_alone(writer: Writer) -> None:
    group = GroupCommit(writer.write, size, Limits(queued_bytes=5))
    writer.allow(9)

    assert await asyncio.gather(*await submit_all(group, [9, 1, 8, 2])) == [18, 2, 16, 4]
    assert writer.groups[0] == [9]
    assert [8] in writer.groups


async def test_flush_waits_for_all_submitted_requests(writer: Writer, group: Group) -> None:
    tasks = await submit_all(group, [1, 2])
    settling = asyncio.create_task(group.flush())
    await asyncio.sleep(0)
    assert not settling.done()

    writer.allow(2)
    await settling
    await group.flush()  # idle: at once

    assert all(task.done() for task in tasks)
