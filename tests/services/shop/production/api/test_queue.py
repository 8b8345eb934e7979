"""The queue of tasks and its florists on the wire (spec shop §4.6, §6, C8)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.shop import TaskAssigned
from tests.services.shop.production.board import Board


async def prioritised(board: Board, *priorities: str) -> dict[str, int]:
    """Tasks with these priorities, created in this order; their ids."""
    ids = {}
    for priority in priorities:
        ids[priority] = await board.task()
        path = f"/api/production/tasks/{ids[priority]}"
        await board.client.patch(path, json={"priority": priority})
    return ids


async def test_urgent_tasks_come_first_and_low_ones_last(board: Board) -> None:
    ids = await prioritised(board, "low", "normal", "urgent", "high")

    pending = (await board.client.get("/api/production/tasks/pending")).json()["items"]
    taken = await board.queue("get-next-task/3")

    assert [one["priority"] for one in pending] == ["urgent", "high", "normal", "low"]
    assert (taken.status_code, taken.json()["id"]) == (201, ids["urgent"])
    assert taken.json()["florist_id"] == 3


async def test_a_florist_with_a_task_gets_no_other_until_it_is_done(board: Board) -> None:
    for _ in range(2):
        await board.task()

    first = (await board.queue("get-next-task/3")).json()
    none = await board.queue("get-next-task/3")
    await board.do(first["id"], "start")
    still = await board.queue("get-next-task/3")
    await board.do(first["id"], "complete")
    second = (await board.queue("get-next-task/3")).json()

    assert [one.status_code for one in (none, still)] == [201, 201]
    assert (none.json(), still.json()) == (None, None)
    assert second["id"] != first["id"]
    assert (await board.queue("get-next-task/99")).status_code == 404


async def test_in_parallel_a_task_is_given_once_and_a_florist_gets_one(board: Board) -> None:
    for _ in range(3):
        await board.task()

    calls = [board.queue(f"get-next-task/{florist}") for florist in (3, 4) for _ in range(6)]
    answers = await asyncio.gather(*calls, *(board.queue("distribute") for _ in range(3)))

    assert {one.status_code for one in answers} == {201}
    assigned = await board.shop.events(TaskAssigned)
    assert sorted(one.florist for one in assigned) == [3, 4]
    assert len({one.task_id for one in assigned}) == 2


async def test_pending_tasks_are_distributed_to_the_idle_florists(board: Board) -> None:
    ids = await prioritised(board, "low", "normal", "urgent")

    done = await board.queue("distribute")
    again = await board.queue("distribute")

    assert done.json() == {"distributed": 2, "skipped": 1, "total_pending": 3}
    assert again.json() == {"distributed": 0, "skipped": 1, "total_pending": 1}
    pending = await board.tasks(status="pending")
    assert [one["id"] for one in pending] == [ids["low"]]


async def test_late_tasks_become_urgent_once(board: Board) -> None:
    late, timely = await board.task(), await board.task()
    past = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    future = (datetime.now(UTC) + timedelta(hours=5)).isoformat()
    for task_id, deadline in ((late, past), (timely, future)):
        await board.client.patch(f"/api/production/tasks/{task_id}", json={"deadline": deadline})

    overdue = (await board.client.get("/api/production/tasks/overdue")).json()
    first, second = await board.queue("check-overdue"), await board.queue("check-overdue")

    assert [(one["id"], one["is_overdue"]) for one in overdue] == [(late, True)]
    assert (first.json(), second.json()) == ({"updated_tasks": 1}, {"updated_tasks": 0})
    priorities = {one["id"]: one["priority"] for one in await board.tasks()}
    assert priorities == {late: "urgent", timely: "normal"}
    await board.do(late, "cancel")
    assert (await board.client.get("/api/production/tasks/overdue")).json() == []


async def test_statistics_count_the_open_tasks_of_the_florists_there_are(board: Board) -> None:
    ids = await prioritised(board, "urgent", "normal", "low")
    first = ids["urgent"]
    await board.do(first, "assign", florist_id=3)
    await board.do(first, "start")
    await board.do(ids["low"], "assign", florist_id=3)

    async def get(path: str) -> Any:
        answer = await board.client.get(f"/api/production/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await get("queue/stats") == {
        "pending_tasks": 1,
        "assigned_tasks": 1,
        "in_progress_tasks": 1,
        "overdue_tasks": 0,
        "urgent_tasks": 1,
        "tasks_by_type": {"bouquet": 3},
        "tasks_by_priority": {"urgent": 1, "normal": 1, "low": 1},
    }
    idle: dict[str, Any] = {"active_tasks": 0, "completed_today": 0}
    idle |= {"estimated_minutes_remaining": 0, "current_task": None}
    busy: dict[str, Any] = {"active_tasks": 2, "completed_today": 0}
    busy |= {"estimated_minutes_remaining": 40, "current_task": first}
    assert await get("queue/workload") == {"3": busy, "4": idle}
    assert await get("florists") == {
        "items": [
            {"id": 3, "name": "Анна", "status": "busy", "current_tasks": 2},
            {"id": 4, "name": "Белла", "status": "available", "current_tasks": 0},
        ],
        "total": 2,
    }


async def test_the_averages_of_a_florist_may_be_fractions(board: Board) -> None:
    for minutes, score in ((10, 4), (15, 5)):
        task_id = await board.task()
        await board.do(task_id, "assign", florist_id=3)
        await board.do(task_id, "start")
        await board.do(task_id, "complete", actual_minutes=minutes)
        await board.do(task_id, "quality-check", quality_score=score, quality_approved=True)

    mine = await board.client.get("/api/production/florists/3/stats")
    idle = await board.client.get("/api/production/florists/4/stats")
    unknown = await board.client.get("/api/production/florists/99/stats")

    assert mine.json() == {
        "florist_id": 3,
        "total_tasks": 2,
        "completed_tasks": 2,
        "in_progress_tasks": 0,
        "average_quality_score": 4.5,
        "average_completion_time": 12.5,
        "overdue_tasks": 0,
    }
    assert (idle.json()["total_tasks"], idle.json()["average_quality_score"]) == (0, None)
    assert unknown.status_code == 404
