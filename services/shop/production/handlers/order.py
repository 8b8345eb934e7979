"""What an order means for tasks: a paid one needs them, an assembled or cancelled one ends them.

The tasks of an order are created together with a claim, so that however often and by whom they are
created, there are no two sets. A cancelled order gives the claim back: when it is put back and paid
there are new tasks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.envelope import Sealed
from contracts.shop import TaskDetails, TaskItem
from libs.errors import Refused
from libs.eventsourcing.claims import CLAIM, ClaimKey, ReleaseKey, claim_id, owner_of
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from libs.postgres.pool import tenant_transaction
from services.shop.context import Context
from services.shop.orders.domain.decisions import ORDER
from services.shop.orders.domain.order import Order
from services.shop.orders.domain.status import Status as OrderStatus
from services.shop.production.domain.decisions import TASK, CancelTask, CloseTask, CreateTask
from services.shop.production.domain.planning import PlannedTask, first_comment, plan, priority_of
from services.shop.production.handlers.execution import carry_out
from services.shop.production.handlers.task import ITEM_IDS, TASK_IDS
from services.shop.production.read_models import queries

MADE: Final = frozenset(
    {
        OrderStatus.ASSEMBLED,
        OrderStatus.DELIVERY,
        OrderStatus.SELF_PICKUP,
        OrderStatus.DELIVERED,
        OrderStatus.COMPLETED,
    }
)
"""The states of an order whose flowers are ready."""


class NothingToMake(Refused):
    """Заказ в этом статусе не требует производства"""


async def create_tasks(context: Context, order_id: int, metadata: Metadata) -> list[int]:
    """Create the tasks of an order that is new or paid; their ids, also if they exist already.

    Safe to repeat and in parallel. Raises OrderUnknown, NothingToMake, Unavailable.
    """
    claim = _claim(order_id)
    owner = await owner_of(context.store, metadata.tenant, claim)
    if owner is None:
        order, comment = await _load(context, metadata.tenant, order_id)
        if order.status not in (OrderStatus.NEW, OrderStatus.PAID):
            raise NothingToMake
        commands = await _commands(context, order, comment, metadata)
        if not commands:
            return []
        await _create(context, claim, commands, metadata)
        owner = await owner_of(context.store, metadata.tenant, claim)
    return _numbers(owner)


async def follow(context: Context, order_id: int, metadata: Metadata) -> None:
    """Create or end the tasks of an order by the state it is in now. Safe to repeat.

    Raises Unavailable.
    """
    order, _ = await _load(context, metadata.tenant, order_id)
    by, now = metadata.actor or "", context.clock()
    if order.status == OrderStatus.PAID:
        await create_tasks(context, order_id, metadata)
    elif order.status in MADE:
        for task_id in await _open_tasks(context, order_id, metadata.tenant):
            await carry_out(context, task_id, CloseTask(by=by, now=now), metadata)
    elif order.status == OrderStatus.ISSUE:
        for task_id in await _open_tasks(context, order_id, metadata.tenant):
            cancel = CancelTask(by=by, now=now, if_open=True)
            await carry_out(context, task_id, cancel, metadata)
        await _release(context, _claim(order_id), metadata)


async def _commands(
    context: Context, order: Order, comment: Sealed | None, metadata: Metadata
) -> list[CreateTask]:
    planned = plan(order.lines)
    numbers = await TASK_IDS.several(context.system, len(planned))
    now, deadline = context.clock(), order.placed.delivery_from
    return [
        CreateTask(
            task_id=number,
            order_id=order.order_id,
            task_type=one.task_type,
            details=TaskDetails(
                priority=priority_of(deadline, now),
                estimated_minutes=one.minutes,
                deadline=deadline,
                instructions=comment,
            ),
            items=await _items(context, one),
            by=metadata.actor or "",
            now=now,
        )
        for number, one in zip(numbers, planned, strict=True)
    ]


async def _items(context: Context, planned: PlannedTask) -> tuple[TaskItem, ...]:
    numbers = await ITEM_IDS.several(context.system, len(planned.lines))
    return tuple(
        TaskItem(item_id=number, order_item_id=line.item_id, quantity=line.quantity)
        for number, line in zip(numbers, planned.lines, strict=True)
    )


async def _create(
    context: Context, claim: str, commands: Sequence[CreateTask], metadata: Metadata
) -> None:
    """Append the tasks with their claim; nothing if the claim has an owner."""
    aggregates: list[Aggregate] = [(TASK, one.task_id) for one in commands]
    owner = " ".join(str(one.task_id) for one in commands)

    def decide(states: States) -> Mapping[str, Sequence[Any]]:
        if states.of(CLAIM, claim) is not None:
            return {}
        tasks = {
            TASK.stream(one.task_id): TASK.decide(states.of(TASK, one.task_id), one)
            for one in commands
        }
        return {CLAIM.stream(claim): CLAIM.decide(None, ClaimKey(owner)), **tasks}

    await execute_many(context.store, [(CLAIM, claim), *aggregates], decide, metadata=metadata)


async def _release(context: Context, claim: str, metadata: Metadata) -> None:
    def decide(states: States) -> Mapping[str, Sequence[Any]]:
        owner = states.of(CLAIM, claim)
        return {
            CLAIM.stream(claim): [] if owner is None else CLAIM.decide(owner, ReleaseKey(owner))
        }

    await execute_many(context.store, [(CLAIM, claim)], decide, metadata=metadata)


async def _open_tasks(context: Context, order_id: int, tenant: str) -> list[int]:
    """The tasks that may be open: those of the claim, and those created by hand."""
    owner = await owner_of(context.store, tenant, _claim(order_id))
    async with tenant_transaction(context.system, tenant) as connection:
        created = await queries.open_tasks_of(connection, tenant, order_id)
    return sorted({*_numbers(owner), *created})


async def _load(context: Context, tenant: str, order_id: int) -> tuple[Order, Sealed | None]:
    """An order by the log, and its first comment. Raises OrderUnknown, LogUnavailable."""
    history = await context.store.read(tenant, ORDER.stream(order_id))
    order = ORDER.state_after(history.events)
    _ = order.placed
    return order, first_comment(history.events)


def _numbers(owner: str | None) -> list[int]:
    return [int(number) for number in owner.split()] if owner else []


def _claim(order_id: int) -> str:
    return claim_id("order-tasks", str(order_id))
