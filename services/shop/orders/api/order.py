"""Orders: listed, placed, edited, moved (spec shop §4.1)."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Query

from libs.errors import Unavailable, Unfit
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from services.shop.context import (
    CUSTOMERS,
    ORDERS,
    ApiContext,
    PathId,
    PlainText,
    Shop,
    await_writes,
)
from services.shop.customers import read_models as customers
from services.shop.customers.domain.person import CustomerUnknown
from services.shop.orders.api import presenters
from services.shop.orders.api.bodies import (
    Cancellation,
    Florist,
    Issue,
    ItemQuantity,
    ItemsOrder,
    OrderItem,
    OrderUpdate,
    PlainOrder,
    Rollback,
    StatusUpdate,
)
from services.shop.orders.api.presenters import Detail, Line, Order, OrderDetail, Orders
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.domain.status import Status
from services.shop.orders.handlers import items
from services.shop.orders.handlers import order as handler
from services.shop.orders.handlers.order import NewOrder
from services.shop.orders.read_models import queries

router = APIRouter(tags=["orders"])

Caller = Annotated[Principal, Depends(ORDERS)]
Authored = Annotated[Metadata, metadata_of(ORDERS)]
VISIBLE: Final = visible("orders", "customer", "warehouse_item", "stock_movement")
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
OrderStatus = Literal["all"] | Status


class WrongTotal(Unfit):
    """Сумма заказа не сходится: total должен быть равен flower_sum + delivery_fee"""


class BadDate(Unfit):
    """Дата не распознана"""


@router.get("/api/orders/")
async def list_orders(
    shop: Shop,
    caller: Caller,
    page: Annotated[Slice, by_skip(limit=20, most=100, numbered=True)],
    status: OrderStatus = "all",
    search: Annotated[PlainText, Query(max_length=100)] = "",
    first: Annotated[str, Query(alias="dateFrom", max_length=40)] = "",
    last: Annotated[str, Query(alias="dateTo", max_length=40)] = "",
) -> Orders:
    """Orders of the shop, the newest first. A date means the whole day in the shop's zone."""
    created = _moment(shop, first, ends=False), _moment(shop, last, ends=True)
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        rows, total = await queries.page(
            connection,
            limit=page.limit,
            offset=page.offset,
            status=None if status == "all" else status,
            search=search,
            created=created,
        )
    return Orders(items=[presenters.order_of(row) for row in rows], total=total)


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
    return [presenters.order_of(row) for row in rows]


@router.post("/api/orders/", status_code=201, dependencies=[VISIBLE])
async def create(
    shop: Shop, caller: Caller, metadata: Authored, body: PlainOrder, key: Key = None
) -> Order:
    """Place an order with a sum instead of products."""
    if body.total != body.flower_sum + body.delivery_fee:
        raise WrongTotal
    new = NewOrder(
        contact=_contact(body),
        method=body.delivery_method,
        items=(),
        source=body.source,
        delivery_fee=body.delivery_fee,
        flower_sum=body.flower_sum,
        address_needs_clarification=body.address_needs_clarification,
        payment_method=body.payment_method,
        comment=body.comment,
        keys=() if key is None else (key,),
        **_window(shop, body),
    )
    order_id = await handler.create(shop, new, metadata)
    return presenters.order_of(await _fresh(shop, caller, order_id))


@router.post("/api/orders/with-items", status_code=201, dependencies=[VISIBLE])
async def create_with_items(
    shop: Shop, caller: Caller, metadata: Authored, body: ItemsOrder, key: Key = None
) -> presenters.OrderWithItems:
    """Place an order of products at the shop's prices, and reserve its stock: all or nothing."""
    new = NewOrder(
        contact=_contact(body),
        method=body.delivery_method,
        items=[(item.product_id, item.quantity) for item in body.items],
        source="crm",
        delivery_fee=body.delivery_fee,
        comment=body.comment,
        keys=() if key is None else (key,),
        **_window(shop, body),
    )
    order_id = await handler.create(shop, new, metadata)
    row = await _fresh(shop, caller, order_id)
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        customer = await customers.find(connection, row["customer_id"])
    return presenters.with_items(row, customer, await shop.directories.names(caller.tenant))


@router.get("/api/orders/{order_id}")
async def read(shop: Shop, caller: Caller, order_id: PathId) -> OrderDetail:
    """An order with its lines, comments, and all that happened to it."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        row = await _existing(connection, order_id)
        customer = await customers.find(connection, row["customer_id"])
        history = await queries.history(connection, order_id)
        comments, _ = await queries.comments(connection, order_id)
    directory = await shop.directories.names(caller.tenant)
    return presenters.detail_of(row, customer, directory, history, comments)


@router.patch("/api/orders/{order_id}", dependencies=[VISIBLE])
async def update(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: OrderUpdate
) -> Order:
    """Replace fields of an order. Money is not changed here."""
    given = body.model_dump(exclude_unset=True)
    contact: dict[str, Any] = {
        name: given[name]
        for name in ("customer_phone", "recipient_phone", "recipient_name", "address")
        if name in given and (name != "customer_phone" or given[name])
    }
    names = ("delivery_method", "address_needs_clarification", "payment_method", "payment_date")
    details = {name: given[name] for name in names if given.get(name) is not None}
    if "delivery_window" in given:
        details |= _window(shop, body)
    await handler.edit(shop, order_id, contact, details, metadata)
    return presenters.order_of(await _fresh(shop, caller, order_id))


@router.patch("/api/orders/{order_id}/status", dependencies=[VISIBLE])
async def move(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: StatusUpdate
) -> Order:
    """Go to the next state; 409 names the states that may follow."""
    await handler.move(shop, order_id, body.status, body.comment, metadata)
    return presenters.order_of(await _fresh(shop, caller, order_id))


@router.patch("/api/orders/{order_id}/issue", dependencies=[VISIBLE])
async def report_issue(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: Issue
) -> Order:
    """Report that something went wrong; reserved stock is released."""
    await handler.report_issue(shop, order_id, body.issue_type, body.comment, metadata)
    return presenters.order_of(await _fresh(shop, caller, order_id))


@router.post("/api/orders/{order_id}/rollback-status", dependencies=[VISIBLE])
async def roll_back(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: Rollback
) -> Order:
    """Go back to an earlier state, and undo what the later ones did; 400 names those there are."""
    await handler.roll_back(shop, order_id, body.target_status, body.reason, metadata)
    return presenters.order_of(await _fresh(shop, caller, order_id))


@router.post("/api/orders/{order_id}/cancel", dependencies=[VISIBLE])
async def cancel(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: Cancellation
) -> Order:
    """Cancel an order that has not left the shop, and release its stock; else 400."""
    await handler.cancel(shop, order_id, body.cancellation_reason, metadata)
    return presenters.order_of(await _fresh(shop, caller, order_id))


@router.post("/api/orders/{order_id}/assign-florist", dependencies=[VISIBLE])
async def assign_florist(
    shop: Shop,
    _: Caller,
    metadata: Authored,
    order_id: PathId,
    body: Florist | None = None,
    florist_id: int | None = None,
) -> Detail:
    """Assign a florist, given in the query or in the body; 404 unknown, 400 no florist."""
    florist = florist_id if body is None else body.florist_id
    if florist is None:
        raise FloristMissing
    await handler.assign_florist(shop, order_id, florist, metadata)
    return Detail(detail="Флорист назначен")


class FloristMissing(Unfit):
    """Не указан флорист"""


@router.get("/api/orders/{order_id}/items")
async def list_items(shop: Shop, caller: Caller, order_id: PathId) -> list[Line]:
    """The lines of an order."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return presenters.lines_of(await _existing(connection, order_id))


@router.post("/api/orders/{order_id}/items", status_code=201, dependencies=[VISIBLE])
async def add_item(
    shop: Shop, _: Caller, metadata: Authored, order_id: PathId, body: OrderItem
) -> Line:
    """Add a product at its present price, and reserve its stock."""
    line = await items.add_item(shop, order_id, body.product_id, body.quantity, metadata)
    return presenters.line_of(order_id, line)


@router.patch("/api/orders/{order_id}/items/{item_id}", dependencies=[VISIBLE])
async def change_item(
    shop: Shop, _: Caller, metadata: Authored, order_id: PathId, item_id: PathId, body: ItemQuantity
) -> Line:
    """Change the quantity of a line, and its reservation."""
    line = await items.change_item(shop, order_id, item_id, body.quantity, metadata)
    return presenters.line_of(order_id, line)


@router.delete("/api/orders/{order_id}/items/{item_id}", dependencies=[VISIBLE])
async def remove_item(
    shop: Shop, _: Caller, metadata: Authored, order_id: PathId, item_id: PathId
) -> Detail:
    """Remove a line, and release its reservation."""
    await items.remove_item(shop, order_id, item_id, metadata)
    return Detail(detail="Позиция удалена")


async def _existing(connection: Any, order_id: int) -> Row:
    row = await queries.find(connection, order_id)
    if row is None:
        raise OrderUnknown
    return row


async def _fresh(shop: ApiContext, caller: Principal, order_id: int) -> Row:
    """An order with what this request wrote, or found written. Raises Unavailable."""
    await await_writes(shop, caller.tenant, "orders")
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        row = await queries.find(connection, order_id)
    if row is None:
        # It exists, but the read model is behind.
        raise Unavailable("orders")
    return row


def _contact(body: PlainOrder | ItemsOrder) -> Contact:
    return Contact(
        customer_phone=body.customer_phone,
        recipient_phone=body.recipient_phone,
        recipient_name=body.recipient_name,
        address=body.address,
    )


def _window(shop: ApiContext, body: Any) -> Mapping[str, Any]:
    if body.delivery_window is None:
        return {"delivery_from": None, "delivery_to": None}
    first, last = body.delivery_window.in_zone(shop.settings.zone)
    return {"delivery_from": first, "delivery_to": last}


def _moment(shop: ApiContext, text: str, *, ends: bool) -> datetime | None:
    """A bound of a list: a date is its first or last moment in the shop's zone. Raises BadDate."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadDate from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=shop.settings.zone)
    is_day = len(text) <= len("2026-03-08")
    if is_day and ends and moment.timetz().replace(tzinfo=None) == time.min:
        moment += timedelta(days=1) - timedelta(microseconds=1)
    return moment
