"""The queue of tasks, and the florists who work on it (spec shop §4.6)."""

from datetime import UTC, datetime, time

from fastapi import APIRouter
from pydantic import BaseModel

from libs.postgres.pool import tenant_transaction
from services.shop.context import ApiContext, PathId, Shop, await_writes
from services.shop.orders.handlers.order import FloristUnknown
from services.shop.production.api.presenters import TaskOut, tasks_of
from services.shop.production.api.tasks import VISIBLE, Authored, Caller, fresh
from services.shop.production.handlers import order, queue
from services.shop.production.read_models import queries

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

    active_tasks: int
    completed_today: int
    estimated_minutes_remaining: int
    current_task: int | None


class FloristOut(BaseModel):
    """A florist, who is `available` or `busy`."""

    id: int
    name: str
    status: str
    current_tasks: int


class Florists(BaseModel):
    """All active florists."""

    items: list[FloristOut]
    total: int


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
async def create_from_order(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId
) -> list[TaskOut]:
    """The tasks of an order, which are created if there are none yet."""
    numbers = await order.create_tasks(shop, order_id, metadata)
    await await_writes(shop, caller.tenant, "task")
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows = await queries.find_many(connection, numbers)
        return await tasks_of(connection, rows, shop.clock())


@router.post("/queue/get-next-task/{florist_id}", status_code=201, dependencies=[VISIBLE])
async def get_next_task(
    shop: Shop, caller: Caller, metadata: Authored, florist_id: PathId
) -> TaskOut | None:
    """Give the first pending task to a florist; null if there is none, or the florist has one."""
    task_id = await queue.next_task(shop, florist_id, metadata)
    return None if task_id is None else await fresh(shop, caller, task_id)


@router.post("/queue/distribute", status_code=201, dependencies=[VISIBLE])
async def distribute(shop: Shop, _: Caller, metadata: Authored) -> Distributed:
    """Give pending tasks to the idle florists, one to each."""
    done = await queue.distribute(shop, metadata)
    return Distributed(
        distributed=done.distributed, skipped=done.skipped, total_pending=done.total_pending
    )


@router.post("/queue/check-overdue", status_code=201, dependencies=[VISIBLE])
async def check_overdue(shop: Shop, _: Caller, metadata: Authored) -> Updated:
    """Make the tasks urgent whose deadline has passed."""
    return Updated(updated_tasks=await queue.raise_overdue(shop, metadata))


@router.get("/queue/stats")
async def statistics(shop: Shop, caller: Caller) -> QueueStatistics:
    """How many tasks there are."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return QueueStatistics(**await queries.statistics(connection, shop.clock()))


@router.get("/queue/workload")
async def workload(shop: Shop, caller: Caller) -> dict[int, Workload]:
    """What each active florist has to do, by the florist's id."""
    directory = await shop.directories.names(caller.tenant)
    florists = [one.number for one in directory.florists()]
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        loads = await queries.loads(connection, florists, _today(shop))
    return {
        florist: Workload.model_validate(load, from_attributes=True)
        for florist, load in loads.items()
    }


@router.get("/florists")
async def list_florists(shop: Shop, caller: Caller) -> Florists:
    """The active florists of the shop."""
    florists = (await shop.directories.names(caller.tenant)).florists()
    numbers = [one.number for one in florists]
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        loads = await queries.loads(connection, numbers, _today(shop))
    items = [
        FloristOut(
            id=one.number,
            name=one.name,
            status="busy" if loads[one.number].active_tasks else "available",
            current_tasks=loads[one.number].active_tasks,
        )
        for one in florists
    ]
    return Florists(items=items, total=len(items))


@router.get("/florists/{florist_id}/stats")
async def florist_statistics(shop: Shop, caller: Caller, florist_id: PathId) -> FloristStatistics:
    """All that a florist had to do."""
    directory = await shop.directories.names(caller.tenant)
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        counted = await queries.florist_statistics(connection, florist_id, shop.clock())
    # A florist who left has tasks; while the gateway is away no member is known.
    if directory.staff and not counted["total_tasks"] and not directory.by_number(florist_id):
        raise FloristUnknown
    return FloristStatistics(florist_id=florist_id, **counted)


def _today(shop: ApiContext) -> datetime:
    """When the day began in the shop's zone."""
    zone = shop.settings.zone
    return datetime.combine(shop.clock().astimezone(zone).date(), time.min, zone).astimezone(UTC)
