"""What the shop's pages send about orders."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    model_validator,
)

from services.shop.context import Id, Tenge
from services.shop.orders.domain.status import Method, Status

MOST_LINES: Final = 200
MOST_PIECES: Final = 10_000


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _method(value: object) -> object:
    return Method.SELF_PICKUP if value == "pickup" else value


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


PlainText = Annotated[str, AfterValidator(_without_nul)]
Phone = Annotated[PlainText, Field(min_length=1, max_length=50)]
Name = Annotated[PlainText, Field(max_length=200)]
AddressText = Annotated[PlainText, Field(max_length=1000)]
Note = Annotated[PlainText, Field(max_length=5000)]
DeliveryMethod = Annotated[Method, BeforeValidator(_method)]
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
        """First and last moment, as `utc`."""
        return utc(self.from_, zone), utc(self.to, zone)


def utc(moment: datetime, zone: ZoneInfo) -> datetime:
    """A client's time in UTC; without an offset it is one of the shop's zone."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


GivenWindow = Annotated[Window | None, BeforeValidator(_none_if_empty)]


class OrderItem(BaseModel):
    """A product to order. A price that is sent is ignored (C5)."""

    product_id: Id
    quantity: Quantity


class Recipient(BaseModel):
    """What all orders may have."""

    recipient_phone: Annotated[Phone | None, BeforeValidator(_none_if_empty)] = None
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


class StatusUpdate(BaseModel):
    """The next state."""

    status: Status
    comment: Note | None = None


class Issue(BaseModel):
    """Something went wrong; the admin sends `issueType`."""

    issue_type: IssueType = Field(validation_alias=AliasChoices("issue_type", "issueType"))
    comment: Note | None = None


class Rollback(BaseModel):
    """An earlier state, and why."""

    target_status: Status
    reason: Note = ""


class Cancellation(BaseModel):
    """Why an order is cancelled."""

    cancellation_reason: Note = ""


class ItemQuantity(BaseModel):
    """Another quantity of a line."""

    quantity: Quantity


class Florist(BaseModel):
    """Who makes an order."""

    florist_id: Id


class Payment(BaseModel):
    """What a payment provider reports."""

    payment_method: Literal["kaspi", "cash", "transfer", "qr"] = "kaspi"
    payment_id: Annotated[PlainText, Field(min_length=1, max_length=200)]
    amount: Tenge = 0
    status: Annotated[PlainText, Field(max_length=50)] = "success"


class CommentText(BaseModel):
    """A comment."""

    text: Annotated[Note, Field(min_length=1)]
