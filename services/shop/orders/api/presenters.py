"""Orders as the shop's pages read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import AliasChoices, BaseModel, Field

from libs.postgres.query import Row
from services.shop.orders.read_models.queries import OrderRow
from services.shop.staff.adapters import Directory

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

    id: int = Field(validation_alias=AliasChoices("order_id", "id"))
    order_number: str = Field(validation_alias=AliasChoices("number", "order_number"))
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
    """A member of the staff, or the customer with the id 0."""

    id: int
    name: str


class Member(Person):
    """A member of the staff."""

    phone: str | None


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
    user: Person


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
    assigned_florist: Member | None
    courier: Member | None = None


class OrderDetail(OrderWithItems):
    """An order with all that happened to it."""

    history: list[HistoryEntry]
    comments: list[Comment]


class Detail(BaseModel):
    """What was done."""

    detail: str


def order_of(row: OrderRow) -> Order:
    """An order of the list."""
    return Order.model_validate(row)


def with_items(row: OrderRow, customer: Row | None, directory: Directory) -> OrderWithItems:
    """An order with its lines."""
    return OrderWithItems.model_validate(_with_items(row, customer, directory))


def detail_of(
    row: OrderRow,
    customer: Row | None,
    directory: Directory,
    history: Sequence[Row],
    comments: Sequence[Row],
) -> OrderDetail:
    """An order with all that happened to it."""
    more = {
        "history": [_entry(one, directory) for one in history],
        "comments": [comment_of(one, directory) for one in comments],
    }
    return OrderDetail.model_validate(_with_items(row, customer, directory) | more)


def lines_of(row: OrderRow) -> list[Line]:
    """The lines of an order."""
    return [
        Line(
            **{name: line[name] for name in Line.model_fields.keys() & line.keys()},
            id=line["item_id"],
            order_id=row["order_id"],
            total=line["price"] * line["quantity"],
        )
        for line in row["lines"]
    ]


def comment_of(row: Row, directory: Directory) -> Comment:
    """A comment. Its `user` is never null: the admin's page would break (spec shop §4.1)."""
    is_customers = row["author"] is None
    member = None if is_customers else directory.by_account(row["author"])
    name = (row["customer_name"] or "") if is_customers else (member.name if member else STAFF)
    more = {
        "text": row["text"] or "",
        "user_id": member.number if member else None,
        "author_type": "customer" if is_customers else "staff",
        "user": {"id": member.number if member else 0, "name": name},
    }
    return Comment.model_validate({**row, **more})


def _with_items(row: OrderRow, customer: Row | None, directory: Directory) -> dict[str, Any]:
    return {
        **row,
        "items": lines_of(row),
        "customer": customer and _customer(customer),
        "assigned_florist": _florist(directory, row["florist"]),
    }


def _customer(row: Row) -> dict[str, Any]:
    names = ("name", "phone", "email", "orders_count", "total_spent", "created_at", "updated_at")
    return {"id": row["customer_id"], **{name: row[name] for name in names}}


def _florist(directory: Directory, number: int | None) -> Member | None:
    if number is None:
        return None
    member = directory.by_number(number)
    if member is None:
        return Member(id=number, name=STAFF, phone=None)
    return Member(id=member.number, name=member.name, phone=member.phone)


def _entry(row: Row, directory: Directory) -> HistoryEntry:
    member = directory.by_account(row["actor"]) if row["actor"] else None
    more = {
        "id": row["order_id"] * VERSIONS + row["version"],
        "user": member.name if member else SYSTEM,
    }
    return HistoryEntry.model_validate({**row, **more})
