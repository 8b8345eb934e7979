"""What the shop's pages send about orders."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    model_validator,
)

from services.shop.context import Id, PlainText, Tenge, in_utc
from services.shop.orders.domain.status import Method, Status

MOST_LINES: Final = 200
MOST_PIECES: Final = 10_000


Phone = Annotated[PlainText, Field(min_length=1, max_length=50)]
Name = Annotated[PlainText, Field(max_length=200)]
AddressText = Annotated[PlainText, Field(max_length=1000)]
Note = Annotated[PlainText, Field(max_length=5000)]
DeliveryMethod = Annotated[
    Method, BeforeValidator(lambda value: Method.SELF_PICKUP if value == "pickup" else value)
]
NONE_IF_EMPTY: Final = BeforeValidator(lambda value: None if value == "" else value)
PaymentMethod = Literal["kaspi", "cash", "transfer", "qr", "card"]
Quantity = Annotated[int, Field(ge=1, le=MOST_PIECES)]
IssueType = Literal[
    "wrong_address",
    "recipient_unavailable",
    "quality_issue",
    "wrong_order",
    "delivery_delay",
    "delivery_refused",
    "other",
]


ANY_COMMENT: Final = Field(
    validation_alias=AliasChoices("comment", "reason", "cancellation_reason")
)


class Window(BaseModel):
    """When to deliver, in any of the three shapes of the clients (C7)."""

    from_: datetime = Field(validation_alias=AliasChoices("from", "from_time"))
    to: datetime = Field(validation_alias=AliasChoices("to", "to_time"))

    @model_validator(mode="before")
    @classmethod
    def _of_a_day(cls, value: Any) -> Any:
        """`{"date": "2026-03-08", "time": "10:00-12:00"}` of the storefront."""
        if not isinstance(value, dict) or "date" not in value:
            return value
        first, _, last = str(value.get("time") or "00:00-23:59").partition("-")
        day = str(value["date"])[:10]
        return {"from": f"{day}T{first.strip()}", "to": f"{day}T{(last or first).strip()}"}

    def in_zone(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """First and last moment, as `in_utc`."""
        return in_utc(self.from_, zone), in_utc(self.to, zone)


GivenWindow = Annotated[Window | None, NONE_IF_EMPTY]


class OrderItem(BaseModel):
    """A product to order. A price that is sent is ignored (C5)."""

    product_id: Id
    quantity: Quantity


class Recipient(BaseModel):
    """What all orders may have."""

    recipient_phone: Annotated[Phone | None, NONE_IF_EMPTY] = None
    recipient_name: Name | None = None
    address: AddressText | None = None
    delivery_window: GivenWindow = None


class NewOrderBody(Recipient):
    """What all orders of staff have; without `delivery_fee` it is the shop's."""

    customer_phone: Phone
    delivery_method: DeliveryMethod
    delivery_fee: Tenge | None = None
    comment: Note | None = None


class PlainOrder(NewOrderBody):
    """An order without products, with a sum."""

    flower_sum: Tenge
    total: Tenge
    delivery_fee: Tenge = 0
    address_needs_clarification: bool = False
    payment_method: PaymentMethod = "cash"
    source: Annotated[PlainText, Field(max_length=50)] = "api"


class ItemsOrder(NewOrderBody):
    """An order of products."""

    items: Annotated[list[OrderItem], Field(min_length=1, max_length=MOST_LINES)]


class OrderUpdate(Recipient):
    """Fields to replace. The money of an order is not changed here."""

    customer_phone: Phone | None = None
    address_needs_clarification: bool | None = None
    delivery_method: DeliveryMethod | None = None
    payment_method: PaymentMethod | None = None
    payment_date: datetime | None = None


class Move(BaseModel):
    """The reason of a move: `reason` of a rollback, `cancellation_reason` of a cancel."""

    comment: Annotated[Note | None, ANY_COMMENT] = None


class StatusUpdate(Move):
    """The next state, or an earlier one, which is `target_status`."""

    status: Status = Field(validation_alias=AliasChoices("status", "target_status"))


class Issue(Move):
    """Something went wrong; the admin sends `issueType`."""

    issue_type: IssueType = Field(validation_alias=AliasChoices("issue_type", "issueType"))


class Florist(BaseModel):
    """Who makes an order."""

    florist_id: Id


class Payment(BaseModel):
    """What a payment provider reports."""

    payment_method: Literal["kaspi", "cash", "transfer", "qr"] = "kaspi"
    payment_id: Annotated[PlainText, Field(min_length=1, max_length=200)]
    amount: Tenge = 0
    status: Annotated[PlainText, Field(max_length=50)] = "success"
