"""The queue of tasks, and the florists who work on it (spec shop §4.6)."""

from datetime import UTC, datetime, time

from fastapi import APIRouter
from pydantic import BaseModel

from libs.http.paging import Page, Slice
from services.shop.context import ApiContext, PathId, Shop, await_writes
from services.shop.orders.handlers.order import FloristUnknown
from services.shop.production import read_models
from services.shop.production.api.presenters import TaskOut
from services.shop.production.api.tasks import VISIBLE, Authored, Caller, fresh, page
from services.shop.production.handlers import order, queue
from services.shop.staff.adapters import Member

router = APIRouter(prefix="/api/production", tags=["production"])


class Distributed(BaseModel):
    """How many of the pending tasks found an idle florist."""

    distributed: int
    skipped: int
    total_pending: int


class Updated(BaseModel):
    """How many tasks became urgent."""

    updated_tasks: int


class QueueStatistics(BaseModel):
    """How many tasks there are; types and priorities count open ones."""

    pending_tasks: int
    assigned_tasks: int
    in_progress_tasks: int
    overdue_tasks: int
    urgent_tasks: int
    tasks_by_type: dict[str, int]
    tasks_by_priority: dict[str, int]


class Workload(BaseModel):
    """What a florist has to do."""

    active_tasks: int = 0
    completed_today: int = 0
    estimated_minutes_remaining: int = 0
    current_task: int | None = None


class FloristOut(BaseModel):
    """A florist, who is `available` or `busy`."""

    id: int
    name: str
    status: str
    current_tasks: int


class FloristStatistics(BaseModel):
    """All that a florist had to do; times are minutes."""

    florist_id: int
    total_tasks: int
    completed_tasks: int
    in_progress_tasks: int
    average_quality_score: float | None
    average_completion_time: float | None
    overdue_tasks: int


@router.post("/queue/create-from-order/{order_id}", status_code=201, dependencies=[VISIBLE])
async def create_from_order(shop: Shop, metadata: Authored, order_id: PathId) -> list[TaskOut]:
    """The tasks of an order, which are created if there are none yet."""
    numbers = await order.create_tasks(shop, order_id, metadata)
    await await_writes(shop, metadata.tenant, "task")
    created = read_models.TASK.c.task_id.in_(numbers)
    return (await page(shop, metadata.tenant, created, Slice(len(numbers), 0))).items


@router.post("/queue/get-next-task/{florist_id}", status_code=201, dependencies=[VISIBLE])
async def get_next_task(shop: Shop, metadata: Authored, florist_id: PathId) -> TaskOut | None:
    """Give the first pending task to a florist; null if there is none, or the florist has one."""
    task_id = await queue.next_task(shop, florist_id, metadata)
    return None if task_id is None else await fresh(shop, metadata.tenant, task_id)


@router.post("/queue/distribute", status_code=201, dependencies=[VISIBLE])
async def distribute(shop: Shop, metadata: Authored) -> Distributed:
    """Give pending tasks to the idle florists, one to each."""
    given, total = await queue.distribute(shop, metadata)
    return Distributed(distributed=given, skipped=total - given, total_pending=total)


@router.post("/queue/check-overdue", status_code=201, dependencies=[VISIBLE])
async def check_overdue(shop: Shop, metadata: Authored) -> Updated:
    """Make the tasks urgent whose deadline has passed."""
    return Updated(updated_tasks=await queue.raise_overdue(shop, metadata))


@router.get("/queue/stats")
async def statistics(shop: Shop, caller: Caller) -> QueueStatistics:
    """How many tasks there are."""
    counted = await read_models.statistics(shop.reading, caller.tenant, shop.clock())
    return QueueStatistics(**counted)


@router.get("/queue/workload")
async def workload(shop: Shop, caller: Caller) -> dict[int, Workload]:
    """What each active florist has to do, by the florist's id."""
    return {one.number: load for one, load in await _loads(shop, caller.tenant)}


@router.get("/florists")
async def list_florists(shop: Shop, caller: Caller) -> Page[FloristOut]:
    """The active florists of the shop."""
    items = [
        FloristOut(
            id=one.number,
            name=one.name,
            status="busy" if load.active_tasks else "available",
            current_tasks=load.active_tasks,
        )
        for one, load in await _loads(shop, caller.tenant)
    ]
    return Page(items=items, total=len(items))


@router.get("/florists/{florist_id}/stats")
async def florist_statistics(shop: Shop, caller: Caller, florist_id: PathId) -> FloristStatistics:
    """All that a florist had to do."""
    directory = await shop.directories.names(caller.tenant)
    counted = await read_models.florist_statistics(
        shop.reading, caller.tenant, florist_id, shop.clock()
    )
    # A florist who left has tasks; while the gateway is away no member is known.
    if directory.staff and not counted["total_tasks"] and not directory.by_number(florist_id):
        raise FloristUnknown
    return FloristStatistics(florist_id=florist_id, **counted)


async def _loads(shop: ApiContext, tenant: str) -> list[tuple[Member, Workload]]:
    """What each active florist has to do."""
    zone = shop.settings.zone
    midnight = datetime.combine(shop.clock().astimezone(zone).date(), time.min, zone)
    florists = (await shop.directories.names(tenant)).florists()
    loads = await read_models.loads(shop.reading, tenant, midnight.astimezone(UTC))
    return [(one, Workload(**dict(loads.get(one.number, {})))) for one in florists]
