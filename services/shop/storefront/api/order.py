"""Orders of customers, from both storefronts (spec shop §4.9, C5, C6, C9, C10)."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Request
from pydantic import BaseModel, Field, ValidationError

from libs.errors import Unavailable
from libs.eventsourcing.log import Metadata
from libs.http.auth import public
from libs.http.manifest import traffic
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from libs.telemetry.traces import current_traceparent
from services.shop.context import ApiContext, PlainText, Shop, tenant_of
from services.shop.orders.api.bodies import (
    MOST_LINES,
    AddressText,
    DeliveryMethod,
    Name,
    Note,
    OrderItem,
    Phone,
    Recipient,
    Window,
)
from services.shop.orders.api.presenters import Line, Order, lines_of, order_of
from services.shop.orders.domain.contact import Contact
from services.shop.orders.domain.status import Method
from services.shop.orders.handlers.order import STOREFRONT, NewOrder
from services.shop.orders.read_models import queries
from services.shop.orders.read_models.queries import OrderRow
from services.shop.storefront import handlers
from services.shop.storefront.api.catalogue import MOST, existing
from services.shop.storefront.tracking.handlers import CUSTOMER

router = APIRouter(prefix="/api/public", tags=["storefront"], dependencies=[Depends(public)])

LIMIT: Final = "public"
VISIBLE: Final = visible("orders", "customer", "warehouse_item", "stock_movement")
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
Items = Annotated[list[OrderItem], Field(min_length=1, max_length=MOST_LINES)]
ShopId = Annotated[int, Field(ge=1, le=MOST)]
ShortNote = Annotated[PlainText, Field(max_length=500)]
ShortText = Annotated[PlainText, Field(max_length=100)]


class StorefrontOrder(Recipient):
    """An order of the first storefront. Prices and fees that are sent are ignored (C5)."""

    shop_id: ShopId
    customer_phone: Phone
    customer_name: Name | None = None
    delivery_method: DeliveryMethod
    items: Items
    card_text: Note | None = None
    delivery_time_text: Name | None = None


class ShortOrder(BaseModel):
    """An order of the second storefront. Its prices and its sum are ignored (C5)."""

    customer_name: Annotated[Name, Field(min_length=1)]
    customer_phone: Phone
    delivery_type: DeliveryMethod
    payment_method: Literal["cash", "card", "kaspi", "transfer", "qr"]
    items: Items
    delivery_address: AddressText | None = None
    delivery_date: ShortText | None = None
    delivery_time: ShortText | None = None
    recipient_name: Name | None = None
    recipient_phone: Phone | Literal[""] | None = None
    card_text: ShortNote | None = None
    special_requests: ShortNote | None = None


class PublicOrder(Order):
    """An order with its lines, as its customer sent it."""

    items: list[Line]


class ShortOrderPlaced(BaseModel):
    """A placed order; the sum in tenge includes the fee."""

    id: int
    tracking_token: str
    order_number: str
    status: str
    customer_name: str
    customer_phone: str
    total_amount: int
    created_at: datetime
    message: str = "Заказ принят"


@router.post("/orders", dependencies=[VISIBLE])
@traffic(LIMIT)
async def place_order(
    shop: Shop, request: Request, body: StorefrontOrder, key: Key = None
) -> PublicOrder:
    """Place an order at the shop's prices; twice the same within a minute is one order."""
    date, _, time = (body.delivery_time_text or "").partition(" ")
    window = body.delivery_window or _window(date, time)[0]
    contact = Contact(
        customer_phone=body.customer_phone,
        recipient_phone=body.recipient_phone,
        recipient_name=body.recipient_name,
        address=body.address,
        card_text=body.card_text,
        delivery_time_text=body.delivery_time_text,
    )
    new = _new(shop, contact, body.delivery_method, body.items, window, body.customer_name)
    row = await _placed(shop, request, body.shop_id, new, key)
    # What the staff noted in the meantime is not for customers.
    shown = order_of(row).model_dump() | {"issue_comment": None}
    return PublicOrder(**shown, items=lines_of(row))


@router.post("/shops/{shop_id}/orders", dependencies=[VISIBLE])
@traffic(LIMIT)
async def place_short_order(
    shop: Shop,
    request: Request,
    shop_id: Annotated[int, Path(ge=1, le=MOST)],
    body: ShortOrder,
    key: Key = None,
) -> ShortOrderPlaced:
    """Place an order at the shop's prices; twice the same within a minute is one order."""
    window, text = _window(body.delivery_date, body.delivery_time)
    contact = Contact(
        customer_phone=body.customer_phone,
        recipient_phone=body.recipient_phone or None,
        recipient_name=body.recipient_name,
        address=body.delivery_address,
        card_text=body.card_text,
        delivery_time_text=text,
    )
    more = {"payment_method": body.payment_method, "comment": body.special_requests}
    new = _new(shop, contact, body.delivery_type, body.items, window, body.customer_name, **more)
    row = await _placed(shop, request, shop_id, new, key)
    return ShortOrderPlaced(
        id=row["order_id"],
        tracking_token=row["tracking_token"],
        order_number=row["number"],
        status=row["status"],
        customer_name=body.customer_name,
        customer_phone=row["customer_phone"] or "",
        total_amount=row["flower_sum"] + row["delivery_fee"],
        created_at=row["created_at"],
    )


def _new(
    shop: ApiContext,
    contact: Contact,
    method: Method,
    items: list[OrderItem],
    window: Window | None,
    name: str | None,
    **more: Any,
) -> NewOrder:
    first, last = window.in_zone(shop.settings.zone) if window else (None, None)
    return NewOrder(
        contact=contact,
        method=method,
        items=[(item.product_id, item.quantity) for item in items],
        source=STOREFRONT,
        # Of the buyer only: a recipient is another person (C6).
        customer_name=name,
        address_needs_clarification=method == Method.DELIVERY and not contact.address,
        delivery_from=first,
        delivery_to=last,
        **more,
    )


async def _placed(
    shop: ApiContext, request: Request, number: int, new: NewOrder, key: str | None
) -> OrderRow:
    """The row of a placed order. Raises ShopUnknown, Unavailable, and as `handlers.place_order`."""
    await existing(shop, number)
    metadata = Metadata(
        tenant=tenant_of(number),
        actor=CUSTOMER,
        correlation_id=request.scope["request_id"],
        traceparent=current_traceparent(),
    )
    order_id = await handlers.place_order(shop, new, metadata, key)
    # A repeated request waits for what another one wrote.
    await shop.consistency.caught_up("orders", metadata.tenant)
    async with tenant_transaction(shop.reading, metadata.tenant) as connection:
        row = await queries.find(connection, order_id)
    if row is None:
        raise Unavailable("orders")
    return row


def _window(date: str | None, time: str | None) -> tuple[Window | None, str | None]:
    """When to deliver, and the text of the customer if it is no time: `Сегодня вечером`."""
    if not date:
        return None, time or None
    try:
        return Window.model_validate({"date": date, "time": time}), None
    except ValidationError:
        return None, f"{date} {time or ''}".strip()
