"""Tasks: listed, created by hand, moved, edited (spec shop §4.6)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from pydantic import AliasChoices, BaseModel, Field

from libs.eventsourcing.log import Metadata
from libs.eventsourcing.tokens import collected
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from services.shop.context import MOST_ID, PRODUCTION, ApiContext, Id, PathId, PlainText, Shop
from services.shop.production.api.presenters import (
    TaskItemOut,
    TaskOut,
    Tasks,
    item_of,
    read_task,
    tasks_of,
)
from services.shop.production.domain.decisions import TaskItemUnknown
from services.shop.production.domain.task import Priority, TaskStatus, TaskType
from services.shop.production.handlers import task as handler
from services.shop.production.handlers.task import NewTask
from services.shop.production.read_models import queries

router = APIRouter(prefix="/api/production", tags=["production"])

Caller = Annotated[Principal, Depends(PRODUCTION)]
Authored = Annotated[Metadata, metadata_of(PRODUCTION)]
VISIBLE: Final = visible("task")
MOST_PHOTOS: Final = 50


Note = Annotated[PlainText, Field(max_length=5000)]
PhotoUrl = Annotated[PlainText, Field(max_length=1000)]
Photos = Annotated[list[PhotoUrl], Field(max_length=MOST_PHOTOS)]
Score = Annotated[int, Field(ge=1, le=5)]
Minutes = Annotated[int, Field(ge=5, le=480)]
"""An estimate."""
Taken = Annotated[int, Field(ge=0, le=100_000)]
"""Minutes that were needed."""


class TaskItemCreate(BaseModel):
    """A line of the order, and how many pieces of it."""

    order_item_id: Id
    quantity: Annotated[int, Field(gt=0, le=10_000)]


class TaskCreate(BaseModel):
    """A task to create."""

    order_id: Id
    items: Annotated[list[TaskItemCreate], Field(max_length=200)] = []
    task_type: TaskType
    priority: Priority = Priority.NORMAL
    estimated_minutes: Minutes = 30
    deadline: datetime | None = None
    instructions: Note | None = None


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


class Completion(BaseModel):
    """What the florist reports at the end."""

    actual_minutes: Taken | None = None
    florist_notes: Note | None = None
    result_photos: Photos = Field(
        default=[], validation_alias=AliasChoices("result_photos", "photos")
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
    shop: Shop,
    caller: Caller,
    page: Annotated[Slice, by_skip(limit=100, most=1000)],
    status: TaskStatus | None = None,
    priority: Priority | None = None,
    task_type: TaskType | None = None,
    florist_id: Annotated[int | None, Query(ge=1, le=MOST_ID)] = None,
    order_id: Annotated[int | None, Query(ge=1, le=MOST_ID)] = None,
) -> Tasks:
    """Tasks of the shop, in the order of the queue."""
    values = {
        "status": status,
        "priority": priority,
        "task_type": task_type,
        "florist_id": florist_id,
        "order_id": order_id,
    }
    return await _page(shop, caller, page, values)


@router.get("/tasks/pending")
async def list_pending(
    shop: Shop, caller: Caller, page: Annotated[Slice, by_skip(limit=100, most=1000)]
) -> Tasks:
    """Pending tasks, in the order of the queue."""
    return await _page(shop, caller, page, {"status": TaskStatus.PENDING})


@router.get("/tasks/overdue")
async def list_overdue(
    shop: Shop, caller: Caller, page: Annotated[Slice, by_skip(limit=100, most=1000)]
) -> list[TaskOut]:
    """Open tasks whose deadline has passed, the latest first."""
    now = shop.clock()
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows = await queries.overdue(connection, now, limit=page.limit, offset=page.offset)
        return await tasks_of(connection, rows, now)


@router.post("/tasks/", status_code=201, dependencies=[VISIBLE])
async def create(shop: Shop, caller: Caller, metadata: Authored, body: TaskCreate) -> TaskOut:
    """Create a task for lines of an order; 404 for an unknown order or line."""
    new = NewTask(
        order_id=body.order_id,
        task_type=body.task_type,
        priority=body.priority,
        estimated_minutes=body.estimated_minutes,
        items=[(item.order_item_id, item.quantity) for item in body.items],
        deadline=_in_utc(shop, body.deadline),
        instructions=body.instructions,
    )
    return await fresh(shop, caller, await handler.create(shop, new, metadata))


@router.get("/tasks/{task_id}")
async def read(shop: Shop, caller: Caller, task_id: PathId) -> TaskOut:
    """A task with its lines and its order."""
    return await read_task(shop, caller.tenant, task_id)


@router.put("/tasks/{task_id}", dependencies=[VISIBLE])
@router.patch("/tasks/{task_id}", dependencies=[VISIBLE])
async def update(
    shop: Shop, caller: Caller, metadata: Authored, task_id: PathId, body: TaskUpdate
) -> TaskOut:
    """Replace fields of a task; 409 for a status that does not follow."""
    given = body.model_dump(exclude_unset=True)
    nullable = {"deadline", "instructions", "florist_notes", "quality_notes"}
    changes = {
        name: value for name, value in given.items() if value is not None or name in nullable
    }
    if "deadline" in changes:
        changes["deadline"] = _in_utc(shop, body.deadline)
    for name in {"work_photos", "result_photos"} & changes.keys():
        changes[name] = tuple(changes[name])
    await handler.update(shop, task_id, changes, metadata)
    return await fresh(shop, caller, task_id)


@router.post("/tasks/{task_id}/assign", status_code=201, dependencies=[VISIBLE])
async def assign(
    shop: Shop, caller: Caller, metadata: Authored, task_id: PathId, body: Assignment
) -> TaskOut:
    """Give a pending task to a florist."""
    await handler.assign(shop, task_id, body.florist_id, metadata)
    return await fresh(shop, caller, task_id)


@router.post("/tasks/{task_id}/start", status_code=201, dependencies=[VISIBLE])
async def start(
    shop: Shop, caller: Caller, metadata: Authored, task_id: PathId, body: Start | None = None
) -> TaskOut:
    """The florist begins with an assigned task."""
    await handler.start(shop, task_id, body.florist_notes if body else None, metadata)
    return await fresh(shop, caller, task_id)


@router.post("/tasks/{task_id}/complete", status_code=201, dependencies=[VISIBLE])
async def complete(
    shop: Shop, caller: Caller, metadata: Authored, task_id: PathId, body: Completion | None = None
) -> TaskOut:
    """The florist is done; the quality is to be checked."""
    done = body or Completion()
    await handler.complete(
        shop, task_id, done.florist_notes, done.actual_minutes, done.result_photos, metadata
    )
    return await fresh(shop, caller, task_id)


@router.post("/tasks/{task_id}/quality-check", status_code=201, dependencies=[VISIBLE])
async def check_quality(
    shop: Shop, caller: Caller, metadata: Authored, task_id: PathId, body: QualityCheck
) -> TaskOut:
    """Approve what was made, or have it made again."""
    await handler.check_quality(
        shop,
        task_id,
        body.quality_score,
        body.quality_notes,
        metadata,
        is_approved=body.quality_approved,
    )
    return await fresh(shop, caller, task_id)


@router.post("/tasks/{task_id}/cancel", status_code=201, dependencies=[VISIBLE])
async def cancel(shop: Shop, caller: Caller, metadata: Authored, task_id: PathId) -> TaskOut:
    """Cancel a task that is not completed."""
    await handler.cancel(shop, task_id, metadata)
    return await fresh(shop, caller, task_id)


@router.get("/tasks/{task_id}/items")
async def list_items(shop: Shop, caller: Caller, task_id: PathId) -> list[TaskItemOut]:
    """The lines of a task."""
    return (await read_task(shop, caller.tenant, task_id)).items


@router.put("/task-items/{item_id}", dependencies=[VISIBLE])
async def update_item(
    shop: Shop, caller: Caller, metadata: Authored, item_id: PathId, body: TaskItemUpdate
) -> TaskItemOut:
    """Replace fields of a line."""
    given = body.model_dump(exclude_unset=True)
    if given.get("is_completed", False) is None:
        del given["is_completed"]
    return await _change_item(shop, caller, item_id, given, metadata)


@router.post("/task-items/{item_id}/complete", status_code=201, dependencies=[VISIBLE])
async def complete_item(
    shop: Shop,
    caller: Caller,
    metadata: Authored,
    item_id: PathId,
    quality_approved: bool | None = None,
    quality_notes: Annotated[Note | None, Query()] = None,
) -> TaskItemOut:
    """A line is made."""
    changes: dict[str, Any] = {"is_completed": True}
    if quality_approved is not None:
        changes["quality_approved"] = quality_approved
    if quality_notes is not None:
        changes["quality_notes"] = quality_notes
    return await _change_item(shop, caller, item_id, changes, metadata)


async def fresh(shop: ApiContext, caller: Principal, task_id: int) -> TaskOut:
    """A task with what this request wrote. Raises TaskUnknown."""
    await _wait(shop)
    return await read_task(shop, caller.tenant, task_id)


async def _page(shop: ApiContext, caller: Principal, page: Slice, values: dict[str, Any]) -> Tasks:
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows, total = await queries.page(connection, values, limit=page.limit, offset=page.offset)
        return Tasks(items=await tasks_of(connection, rows, shop.clock()), total=total)


async def _change_item(
    shop: ApiContext,
    caller: Principal,
    item_id: int,
    changes: dict[str, Any],
    metadata: Metadata,
) -> TaskItemOut:
    task_id = (await _item(shop, caller, item_id)).task_id
    await handler.change_item(shop, task_id, item_id, changes, metadata)
    await _wait(shop)
    return await _item(shop, caller, item_id)


async def _item(shop: ApiContext, caller: Principal, item_id: int) -> TaskItemOut:
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        row = await queries.find_item(connection, item_id)
    if row is None:
        raise TaskItemUnknown
    return item_of(row)


async def _wait(shop: ApiContext) -> None:
    within = shop.settings.stale_wait_seconds
    await shop.consistency.wait_visible(["task"], collected(), within)


def _in_utc(shop: ApiContext, moment: datetime | None) -> datetime | None:
    """The moment in UTC; without an offset it is one in the shop's zone."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=shop.settings.zone)
    return aware.astimezone(UTC)
