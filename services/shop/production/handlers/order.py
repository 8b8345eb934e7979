"""What an order means for tasks: a paid one needs them, an assembled or cancelled one closes them.

The tasks of an order are created together with a claim, so that however often and by whom they are
created, there are no two sets. A cancelled order gives the claim back: when it is put back and paid
there are new tasks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from contracts.envelope import Sealed
from contracts.shop import TaskDetails
from libs.errors import Refused
from libs.eventsourcing.claims import CLAIM, ClaimKey, ReleaseKey, Taken, claim_id, owner_of
from libs.eventsourcing.execute_many import Aggregate, States, execute_many
from libs.eventsourcing.log import Metadata
from libs.http.paging import Slice
from services.shop.context import Context, authorship
from services.shop.orders.domain.decisions import ORDER
from services.shop.orders.domain.order import Order
from services.shop.orders.domain.status import Status as OrderStatus
from services.shop.production.domain.decisions import TASK, CancelTask, CloseTask, CreateTask
from services.shop.production.domain.planning import first_comment, minutes_of, plan, priority_of
from services.shop.production.handlers.task import carry_out, new_task
from services.shop.production.read_models import FILTERS, OPEN, TASKS

MOST_TASKS: Final = 500
"""The most open tasks of an order that are read."""


class NothingToMake(Refused):
    """Заказ в этом статусе не требует производства"""


async def create_tasks(context: Context, order_id: int, metadata: Metadata) -> list[int]:
    """Create the tasks of an order that is new or paid; their ids, also if they exist already.

    Safe to repeat and in parallel. Raises OrderUnknown, NothingToMake, Unavailable.
    """
    claim = _claim(order_id)
    if (owner := await owner_of(context.store, metadata.tenant, claim)) is not None:
        return _numbers(owner)
    order, comment = await _load(context, metadata.tenant, order_id)
    if order.status not in (OrderStatus.NEW, OrderStatus.PAID):
        raise NothingToMake
    commands = await _commands(context, order, comment, metadata)
    if not commands:
        return []
    numbers = " ".join(str(one.task_id) for one in commands)

    def decide(states: States) -> Mapping[str, Sequence[Any]]:
        claimed = CLAIM.decide(states.of(CLAIM, claim), ClaimKey(numbers))
        tasks = {
            TASK.stream(one.task_id): TASK.decide(states.of(TASK, one.task_id), one)
            for one in commands
        }
        return {CLAIM.stream(claim): claimed, **tasks}

    aggregates: list[Aggregate] = [(CLAIM, claim), *((TASK, one.task_id) for one in commands)]
    try:
        await execute_many(context.store, aggregates, decide, metadata=metadata)
    except Taken as taken:
        return _numbers(taken.owner)
    return _numbers(numbers)


async def follow(context: Context, order_id: int, metadata: Metadata) -> None:
    """Create or close the tasks of an order by the state it is in now. Safe to repeat.

    Raises Unavailable.
    """
    order, _ = await _load(context, metadata.tenant, order_id)
    author = authorship(context, metadata)
    match order.status:
        case OrderStatus.NEW:
            return
        case OrderStatus.PAID:
            await create_tasks(context, order_id, metadata)
        case OrderStatus.ISSUE:
            owner = await owner_of(context.store, metadata.tenant, _claim(order_id))
            cancel = CancelTask(if_open=True, **author)
            await _close(context, order_id, owner, cancel, metadata)
            await _release(context, _claim(order_id), owner or "", metadata)
        case _:
            owner = await owner_of(context.store, metadata.tenant, _claim(order_id))
            await _close(context, order_id, owner, CloseTask(**author), metadata)


async def _close(
    context: Context,
    order_id: int,
    owner: str | None,
    command: CancelTask | CloseTask,
    metadata: Metadata,
) -> None:
    """Carry out a command of the tasks of the claim, and of open ones created by hand."""
    opened = FILTERS.where({"order_id": order_id}) & OPEN
    tasks, _ = await TASKS.page(context.system, metadata.tenant, opened, Slice(MOST_TASKS, 0))
    for task_id in sorted({*_numbers(owner), *(task.task_id for task in tasks)}):
        await carry_out(context, task_id, command, metadata)


async def _commands(
    context: Context, order: Order, comment: Sealed | None, metadata: Metadata
) -> list[CreateTask]:
    now, deadline = context.clock(), order.placed.delivery_from
    return [
        await new_task(
            context,
            order.order_id,
            task_type,
            TaskDetails(
                priority=priority_of(deadline, now),
                estimated_minutes=minutes_of(task_type, lines),
                deadline=deadline,
                instructions=comment,
            ),
            [(line.item_id, line.quantity) for line in lines],
            metadata,
        )
        for task_type, lines in plan(order.lines).items()
    ]


async def _release(context: Context, claim: str, owner: str, metadata: Metadata) -> None:
    def decide(states: States) -> Mapping[str, Sequence[Any]]:
        return {CLAIM.stream(claim): CLAIM.decide(states.of(CLAIM, claim), ReleaseKey(owner))}

    await execute_many(context.store, [(CLAIM, claim)], decide, metadata=metadata)


async def _load(context: Context, tenant: str, order_id: int) -> tuple[Order, Sealed | None]:
    """An order by the log, and its first comment. Raises OrderUnknown, LogUnavailable."""
    history = await context.store.read(tenant, ORDER.stream(order_id))
    order = ORDER.state_after(history.events)
    _ = order.placed
    return order, first_comment(history.events)


def _numbers(owner: str | None) -> list[int]:
    return [int(number) for number in (owner or "").split()]


def _claim(order_id: int) -> str:
    return claim_id("order-tasks", str(order_id))
