"""Tasks: listed, created by hand, moved, edited (spec shop §4.6)."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from pydantic import AliasChoices, BaseModel, Field
from sqlalchemy import ColumnElement

from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from services.shop.context import (
    PRODUCTION,
    ApiContext,
    Id,
    PathId,
    PlainText,
    Shop,
    authorship,
    await_writes,
    changes_of,
    in_utc,
)
from services.shop.production import read_models
from services.shop.production.api.presenters import TaskItemOut, TaskOut, present
from services.shop.production.domain import decisions
from services.shop.production.domain.task import (
    Priority,
    TaskItemUnknown,
    TaskStatus,
    TaskType,
)
from services.shop.production.handlers import task as handler
from services.shop.production.read_models import TASKS

router = APIRouter(prefix="/api/production", tags=["production"])

Caller = Annotated[Principal, Depends(PRODUCTION)]
Authored = Annotated[Metadata, metadata_of(PRODUCTION)]
VISIBLE: Final = visible("task")
Part = Annotated[Slice, by_skip(limit=100, most=1000)]
Note = Annotated[PlainText, Field(max_length=5000)]
PhotoUrl = Annotated[PlainText, Field(max_length=1000)]
Photos = Annotated[tuple[PhotoUrl, ...], Field(max_length=50)]
Score = Annotated[int, Field(ge=1, le=5)]
Minutes = Annotated[int, Field(ge=5, le=480)]
"""An estimate."""
Taken = Annotated[int, Field(ge=0, le=100_000)]
"""Minutes that were needed."""


class TaskQuery(BaseModel):
    """Which tasks are listed; all conditions must hold."""

    status: TaskStatus | None = None
    priority: Priority | None = None
    task_type: TaskType | None = None
    florist_id: Id | None = None
    order_id: Id | None = None


class TaskItemCreate(BaseModel):
    """A line of the order, and how many pieces of it."""

    order_item_id: Id
    quantity: Annotated[int, Field(gt=0, le=10_000)]


class TaskPlan(BaseModel):
    """What is planned of a task."""

    priority: Priority = Priority.NORMAL
    estimated_minutes: Minutes = 30
    deadline: datetime | None = None
    instructions: Note | None = None


class TaskCreate(TaskPlan):
    """A task to create."""

    order_id: Id
    items: Annotated[list[TaskItemCreate], Field(max_length=200)] = []
    task_type: TaskType


class TaskUpdate(BaseModel):
    """Fields to replace; the status is moved one step at most (spec shop §6)."""

    florist_id: Id | None = None
    status: TaskStatus | None = None
    priority: Priority | None = None
    deadline: datetime | None = None
    estimated_minutes: Minutes | None = None
    instructions: Note | None = None
    florist_notes: Note | None = Field(
        default=None, validation_alias=AliasChoices("florist_notes", "notes")
    )
    quality_notes: Note | None = None
    quality_score: Score | None = None
    actual_minutes: Taken | None = None
    work_photos: Photos | None = None
    result_photos: Photos | None = None


class Assignment(BaseModel):
    """Who makes a task."""

    florist_id: Id


class Start(BaseModel):
    """What the florist notes at the start."""

    florist_notes: Note | None = None


class Completion(Start):
    """What the florist reports at the end."""

    actual_minutes: Taken | None = None
    result_photos: Photos = Field(
        default=(), validation_alias=AliasChoices("result_photos", "photos")
    )


class QualityCheck(BaseModel):
    """Whether what was made is good."""

    quality_score: Score
    quality_approved: bool
    quality_notes: Note | None = None


class TaskItemUpdate(BaseModel):
    """Fields of a line to replace."""

    is_completed: bool | None = None
    quality_approved: bool | None = None
    quality_notes: Note | None = None


@router.get("/tasks/")
async def list_tasks(
    shop: Shop, caller: Caller, part: Part, query: Annotated[TaskQuery, Query()]
) -> Page[TaskOut]:
    """Tasks of the shop, in the order of the queue."""
    condition = read_models.FILTERS.where(query.model_dump())
    return await page(shop, caller.tenant, condition, part, *read_models.IN_QUEUE)


@router.get("/tasks/pending")
async def list_pending(shop: Shop, caller: Caller, part: Part) -> Page[TaskOut]:
    """Pending tasks, in the order of the queue."""
    return await page(shop, caller.tenant, read_models.PENDING, part, *read_models.IN_QUEUE)


@router.get("/tasks/overdue")
async def list_overdue(shop: Shop, caller: Caller, part: Part) -> list[TaskOut]:
    """Open tasks whose deadline has passed, the latest first."""
    late, task = read_models.overdue(shop.clock()), read_models.TASK
    return (await page(shop, caller.tenant, late, part, task.c.deadline, task.c.task_id)).items


@router.post("/tasks/", status_code=201, dependencies=[VISIBLE])
async def create(shop: Shop, metadata: Authored, body: TaskCreate) -> TaskOut:
    """Create a task for lines of an order; 404 for an unknown order or line."""
    details = body.model_dump(include={*TaskPlan.model_fields})
    if body.deadline is not None:
        details["deadline"] = in_utc(body.deadline, shop.settings.zone)
    lines = [(item.order_item_id, item.quantity) for item in body.items]
    created = await handler.create(shop, body.order_id, body.task_type, details, lines, metadata)
    return await fresh(shop, metadata.tenant, created)


@router.get("/tasks/{task_id}")
async def read(shop: Shop, caller: Caller, task_id: PathId) -> TaskOut:
    """A task with its lines and its order."""
    return await read_task(shop, caller.tenant, task_id)


@router.put("/tasks/{task_id}", dependencies=[VISIBLE])
@router.patch("/tasks/{task_id}", dependencies=[VISIBLE])
async def update(shop: Shop, metadata: Authored, task_id: PathId, body: TaskUpdate) -> TaskOut:
    """Replace fields of a task; 409 for a status that does not follow."""
    changes = changes_of(body, "deadline", "instructions", "florist_notes", "quality_notes")
    if body.deadline is not None:
        changes["deadline"] = in_utc(body.deadline, shop.settings.zone)
    await handler.update(shop, task_id, changes, metadata)
    return await fresh(shop, metadata.tenant, task_id)


@router.post("/tasks/{task_id}/assign", status_code=201, dependencies=[VISIBLE])
async def assign(shop: Shop, metadata: Authored, task_id: PathId, body: Assignment) -> TaskOut:
    """Give a pending task to a florist."""
    await handler.assign(shop, task_id, body.florist_id, metadata)
    return await fresh(shop, metadata.tenant, task_id)


@router.post("/tasks/{task_id}/start", status_code=201, dependencies=[VISIBLE])
async def start(
    shop: Shop, metadata: Authored, task_id: PathId, body: Start | None = None
) -> TaskOut:
    """The florist begins with an assigned task."""
    command = decisions.StartTask(**authorship(shop, metadata))
    notes = body.florist_notes if body else None
    return await _noted(shop, task_id, command, notes, metadata)


@router.post("/tasks/{task_id}/complete", status_code=201, dependencies=[VISIBLE])
async def complete(
    shop: Shop, metadata: Authored, task_id: PathId, body: Completion | None = None
) -> TaskOut:
    """The florist is done; the quality is to be checked."""
    done = body or Completion()
    command = decisions.CompleteTask(
        actual_minutes=done.actual_minutes,
        result_photos=done.result_photos,
        **authorship(shop, metadata),
    )
    return await _noted(shop, task_id, command, done.florist_notes, metadata)


@router.post("/tasks/{task_id}/quality-check", status_code=201, dependencies=[VISIBLE])
async def check_quality(
    shop: Shop, metadata: Authored, task_id: PathId, body: QualityCheck
) -> TaskOut:
    """Approve what was made, or have it made again."""
    command = decisions.CheckQuality(
        is_approved=body.quality_approved,
        quality_score=body.quality_score,
        **authorship(shop, metadata),
    )
    return await _noted(shop, task_id, command, body.quality_notes, metadata)


@router.post("/tasks/{task_id}/cancel", status_code=201, dependencies=[VISIBLE])
async def cancel(shop: Shop, metadata: Authored, task_id: PathId) -> TaskOut:
    """Cancel a task that is not completed."""
    command = decisions.CancelTask(**authorship(shop, metadata))
    await handler.carry_out(shop, task_id, command, metadata)
    return await fresh(shop, metadata.tenant, task_id)


@router.get("/tasks/{task_id}/items")
async def list_items(shop: Shop, caller: Caller, task_id: PathId) -> list[TaskItemOut]:
    """The lines of a task."""
    return (await read_task(shop, caller.tenant, task_id)).items


@router.put("/task-items/{item_id}", dependencies=[VISIBLE])
async def update_item(
    shop: Shop, metadata: Authored, item_id: PathId, body: TaskItemUpdate
) -> TaskItemOut:
    """Replace fields of a line."""
    changes = changes_of(body, "quality_approved", "quality_notes")
    return await _change_item(shop, item_id, changes, metadata)


@router.post("/task-items/{item_id}/complete", status_code=201, dependencies=[VISIBLE])
async def complete_item(
    shop: Shop,
    metadata: Authored,
    item_id: PathId,
    quality_approved: bool | None = None,
    quality_notes: Annotated[Note | None, Query()] = None,
) -> TaskItemOut:
    """A line is made."""
    given = {"quality_approved": quality_approved, "quality_notes": quality_notes}
    changes = {name: value for name, value in given.items() if value is not None}
    return await _change_item(shop, item_id, {"is_completed": True, **changes}, metadata)


async def page(
    shop: ApiContext,
    tenant: str,
    condition: ColumnElement[bool],
    part: Slice,
    *order: ColumnElement[Any],
) -> Page[TaskOut]:
    """A part of the tasks that match. Raises Unavailable."""
    tasks, total = await TASKS.page(shop.reading, tenant, condition, part, *order)
    return Page(items=await present(shop, tenant, tasks), total=total)


async def fresh(shop: ApiContext, tenant: str, task_id: int) -> TaskOut:
    """A task with what this request wrote. Raises TaskUnknown, Unavailable."""
    await await_writes(shop, tenant, "task")
    return await read_task(shop, tenant, task_id)


async def read_task(shop: ApiContext, tenant: str, task_id: int) -> TaskOut:
    """A task. Raises TaskUnknown, Unavailable."""
    task = await TASKS.find(shop.reading, tenant, task_id)
    _ = task.present
    return (await present(shop, tenant, [task]))[0]


async def _noted(
    shop: ApiContext,
    task_id: int,
    command: decisions.NotedStep,
    notes: str | None,
    metadata: Metadata,
) -> TaskOut:
    await handler.carry_out_with_notes(shop, task_id, command, notes, metadata)
    return await fresh(shop, metadata.tenant, task_id)


async def _change_item(
    shop: ApiContext, item_id: int, changes: dict[str, Any], metadata: Metadata
) -> TaskItemOut:
    tasks, _ = await TASKS.page(
        shop.reading, metadata.tenant, read_models.FILTERS.where({"item_id": item_id}), Slice(1, 0)
    )
    if not tasks:
        raise TaskItemUnknown
    await handler.change_item(shop, tasks[0], item_id, changes, metadata)
    changed = await fresh(shop, metadata.tenant, tasks[0].task_id)
    return next(item for item in changed.items if item.id == item_id)
