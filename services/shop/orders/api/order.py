"""Orders: listed, placed, edited, moved (spec shop §4.1)."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Query

from libs.errors import Unfit
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import Connection, tenant_transaction
from services.shop.context import (
    CUSTOMERS,
    ORDERS,
    ApiContext,
    PathId,
    Shop,
    authorship,
    await_writes,
)
from services.shop.customers import read_models as customers
from services.shop.customers.domain.person import CustomerUnknown
from services.shop.orders.api.bodies import (
    Cancellation,
    Florist,
    Issue,
    ItemQuantity,
    ItemsOrder,
    NewOrderBody,
    OrderItem,
    OrderUpdate,
    PlainOrder,
    PlainText,
    Recipient,
    Rollback,
    StatusUpdate,
    utc,
)
from services.shop.orders.api.presenters import (
    Detail,
    Line,
    Order,
    OrderDetail,
    OrderWithItems,
    detail_of,
    lines_of,
    order_of,
    with_items,
)
from services.shop.orders.domain.commands import (
    AssignFlorist,
    CancelOrder,
    ChangeLine,
    MoveForward,
    OrderCommand,
    ReportIssue,
    RollBack,
)
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.decisions import OrderItemUnknown
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.domain.status import Status
from services.shop.orders.handlers import order as handler
from services.shop.orders.handlers.execution import carry_out, load
from services.shop.orders.handlers.order import NewOrder, check_florist
from services.shop.orders.handlers.sealing import seal
from services.shop.orders.read_models import queries
from services.shop.orders.read_models.queries import OrderRow

router = APIRouter(tags=["orders"])

Caller = Annotated[Principal, Depends(ORDERS)]
Authored = Annotated[Metadata, metadata_of(ORDERS)]
VISIBLE: Final = visible("orders", "customer", "warehouse_item", "stock_movement")
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
OrderStatus = Literal["all"] | Status
CLEARABLE: Final = ("recipient_phone", "recipient_name", "address")
"""The fields that staff may leave without a value."""


class WrongTotal(Unfit):
    """Сумма заказа не сходится: total должен быть равен flower_sum + delivery_fee"""


class BadDate(Unfit):
    """Дата не распознана"""


class FloristMissing(Unfit):
    """Не указан флорист"""


@router.get("/api/orders/")
async def list_orders(
    shop: Shop,
    caller: Caller,
    page: Annotated[Slice, by_skip(limit=20, most=100, numbered=True)],
    status: OrderStatus = "all",
    search: Annotated[PlainText, Query(max_length=100)] = "",
    first: Annotated[str, Query(alias="dateFrom", max_length=40)] = "",
    last: Annotated[str, Query(alias="dateTo", max_length=40)] = "",
) -> Page[Order]:
    """Orders of the shop, the newest first. A date means the whole day in the shop's zone."""
    created = _moment(shop, first, ends=False), _moment(shop, last, ends=True)
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows, total = await queries.page(
            connection,
            limit=page.limit,
            offset=page.offset,
            status=None if status == "all" else status,
            search=search or None,
            created=created,
        )
    return Page(items=[order_of(row) for row in rows], total=total)


@router.get("/api/customers/{customer_id}/orders")
async def of_customer(
    shop: Shop,
    caller: Annotated[Principal, Depends(CUSTOMERS)],
    customer_id: PathId,
    page: Annotated[Slice, by_skip(limit=100, most=1000)],
) -> list[Order]:
    """The orders of a customer, the newest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        ids = await customers.ids_of(connection, customer_id)
        if not ids:
            raise CustomerUnknown
        rows, _ = await queries.page(
            connection, limit=page.limit, offset=page.offset, customer_ids=ids
        )
    return [order_of(row) for row in rows]


@router.post("/api/orders/", status_code=201, dependencies=[VISIBLE])
async def create(
    shop: Shop, caller: Caller, metadata: Authored, body: PlainOrder, key: Key = None
) -> Order:
    """Place an order with a sum instead of products."""
    if body.total != body.flower_sum + body.delivery_fee:
        raise WrongTotal
    same = ("source", "flower_sum", "address_needs_clarification", "payment_method")
    more = {name: getattr(body, name) for name in same}
    order_id = await handler.create(shop, _new(shop, body, key, items=(), **more), metadata)
    return order_of(await _fresh(shop, caller, order_id))


@router.post("/api/orders/with-items", status_code=201, dependencies=[VISIBLE])
async def create_with_items(
    shop: Shop, caller: Caller, metadata: Authored, body: ItemsOrder, key: Key = None
) -> OrderWithItems:
    """Place an order of products at the shop's prices, and reserve its stock: all or nothing."""
    items = [(item.product_id, item.quantity) for item in body.items]
    new = _new(shop, body, key, items=items, source="crm")
    row = await _fresh(shop, caller, await handler.create(shop, new, metadata))
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        customer = await customers.find(connection, row["customer_id"])
    return with_items(row, customer, await shop.directories.names(caller.tenant))


@router.get("/api/orders/{order_id}")
async def read(shop: Shop, caller: Caller, order_id: PathId) -> OrderDetail:
    """An order with its lines, comments, and all that happened to it."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        row = await _existing(connection, order_id)
        customer = await customers.find(connection, row["customer_id"])
        history = await queries.history(connection, order_id)
        comments, _ = await queries.comments(connection, order_id)
    directory = await shop.directories.names(caller.tenant)
    return detail_of(row, customer, directory, history, comments)


@router.patch("/api/orders/{order_id}", dependencies=[VISIBLE])
async def update(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: OrderUpdate
) -> Order:
    """Replace fields of an order. Money is not changed here."""
    given = body.model_dump(exclude_unset=True)
    window = _window(shop, body) if "delivery_window" in given else {}
    changes = {
        name: value
        for name, value in given.items()
        if name != "delivery_window" and (value not in (None, "") or name in CLEARABLE)
    }
    if body.payment_date is not None:
        changes["payment_date"] = utc(body.payment_date, shop.settings.zone)
    await handler.edit(shop, order_id, {**changes, **window}, metadata)
    return order_of(await _fresh(shop, caller, order_id))


@router.patch("/api/orders/{order_id}/status", dependencies=[VISIBLE])
async def move(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: StatusUpdate
) -> Order:
    """Go to the next state; 409 names the states that may follow."""
    note = await _note(shop, order_id, body.comment, metadata)
    return await _changed(shop, order_id, MoveForward(status=body.status, **note), metadata)


@router.patch("/api/orders/{order_id}/issue", dependencies=[VISIBLE])
async def report_issue(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: Issue
) -> Order:
    """Report that something went wrong; reserved stock is released."""
    note = await _note(shop, order_id, body.comment, metadata)
    command = ReportIssue(issue_type=body.issue_type, **note)
    return await _changed(shop, order_id, command, metadata)


@router.post("/api/orders/{order_id}/rollback-status", dependencies=[VISIBLE])
async def roll_back(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: Rollback
) -> Order:
    """Go back to an earlier state, and undo what the later ones did; 400 names those there are."""
    note = await _note(shop, order_id, body.reason, metadata)
    return await _changed(shop, order_id, RollBack(status=body.target_status, **note), metadata)


@router.post("/api/orders/{order_id}/cancel", dependencies=[VISIBLE])
async def cancel(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: Cancellation
) -> Order:
    """Cancel an order that has not left the shop, and release its stock; else 400."""
    note = await _note(shop, order_id, body.cancellation_reason, metadata)
    return await _changed(shop, order_id, CancelOrder(**note), metadata)


@router.post("/api/orders/{order_id}/assign-florist", dependencies=[VISIBLE])
async def assign_florist(
    shop: Shop,
    caller: Caller,
    metadata: Authored,
    order_id: PathId,
    body: Florist | None = None,
    florist_id: int | None = None,
) -> Detail:
    """Assign a florist, given in the query or in the body; 404 unknown, 400 no florist."""
    florist = florist_id if body is None else body.florist_id
    if florist is None:
        raise FloristMissing
    await load(shop, caller.tenant, order_id)
    await check_florist(shop, caller.tenant, florist)
    command = AssignFlorist(florist=florist, **authorship(shop, metadata))
    await carry_out(shop, order_id, command, metadata)
    return Detail(detail="Флорист назначен")


@router.get("/api/orders/{order_id}/items")
async def list_items(shop: Shop, caller: Caller, order_id: PathId) -> list[Line]:
    """The lines of an order."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return lines_of(await _existing(connection, order_id))


@router.post("/api/orders/{order_id}/items", status_code=201, dependencies=[VISIBLE])
async def add_item(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: OrderItem
) -> Line:
    """Add a product at its present price, and reserve its stock."""
    item_id = await handler.add_item(shop, order_id, body.product_id, body.quantity, metadata)
    return await _line(shop, caller, order_id, item_id)


@router.patch("/api/orders/{order_id}/items/{item_id}", dependencies=[VISIBLE])
async def change_item(
    shop: Shop,
    caller: Caller,
    metadata: Authored,
    order_id: PathId,
    item_id: PathId,
    body: ItemQuantity,
) -> Line:
    """Change the quantity of a line, and its reservation."""
    wanted = {"item_id": item_id, "quantity": body.quantity}
    await carry_out(shop, order_id, ChangeLine(**wanted, **authorship(shop, metadata)), metadata)
    return await _line(shop, caller, order_id, item_id)


@router.delete("/api/orders/{order_id}/items/{item_id}", dependencies=[VISIBLE])
async def remove_item(
    shop: Shop, _: Caller, metadata: Authored, order_id: PathId, item_id: PathId
) -> Detail:
    """Remove a line, and release its reservation."""
    command = ChangeLine(item_id=item_id, quantity=0, **authorship(shop, metadata))
    await carry_out(shop, order_id, command, metadata)
    return Detail(detail="Позиция удалена")


async def _note(
    shop: ApiContext, order_id: int, text: str | None, metadata: Metadata
) -> dict[str, Any]:
    """The fields that all moves have."""
    comment = await seal(shop, metadata.tenant, order_id, text)
    return {"comment": comment, **authorship(shop, metadata)}


async def _changed(
    shop: ApiContext, order_id: int, command: OrderCommand, metadata: Metadata
) -> Order:
    await carry_out(shop, order_id, command, metadata)
    return order_of(await _fresh(shop, metadata, order_id))


async def _line(shop: ApiContext, caller: Principal, order_id: int, item_id: int) -> Line:
    lines = lines_of(await _fresh(shop, caller, order_id))
    if (line := next((one for one in lines if one.id == item_id), None)) is None:
        raise OrderItemUnknown
    return line


async def _existing(connection: Connection, order_id: int) -> OrderRow:
    row = await queries.find(connection, order_id)
    if row is None:
        raise OrderUnknown
    return row


async def _fresh(shop: ApiContext, caller: Principal | Metadata, order_id: int) -> OrderRow:
    """An order with what this request wrote, or found written. Raises OrderUnknown."""
    await await_writes(shop, caller.tenant, "orders")
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return await _existing(connection, order_id)


def _new(shop: ApiContext, body: NewOrderBody, key: str | None, **more: Any) -> NewOrder:
    return NewOrder(
        contact=Contact(
            customer_phone=body.customer_phone,
            recipient_phone=body.recipient_phone,
            recipient_name=body.recipient_name,
            address=body.address,
        ),
        method=body.delivery_method,
        delivery_fee=body.delivery_fee,
        comment=body.comment,
        keys=() if key is None else (key,),
        **_window(shop, body),
        **more,
    )


def _window(shop: ApiContext, body: Recipient) -> Mapping[str, Any]:
    window = body.delivery_window
    first, last = window.in_zone(shop.settings.zone) if window else (None, None)
    return {"delivery_from": first, "delivery_to": last}


def _moment(shop: ApiContext, text: str, *, ends: bool) -> datetime | None:
    """A bound of a list: a date is its first or last moment in the shop's zone. Raises BadDate."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadDate from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=shop.settings.zone)
    is_day = len(text) <= len("2026-03-08")
    if is_day and ends and moment.timetz().replace(tzinfo=None) == time.min:
        moment += timedelta(days=1) - timedelta(microseconds=1)
    return moment
