"""The WebSockets of the staff's pages (spec shop §4.8).

A browser gives its token as `?token=…` to the gateway. A socket for another shop than that of the
token is closed with 1008. After a reconnect `?last_event_id=…` brings what was missed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, WebSocket
from prometheus_client import Gauge

from libs.errors import Refused
from libs.http.auth import Principal
from libs.http.live_messages import Complete, Group, LiveMessage
from libs.http.metadata import request_metadata
from libs.http.paging import Slice
from libs.http.sockets import Handler, Sockets, refuse
from libs.postgres.pool import tenant_transaction
from services.shop.context import ORDERS, PRODUCTION, ApiContext, Shop, shop_number
from services.shop.live import read_models
from services.shop.orders.api.presenters import order_of
from services.shop.orders.read_models import queries as orders
from services.shop.production.domain.task import TaskStatus
from services.shop.production.handlers import task as handler
from services.shop.production.read_models import TASKS

router = APIRouter(tags=["live"])

STREAMS: Final = Gauge("shop_sockets", "Pages of the staff that receive live messages")


class BadTaskUpdate(Refused):
    """Укажите task_id и status"""


@router.websocket("/ws/orders/{shop_id}")
async def listen_to_orders(
    socket: WebSocket, shop: Shop, shop_id: int, caller: Annotated[Principal, Depends(ORDERS)]
) -> None:
    """Orders that are placed, changed and moved."""
    await _serve(socket, shop_id, caller, read_models.ORDERS, partial(with_orders, shop))


@router.websocket("/ws/production/{shop_id}")
async def listen_to_production(
    socket: WebSocket, shop: Shop, shop_id: int, caller: Annotated[Principal, Depends(PRODUCTION)]
) -> None:
    """Tasks that are assigned, changed and completed; `task_update` moves one by one step."""
    update = partial(update_task, shop, socket, caller)
    complete = partial(with_tasks, shop)
    await _serve(socket, shop_id, caller, read_models.PRODUCTION, complete, {"task_update": update})


async def with_orders(
    shop: ApiContext, tenant: str, messages: Sequence[LiveMessage]
) -> Sequence[LiveMessage]:
    """Adds the orders as they are now; one that cannot be read yet has its id only."""
    ids = {one.data["id"] for one in messages if "id" in one.data}
    if not ids:
        return messages
    await shop.consistency.caught_up("orders", tenant)
    async with tenant_transaction(shop.reading, tenant) as connection:
        rows = await orders.find_many(connection, sorted(ids))
    data = {row["order_id"]: order_of(row).model_dump(mode="json") for row in rows}
    return [replace(one, data={**one.data, **data.get(one.data.get("id"), {})}) for one in messages]


async def with_tasks(
    shop: ApiContext, tenant: str, messages: Sequence[LiveMessage]
) -> Sequence[LiveMessage]:
    """Adds the numbers of the members, and the states of tasks that an event did not move."""
    states: Mapping[int, str] = {}
    if unmoved := {one.data["task_id"] for one in messages if one.data["status"] is None}:
        await shop.consistency.caught_up("task", tenant)
        wanted, part = TASKS.table.c.task_id.in_(sorted(unmoved)), Slice(len(unmoved), 0)
        tasks, _ = await TASKS.page(shop.reading, tenant, wanted, part)
        states = {task.task_id: task.status for task in tasks}
    directory = await shop.directories.names(tenant)

    def completed(data: Mapping[str, Any]) -> Mapping[str, Any]:
        member = directory.by_account(data["updated_by"]) if data["updated_by"] else None
        return {
            **data,
            "status": data["status"] or states.get(data["task_id"]),
            "updated_by": member.number if member else None,
        }

    return [replace(one, data=completed(one.data)) for one in messages]


async def update_task(
    shop: ApiContext, socket: WebSocket, caller: Principal, message: Mapping[str, Any]
) -> None:
    """Move a task by one step; all sockets hear of it. Raises what `task.update` raises."""
    match message:
        case {"task_id": int(task_id), "status": str(status)} if status in [*TaskStatus]:
            metadata = request_metadata(socket, caller)
            await handler.update(shop, task_id, {"status": status}, metadata)
        case _:
            raise BadTaskUpdate


async def _serve(
    socket: WebSocket,
    shop_id: int,
    caller: Principal,
    kind: str,
    complete: Complete,
    handlers: Mapping[str, Handler] | None = None,
) -> None:
    if shop_number(caller.tenant) != shop_id:
        await refuse(socket)
        return
    sockets: Sockets = socket.app.state.sockets
    group = Group(kind, caller.tenant, complete)
    await sockets.serve(socket, group, caller, hello={"shop_id": shop_id}, handlers=handlers)
