"""Orders as the shop's pages read them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from contracts.shop import OrderLine
from libs.postgres.query import Row
from services.shop.orders.domain.status import Status
from services.shop.staff.adapters import Directory, Member

SYSTEM: Final = "Система"
"""The author of what no member of the staff did."""
STAFF: Final = "Сотрудник"
"""The name of a member whose name is not known now."""
VERSIONS: Final = 100_000
"""More events than an order ever has: ids of its history are made of it."""


class Order(BaseModel):
    """An order, without its lines; money in tenge.

    Pages make a link of `tracking_token`, which cannot be guessed; `order_number` is for people.
    """

    id: int
    order_number: str
    customer_phone: str
    recipient_phone: str | None
    recipient_name: str | None
    address: str | None
    address_needs_clarification: bool
    delivery_method: str
    delivery_window: dict[str, datetime] | None
    flower_sum: int
    delivery_fee: int
    total: int
    status: str
    has_pre_delivery_photos: bool
    has_issue: bool
    issue_type: str | None
    issue_comment: str | None
    tracking_token: str
    payment_method: str | None
    payment_date: datetime | None
    card_text: str | None
    delivery_time_text: str | None
    source: str
    created_at: datetime
    updated_at: datetime


class Orders(BaseModel):
    """A page of orders."""

    items: list[Order]
    total: int


class Line(BaseModel):
    """A line of an order, as it was when it was added."""

    id: int
    order_id: int
    product_id: int
    product_name: str
    product_category: str
    quantity: int
    price: int
    total: int


class Person(BaseModel):
    """A member of the staff."""

    id: int
    name: str
    phone: str | None


class Author(BaseModel):
    """The author of a comment; 0 for the customer."""

    id: int
    name: str


class Comment(BaseModel):
    """A comment of staff or customer."""

    id: int
    order_id: int
    user_id: int | None
    text: str
    author_type: str
    customer_name: str | None
    created_at: datetime
    updated_at: datetime
    user: Author


class Comments(BaseModel):
    """A page of comments."""

    items: list[Comment]
    total: int


class HistoryEntry(BaseModel):
    """What happened to an order; `user` is a name."""

    id: int
    event_type: str
    old_status: str | None
    new_status: str | None
    comment: str | None
    created_at: datetime
    user: str


class OrderWithItems(Order):
    """An order with its lines."""

    items: list[Line]
    customer_id: int
    customer: dict[str, Any] | None
    assigned_florist: Person | None
    courier: Person | None = None


class OrderDetail(OrderWithItems):
    """An order with all that happened to it."""

    history: list[HistoryEntry]
    comments: list[Comment]


class Detail(BaseModel):
    """What was done."""

    detail: str


def order_of(row: Row) -> Order:
    """An order of the list."""
    return Order(**_fields(row))


def with_items(row: Row, customer: Row | None, directory: Directory) -> OrderWithItems:
    """An order with its lines."""
    return OrderWithItems(**_fields(row), **_more(row, customer, directory))


def detail_of(
    row: Row,
    customer: Row | None,
    directory: Directory,
    history: Sequence[Row],
    comments: Sequence[Row],
) -> OrderDetail:
    """An order with all that happened to it."""
    return OrderDetail(
        **_fields(row),
        **_more(row, customer, directory),
        history=[_entry(one, directory) for one in history],
        comments=[comment_of(one, directory) for one in comments],
    )


def lines_of(row: Row) -> list[Line]:
    """The lines of an order."""
    order_lines = msgspec.json.decode(row["lines"], type=list[OrderLine])
    return [line_of(row["order_id"], line) for line in order_lines]


def line_of(order_id: int, line: OrderLine) -> Line:
    """A line of an order."""
    return Line(
        id=line.item_id,
        order_id=order_id,
        product_id=line.product_id,
        product_name=line.product_name,
        product_category=line.product_category,
        quantity=line.quantity,
        price=line.price,
        total=line.price * line.quantity,
    )


def comment_of(row: Row, directory: Directory) -> Comment:
    """A comment. Its `user` is never null: the admin's page would break (spec shop §4.1)."""
    member = directory.by_account(row["author"]) if row["author"] else None
    is_customers = row["author"] is None
    name = (row["customer_name"] or "") if is_customers else (member.name if member else STAFF)
    return Comment(
        id=row["comment_id"],
        order_id=row["order_id"],
        user_id=member.number if member else None,
        text=row["text"] or "",
        author_type="customer" if is_customers else "staff",
        customer_name=row["customer_name"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        user=Author(id=member.number if member else 0, name=name),
    )


def _fields(row: Row) -> Mapping[str, Any]:
    same = (
        *("recipient_phone", "recipient_name", "address", "address_needs_clarification"),
        *("delivery_method", "flower_sum", "delivery_fee", "status", "issue_type"),
        *("issue_comment", "payment_method", "payment_date", "card_text"),
        *("delivery_time_text", "source", "created_at", "updated_at", "tracking_token"),
    )
    window = None
    if row["delivery_from"] is not None:
        window = {"from": row["delivery_from"], "to": row["delivery_to"]}
    return {
        **{name: row[name] for name in same},
        "id": row["order_id"],
        # Null if the person was forgotten.
        "customer_phone": row["customer_phone"] or "",
        "delivery_window": window,
        "total": row["flower_sum"] + row["delivery_fee"],
        "has_pre_delivery_photos": row["has_photos"],
        "has_issue": row["status"] == Status.ISSUE,
        "order_number": row["number"],
    }


def _more(row: Row, customer: Row | None, directory: Directory) -> Mapping[str, Any]:
    return {
        "items": lines_of(row),
        "customer_id": row["customer_id"],
        "customer": None if customer is None else _customer(customer),
        "assigned_florist": _person(directory.by_number(row["florist"]), row["florist"]),
    }


def _customer(row: Row) -> dict[str, Any]:
    names = ("name", "phone", "email", "orders_count", "total_spent", "created_at", "updated_at")
    return {"id": row["customer_id"], **{name: row[name] for name in names}}


def _person(member: Member | None, number: int | None) -> Person | None:
    if number is None:
        return None
    if member is None:
        return Person(id=number, name=STAFF, phone=None)
    return Person(id=member.number, name=member.name, phone=member.phone)


def _entry(row: Row, directory: Directory) -> HistoryEntry:
    member = directory.by_account(row["actor"]) if row["actor"] else None
    return HistoryEntry(
        id=row["order_id"] * VERSIONS + row["version"],
        event_type=row["event_type"],
        old_status=row["old_status"],
        new_status=row["new_status"],
        comment=row["comment"],
        created_at=row["at"],
        user=member.name if member else SYSTEM,
    )
