"""Orders: listed, placed, edited, moved (spec shop §4.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Depends, Header, Query

from libs.errors import Unavailable, Unfit
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
    Authorship,
    PathId,
    PlainText,
    Shop,
    authorship,
    await_writes,
    in_utc,
)
from services.shop.customers import read_models as customers
from services.shop.customers.domain.person import CustomerUnknown
from services.shop.orders.api import bodies
from services.shop.orders.api.bodies import Quantity
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
from services.shop.orders.domain import commands
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.decisions import OrderItemUnknown
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.domain.status import Status
from services.shop.orders.handlers import order as handler
from services.shop.orders.handlers.execution import carry_out, load
from services.shop.orders.handlers.sealing import seal
from services.shop.orders.read_models import queries
from services.shop.orders.read_models.queries import OrderRow

VISIBLE: Final = visible("orders", "customer", "warehouse_item", "stock_movement")
router = APIRouter(tags=["orders"])
changes = APIRouter(prefix="/api/orders", tags=["orders"], dependencies=[VISIBLE])
"""The routes that write, which answer when their writes are visible."""

Caller = Annotated[Principal, Depends(ORDERS)]
Authored = Annotated[Metadata, metadata_of(ORDERS)]
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


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an order by a member of the staff."""

    shop: Shop
    metadata: Authored
    order_id: PathId

    @property
    def author(self) -> Authorship:
        """The fields that all commands have."""
        return authorship(self.shop, self.metadata)

    async def make(self, command: commands.OrderCommand) -> Order:
        """Carry out a command, and read the order after it. Raises as `carry_out`."""
        await carry_out(self.shop, self.order_id, command, self.metadata)
        return order_of(await self.row())

    async def move(self, command: type[commands.Move], body: bodies.Move) -> Order:
        """Carry out the command that has the fields of the body, as `make`."""
        fields: dict[str, Any] = body.model_dump()
        fields["comment"] = await seal(self.shop, self.metadata.tenant, self.order_id, body.comment)
        return await self.make(command(**fields, **self.author))

    async def row(self) -> OrderRow:
        """The order with what this request wrote. Raises OrderUnknown."""
        return await _fresh(self.shop, self.metadata.tenant, self.order_id)

    async def line(self, item_id: int) -> Line:
        """A line of the order with what this request wrote. Raises OrderItemUnknown."""
        for line in lines_of(await self.row()):
            if line.id == item_id:
                return line
        raise OrderItemUnknown


Changing = Annotated[Change, Depends()]


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


@changes.post("/", status_code=201)
async def create(shop: Shop, metadata: Authored, body: bodies.PlainOrder, key: Key = None) -> Order:
    """Place an order with a sum instead of products."""
    if body.total != body.flower_sum + body.delivery_fee:
        raise WrongTotal
    same = ("source", "flower_sum", "address_needs_clarification", "payment_method")
    more = {name: getattr(body, name) for name in same}
    order_id = await handler.create(shop, _new(shop, body, key, items=(), **more), metadata)
    return order_of(await _fresh(shop, metadata.tenant, order_id))


@changes.post("/with-items", status_code=201)
async def create_with_items(
    shop: Shop, metadata: Authored, body: bodies.ItemsOrder, key: Key = None
) -> OrderWithItems:
    """Place an order of products at the shop's prices, and reserve its stock: all or nothing."""
    items = [(item.product_id, item.quantity) for item in body.items]
    new = _new(shop, body, key, items=items, source="crm")
    order_id = await handler.create(shop, new, metadata)
    await await_writes(shop, metadata.tenant, "orders")
    async with tenant_transaction(shop.reading, metadata.tenant) as connection:
        row = await _written(connection, order_id)
        customer = await customers.find(connection, row["customer_id"])
    return with_items(row, customer, await shop.directories.names(metadata.tenant))


@router.get("/api/orders/{order_id}")
async def read(shop: Shop, caller: Caller, order_id: PathId) -> OrderDetail:
    """An order with its lines, comments, and all that happened to it."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        row = await existing(connection, order_id)
        customer = await customers.find(connection, row["customer_id"])
        history = await queries.history(connection, order_id)
        comments, _ = await queries.comments(connection, order_id)
    directory = await shop.directories.names(caller.tenant)
    return detail_of(row, customer, directory, history, comments)


@router.get("/api/orders/{order_id}/items")
async def list_items(shop: Shop, caller: Caller, order_id: PathId) -> list[Line]:
    """The lines of an order."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        return lines_of(await existing(connection, order_id))


@changes.patch("/{order_id}")
async def update(change: Changing, body: bodies.OrderUpdate) -> Order:
    """Replace fields of an order. Money is not changed here."""
    given = body.model_dump(exclude_unset=True, exclude={"delivery_window"})
    fields = {
        name: value for name, value in given.items() if value is not None or name in CLEARABLE
    }
    if "delivery_window" in body.model_fields_set:
        fields |= _window(change.shop, body)
    if body.payment_date is not None:
        fields["payment_date"] = in_utc(body.payment_date, change.shop.settings.zone)
    await handler.edit(change.shop, change.order_id, fields, change.metadata)
    return order_of(await change.row())


@changes.patch("/{order_id}/status")
async def move(change: Changing, body: bodies.StatusUpdate) -> Order:
    """Go to the next state; 409 names the states that may follow."""
    return await change.move(commands.MoveForward, body)


@changes.patch("/{order_id}/issue")
async def report_issue(change: Changing, body: bodies.Issue) -> Order:
    """Report that something went wrong; reserved stock is released."""
    return await change.move(commands.ReportIssue, body)


@changes.post("/{order_id}/rollback-status")
async def roll_back(change: Changing, body: bodies.StatusUpdate) -> Order:
    """Go back to an earlier state, and undo what the later ones did; 400 names those there are."""
    return await change.move(commands.RollBack, body)


@changes.post("/{order_id}/cancel")
async def cancel(change: Changing, body: bodies.Move) -> Order:
    """Cancel an order that has not left the shop, and release its stock; else 400."""
    return await change.move(commands.CancelOrder, body)


@changes.post("/{order_id}/assign-florist")
async def assign_florist(
    change: Changing, body: bodies.Florist | None = None, florist_id: int | None = None
) -> Detail:
    """Assign a florist, given in the query or in the body; 404 unknown, 400 no florist."""
    florist = florist_id if body is None else body.florist_id
    if florist is None:
        raise FloristMissing
    await load(change.shop, change.metadata.tenant, change.order_id)
    await handler.check_florist(change.shop, change.metadata.tenant, florist)
    await change.make(commands.AssignFlorist(florist=florist, **change.author))
    return Detail(detail="Флорист назначен")


@changes.post("/{order_id}/items", status_code=201)
async def add_item(change: Changing, body: bodies.OrderItem) -> Line:
    """Add a product at its present price, and reserve its stock."""
    item_id = await handler.add_item(
        change.shop, change.order_id, body.product_id, body.quantity, change.metadata
    )
    return await change.line(item_id)


@changes.patch("/{order_id}/items/{item_id}")
async def change_item(
    change: Changing, item_id: PathId, quantity: Annotated[Quantity, Body(embed=True)]
) -> Line:
    """Change the quantity of a line, and its reservation."""
    await change.make(commands.ChangeLine(item_id=item_id, quantity=quantity, **change.author))
    return await change.line(item_id)


@changes.delete("/{order_id}/items/{item_id}")
async def remove_item(change: Changing, item_id: PathId) -> Detail:
    """Remove a line, and release its reservation."""
    await change.make(commands.ChangeLine(item_id=item_id, quantity=0, **change.author))
    return Detail(detail="Позиция удалена")


async def existing(connection: Connection, order_id: int) -> OrderRow:
    """An order. Raises OrderUnknown."""
    row = await queries.find(connection, order_id)
    if row is None:
        raise OrderUnknown
    return row


async def _fresh(shop: ApiContext, tenant: str, order_id: int) -> OrderRow:
    """An order with what this request wrote, or found written. Raises Unavailable."""
    await await_writes(shop, tenant, "orders")
    async with tenant_transaction(shop.reading, tenant) as connection:
        return await _written(connection, order_id)


async def _written(connection: Connection, order_id: int) -> OrderRow:
    """An order that exists. Raises Unavailable if the read model is behind."""
    row = await queries.find(connection, order_id)
    if row is None:
        raise Unavailable("orders")
    return row


def _new(
    shop: ApiContext, body: bodies.NewOrderBody, key: str | None, **more: Any
) -> handler.NewOrder:
    same = ("customer_phone", "recipient_phone", "recipient_name", "address")
    return handler.NewOrder(
        contact=Contact(**{name: getattr(body, name) for name in same}),
        method=body.delivery_method,
        delivery_fee=body.delivery_fee,
        comment=body.comment,
        keys=() if key is None else (key,),
        **_window(shop, body),
        **more,
    )


def _window(shop: ApiContext, body: bodies.Recipient) -> Mapping[str, Any]:
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
