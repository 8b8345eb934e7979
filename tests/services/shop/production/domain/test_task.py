"""The states of tasks, and what their moves do (spec shop §6)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.shop import (
    FloristTasksChanged,
    TaskApproved,
    TaskAssigned,
    TaskCancelled,
    TaskClosed,
    TaskCompleted,
    TaskRejected,
    TaskStarted,
)
from libs.errors import Refused
from libs.eventsourcing.testing import Scenario
from services.shop.production.domain.decisions import (
    FLORIST,
    TASK,
    CancelTask,
    ChangeItem,
    CloseTask,
    EditTask,
    FloristBusy,
    FloristMissing,
    Occupy,
    TaskCommand,
    WrongTaskStatus,
    florist_commands,
    step_to,
)
from services.shop.production.domain.task import Task, TaskItemUnknown, TaskStatus, TaskUnknown
from tests.services.shop.production.tasks import (
    ANNA,
    BY,
    ITEMS,
    NOON,
    assign,
    at,
    check,
    complete,
    create,
    history,
    start,
)

CANCEL = CancelTask(by=BY, now=NOON)
CLOSE = CloseTask(by=BY, now=NOON)
MOVES: list[TaskCommand] = [
    assign(),
    start(),
    complete(),
    check(is_approved=True),
    check(is_approved=False),
    CANCEL,
]
ALLOWED = {
    (TaskStatus.PENDING, 0): TaskAssigned,
    (TaskStatus.ASSIGNED, 1): TaskStarted,
    (TaskStatus.IN_PROGRESS, 2): TaskCompleted,
    (TaskStatus.QUALITY_CHECK, 3): TaskApproved,
    (TaskStatus.QUALITY_CHECK, 4): TaskRejected,
    (TaskStatus.PENDING, 5): TaskCancelled,
    (TaskStatus.ASSIGNED, 5): TaskCancelled,
    (TaskStatus.IN_PROGRESS, 5): TaskCancelled,
    (TaskStatus.QUALITY_CHECK, 5): TaskCancelled,
}
"""The event of each move, by its number in `MOVES`, from each state in which it is allowed."""


@pytest.mark.parametrize("status", [one for one in TaskStatus if one != TaskStatus.CANCELLED])
@pytest.mark.parametrize("number", range(len(MOVES)))
def test_a_task_moves_only_along_the_table(status: TaskStatus, number: int) -> None:
    task = TASK.state_after(at(status))
    event = ALLOWED.get((status, number))

    if event is None:
        with pytest.raises(WrongTaskStatus):
            TASK.decide(task, MOVES[number])
    else:
        assert [type(one) for one in TASK.decide(task, MOVES[number])] == [event]


def test_a_task_that_does_not_exist_takes_no_command() -> None:
    for command in [*MOVES, CLOSE]:
        Scenario(TASK).given().when(command).then_refused(TaskUnknown)


def test_minutes_are_counted_from_the_start_unless_they_are_given() -> None:
    later = NOON + timedelta(minutes=24, seconds=1)
    started = history(create(), assign(), start())

    counted = TASK.state_after([*started, *TASK.decide(TASK.state_after(started), complete(later))])
    stated = TASK.state_after(
        [*started, *TASK.decide(TASK.state_after(started), complete(later, actual_minutes=7))]
    )

    assert (counted.present.actual_minutes, stated.present.actual_minutes) == (25, 7)
    assert all(one.is_completed and one.completed_at == later for one in counted.items)


def test_approved_work_is_over_with_its_score() -> None:
    task = TASK.state_after(at(TaskStatus.COMPLETED))

    assert (task.status, task.present.quality_score) == (TaskStatus.COMPLETED, 4)
    assert all(one.quality_approved for one in task.items)
    assert task.busy_florist is None


def test_rejected_work_is_done_again_from_the_beginning() -> None:
    rejected = TASK.state_after(
        history(
            create(),
            assign(),
            start(NOON - timedelta(hours=1)),
            complete(),
            check(is_approved=False),
        )
    )

    assert (rejected.status, rejected.started_at) == (TaskStatus.IN_PROGRESS, NOON)
    assert (rejected.completed_at, rejected.present.actual_minutes) == (None, None)
    assert not any(one.is_completed or one.completed_at for one in rejected.items)
    assert rejected.busy_florist == ANNA


def test_an_assembled_order_closes_what_is_open_and_leaves_what_is_over() -> None:
    (closed,) = TASK.decide(TASK.state_after(at(TaskStatus.IN_PROGRESS)), CLOSE)

    assert isinstance(closed, TaskClosed)
    assert TASK.state_after([*at(TaskStatus.IN_PROGRESS), closed]).status == TaskStatus.COMPLETED
    Scenario(TASK).given(*at(TaskStatus.COMPLETED)).when(CLOSE).then()
    quiet = CancelTask(by=BY, now=NOON, if_open=True)
    Scenario(TASK).given(*at(TaskStatus.COMPLETED)).when(quiet).then()
    Scenario(TASK).given(*history(create(), CANCEL)).when(CANCEL).then()


def test_only_lines_of_the_task_are_changed_and_only_while_it_is_open() -> None:
    def change(item_id: int, *, made: bool = True) -> ChangeItem:
        return ChangeItem(item_id=item_id, changes={"is_completed": made}, by=BY, now=NOON)

    changed = TASK.state_after(history(create(), change(71), change(71)))
    assert [one.completed_at for one in changed.items] == [NOON, None]
    opened = TASK.state_after(history(create(), change(71), change(71, made=False)))
    assert opened.items == ITEMS
    Scenario(TASK).given(*history(create())).when(change(99)).then_refused(TaskItemUnknown)
    Scenario(TASK).given(*history(create(), CANCEL)).when(change(71)).then_refused(WrongTaskStatus)


def test_an_edit_that_changes_nothing_is_no_event() -> None:
    task = TASK.state_after(history(create()))
    same = EditTask(changes={"priority": task.present.priority}, by=BY, now=NOON)
    urgent = EditTask(changes={"priority": "urgent"}, by=BY, now=NOON)

    assert TASK.decide(task, same) == []
    assert TASK.state_after(history(create(), urgent)).present.priority == "urgent"


@pytest.mark.parametrize("status", [one for one in TaskStatus if one != TaskStatus.CANCELLED])
@pytest.mark.parametrize("wanted", TaskStatus)
def test_a_status_that_a_client_sets_is_reached_by_one_allowed_move_or_refused(
    status: TaskStatus, wanted: TaskStatus
) -> None:
    task = TASK.state_after(at(status))
    try:
        command = step_to(task, wanted, None, BY, NOON)
    except (WrongTaskStatus, FloristMissing):
        assert wanted != status
        return
    if command is None:
        assert wanted == status
        return
    try:
        events = TASK.decide(task, command)
    except WrongTaskStatus:
        assert status == TaskStatus.COMPLETED
        return
    assert TASK.state_after([*at(status), *events]).status == wanted


def test_a_florist_who_is_busy_takes_no_other_task_from_the_queue() -> None:
    take = Occupy(florist=ANNA, task_id=52, busy=True, now=NOON, must_be_idle=True)
    busy = FloristTasksChanged(florist=ANNA, tasks=(51,), changed_at=NOON)
    idle = FloristTasksChanged(florist=ANNA, tasks=(), changed_at=NOON)

    Scenario(FLORIST).given(busy).when(take).then_refused(FloristBusy)
    Scenario(FLORIST).given(busy, idle).when(take).then(
        FloristTasksChanged(florist=ANNA, tasks=(52,), changed_at=NOON)
    )
    by_hand = replace(take, must_be_idle=False)
    both = FloristTasksChanged(florist=ANNA, tasks=(51, 52), changed_at=NOON)
    Scenario(FLORIST).given(busy).when(by_hand).then(both)
    leave = replace(take, busy=False)
    Scenario(FLORIST).given(busy).when(leave).then()


COMMANDS = st.lists(st.sampled_from([*MOVES, assign(4), CLOSE]), max_size=15)


@given(commands=COMMANDS)
def test_whatever_is_done_task_and_florist_agree(commands: list[TaskCommand]) -> None:
    task, florists = Task(), {ANNA: FLORIST.initial, 4: FLORIST.initial}
    for command in (create(), *commands):
        before = task
        try:
            events = TASK.decide(before, command)
        except Refused:
            continue
        for event in events:
            task = TASK.evolve(task, event)
        for change in florist_commands(before, task, NOON):
            for event in FLORIST.decide(florists[change.florist], change):
                florists[change.florist] = FLORIST.evolve(florists[change.florist], event)

        occupied = {number for number, tasks in florists.items() if tasks}
        assert occupied == ({task.florist} if task.busy_florist else set())
        made = [one.is_completed for one in task.items]
        assert all(made) or task.status not in (TaskStatus.QUALITY_CHECK, TaskStatus.COMPLETED)
        assert (task.completed_at is not None) == (
            task.status in (TaskStatus.QUALITY_CHECK, TaskStatus.COMPLETED)
        ) or task.status == TaskStatus.CANCELLED
