"""What has just happened to orders and tasks (spec shop §4.8).

Stored are ids and states. What a message says of persons is read when it is sent: see `api.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    OrderAddressChanged,
    OrderCancelled,
    OrderCommentAdded,
    OrderEdited,
    OrderFloristAssigned,
    OrderIssueReported,
    OrderLinesChanged,
    OrderPaymentReceived,
    OrderPhotoAdded,
    OrderPhotoRated,
    OrderPlaced,
    OrderRolledBack,
    OrderStatusChanged,
    ShopEvent,
    TaskApproved,
    TaskAssigned,
    TaskCancelled,
    TaskClosed,
    TaskCompleted,
    TaskCreated,
    TaskEdited,
    TaskItemChanged,
    TaskRejected,
    TaskStarted,
)
from libs.eventsourcing.codec import codec_of
from libs.http.live_messages import NewMessage, live_messages, pruning
from libs.process.periodic import Periodic
from libs.projections.projection import Projection
from services.shop.context import Context
from services.shop.orders.domain.status import Status as OrderStatus
from services.shop.production.domain.task import TaskStatus

ORDERS: Final = "orders"
PRODUCTION: Final = "production"
"""The kinds of messages: who listens to one does not receive the other."""

TASK_STATES: Final[Mapping[type[Any], TaskStatus | None]] = {
    TaskCreated: TaskStatus.PENDING,
    TaskAssigned: TaskStatus.ASSIGNED,
    TaskStarted: TaskStatus.IN_PROGRESS,
    TaskCompleted: TaskStatus.QUALITY_CHECK,
    TaskRejected: TaskStatus.IN_PROGRESS,
    TaskApproved: TaskStatus.COMPLETED,
    TaskClosed: TaskStatus.COMPLETED,
    TaskCancelled: TaskStatus.CANCELLED,
    TaskEdited: None,
    TaskItemChanged: None,
}
"""The state of a task after an event; None if it is what it was."""
TASK_TYPES: Final = {TaskStatus.ASSIGNED: "task_assigned", TaskStatus.COMPLETED: "task_completed"}


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return live_messages(announce, codec=codec_of(shop.EVENTS), topics=(shop.ORDERS, shop.TASKS))


def announce(envelope: Envelope[ShopEvent]) -> Iterator[NewMessage]:
    """The messages of an event: one or none."""
    if type(envelope.event) in TASK_STATES:
        yield _task(envelope)
    elif (message := _order(envelope.event)) is not None:
        yield NewMessage(ORDERS, *message)


def _order(event: ShopEvent) -> tuple[str, Mapping[str, Any]] | None:
    match event:
        case OrderPlaced():
            return "order_created", {"id": event.order_id}
        case OrderStatusChanged() | OrderRolledBack():
            return _moved(event.order_id, event.old_status, event.new_status)
        case OrderIssueReported() | OrderCancelled():
            return _moved(event.order_id, event.old_status, OrderStatus.ISSUE)
        case OrderPaymentReceived() if event.old_status != event.new_status:
            return _moved(event.order_id, event.old_status, event.new_status)
        case (
            OrderPaymentReceived()
            | OrderEdited()
            | OrderAddressChanged()
            | OrderLinesChanged()
            | OrderFloristAssigned()
            | OrderPhotoAdded()
            | OrderPhotoRated()
            # Of comments only those of customers: staff see their own at once.
            | OrderCommentAdded(author=None)
        ):
            return "order_updated", {"id": event.order_id}
        case _:
            return None


def _moved(order_id: int, old: str, new: str) -> tuple[str, Mapping[str, Any]]:
    return "status_changed", {"order_id": order_id, "old_status": old, "new_status": new}


def _task(envelope: Envelope[Any]) -> NewMessage:
    """`updated_by` is an account, which is replaced by the member's number when it is sent."""
    state = TASK_STATES[type(envelope.event)]
    kind = "task_updated" if state is None else TASK_TYPES.get(state, "task_updated")
    data = {"task_id": envelope.event.task_id, "status": state, "updated_by": envelope.actor}
    return NewMessage(PRODUCTION, kind, data)


def message_pruning(context: Context) -> Periodic:
    """The job that deletes old messages."""
    return pruning(context.system)
