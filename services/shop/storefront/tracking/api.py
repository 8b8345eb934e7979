"""Requests of the tracking page, which has no login (spec shop §4.9, §8)."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from libs.contact import first_name, mask_address
from libs.eventsourcing.log import Metadata
from libs.http.auth import public
from libs.http.manifest import traffic
from libs.http.paging import Page
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from libs.telemetry.traces import current_traceparent
from services.shop.context import PlainText, Shop
from services.shop.orders.api.bodies import AddressText, Name, Note
from services.shop.orders.api.notes import Photo, page_of
from services.shop.orders.api.presenters import lines_of
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.domain.status import Status
from services.shop.orders.handlers.notes import add_comment
from services.shop.orders.read_models import queries
from services.shop.orders.read_models.queries import OrderRow
from services.shop.storefront.tracking import handlers
from services.shop.storefront.tracking.handlers import Tracked

LIMIT: Final = "public"
VISIBLE: Final = visible("orders")
STATUS_NAMES: Final = {
    Status.NEW: "Новый",
    Status.PAID: "Оплачен",
    Status.ASSEMBLED: "Собран",
    Status.DELIVERY: "В доставке",
    Status.SELF_PICKUP: "Готов к самовывозу",
    Status.DELIVERED: "Доставлен",
    Status.COMPLETED: "Выполнен",
    Status.ISSUE: "Проблема",
}


async def not_stored(response: Response) -> None:
    """What a link shows is stored in no cache."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(
    prefix="/api", tags=["tracking"], dependencies=[Depends(public), Depends(not_stored)]
)


async def _tracked(shop: Shop, token: str) -> Tracked:
    return await handlers.find(shop, token)


async def _linked(shop: Shop, token: str) -> Tracked:
    return await handlers.find_by_link(shop, token)


ByLinkOrNumber = Annotated[Tracked, Depends(_tracked)]
ByLink = Annotated[Tracked, Depends(_linked)]


class TrackedItem(BaseModel):
    """A line of an order; the price of one piece in tenge."""

    product_name: str
    quantity: int
    price: int


class TrackedOrder(BaseModel):
    """An order as its link shows it: persons are masked, and left out if the number was given.

    `total` includes the fee.
    """

    order_number: str
    status: str
    status_display: str
    created_at: datetime
    updated_at: datetime
    delivery_method: str
    delivery_window: dict[str, datetime] | None
    delivery_fee: int
    total: int
    recipient_name: str | None
    recipient_phone: str | None
    address: str | None
    address_masked: str | None
    courier: None = None
    items: list[TrackedItem]
    tracking_token: str


class AddressUpdate(BaseModel):
    """Where and to whom to deliver; empty or masked values leave it as it is."""

    address: AddressText = ""
    recipient_name: Name | None = None
    recipient_phone: Annotated[PlainText, Field(max_length=50)] | None = None


class AddressUpdated(BaseModel):
    """The masked address after a change."""

    success: bool = True
    message: str = "Адрес обновлён"
    updated_address: str | None


class CustomerComment(BaseModel):
    """A comment of the customer."""

    text: Annotated[Note, Field(min_length=1)]
    customer_name: Name = ""


class CommentAdded(BaseModel):
    """A comment was added."""

    success: bool = True
    message: str = "Комментарий добавлен"
    comment_id: int


class PublicComment(BaseModel):
    """A comment that customers see."""

    id: int
    text: str
    author_type: str
    author_name: str
    created_at: datetime


class PublicComments(BaseModel):
    """The comments that customers see."""

    items: list[PublicComment]
    total: int


class Feedback(BaseModel):
    """What the customer thinks of a photo."""

    photo_id: int
    feedback: Literal["like", "dislike"]
    comment: Note | None = None


class FeedbackTaken(BaseModel):
    """The feedback was stored."""

    success: bool = True
    message: str = "Спасибо за отзыв"


@router.get("/public/status/{token}")
@router.get("/public/orders/{token}")
@router.get("/tracking/{token}")
@traffic(LIMIT)
async def read(shop: Shop, tracked: ByLinkOrNumber, token: str) -> TrackedOrder:
    """The state of an order, by its link or its number."""
    async with tenant_transaction(shop.reading, tracked.tenant) as connection:
        row = await queries.find(connection, tracked.order_id)
    if row is None:
        raise OrderUnknown
    persons: Any = dict.fromkeys(("recipient_name", "recipient_phone", "address"))
    if not tracked.by_number:
        persons = _masked(row)
    return TrackedOrder(
        order_number=row["number"],
        status_display=STATUS_NAMES[Status(row["status"])],
        delivery_window=_window(row),
        total=row["flower_sum"] + row["delivery_fee"],
        address_masked=persons["address"],
        items=[TrackedItem.model_validate(line, from_attributes=True) for line in lines_of(row)],
        # A number must not lead to the link.
        tracking_token=token,
        **persons,
        **{name: row[name] for name in ("status", "created_at", "updated_at")},
        **{name: row[name] for name in ("delivery_method", "delivery_fee")},
    )


@router.patch("/public/orders/{token}/address", dependencies=[VISIBLE])
@traffic(LIMIT)
async def change_address(
    shop: Shop, tracked: ByLink, request: Request, body: AddressUpdate
) -> AddressUpdated:
    """Replace address and recipient of an order that is new or paid; else 400."""
    contact = await handlers.change_address(
        shop, tracked.order_id, body.model_dump(), _metadata(request, tracked)
    )
    return AddressUpdated(
        updated_address=mask_address(contact.address) if contact.address else None
    )


@router.get("/public/orders/{token}/comments")
@traffic(LIMIT)
async def list_comments(shop: Shop, tracked: ByLink) -> PublicComments:
    """The customer's comments. Those of the staff are the shop's own."""
    async with tenant_transaction(shop.reading, tracked.tenant) as connection:
        rows, _ = await queries.comments(connection, tracked.order_id)
    items = [_comment(row) for row in rows if row["author"] is None]
    return PublicComments(items=items, total=len(items))


@router.post("/public/orders/{token}/comments", dependencies=[VISIBLE])
@traffic(LIMIT)
async def comment(
    shop: Shop, tracked: ByLink, request: Request, body: CustomerComment
) -> CommentAdded:
    """Add a comment of the customer."""
    metadata = _metadata(request, tracked)
    comment_id = await add_comment(
        shop, tracked.order_id, body.text, metadata, customer_name=body.customer_name
    )
    return CommentAdded(comment_id=comment_id)


@router.get("/public/orders/{token}/photos")
@traffic(LIMIT)
async def list_photos(shop: Shop, tracked: ByLink) -> Page[Photo]:
    """The photos of an order."""
    async with tenant_transaction(shop.reading, tracked.tenant) as connection:
        return page_of(await queries.photos(connection, tracked.order_id))


@router.post("/public/orders/{token}/feedback", dependencies=[VISIBLE])
@traffic(LIMIT)
async def rate(shop: Shop, tracked: ByLink, request: Request, body: Feedback) -> FeedbackTaken:
    """Rate a photo; 404 there is no such photo, 400 it was rated before."""
    metadata = _metadata(request, tracked)
    await handlers.rate_photo(
        shop, tracked.order_id, body.photo_id, body.feedback, body.comment, metadata
    )
    return FeedbackTaken()


def _metadata(request: Request, tracked: Tracked) -> Metadata:
    return tracked.metadata(request.scope["request_id"], current_traceparent())


def _masked(row: OrderRow) -> dict[str, str | None]:
    return {name: mask(row[name]) if row[name] else None for name, mask in handlers.MASKS.items()}


def _window(row: OrderRow) -> dict[str, datetime] | None:
    if row["delivery_from"] is None:
        return None
    return {"from_time": row["delivery_from"], "to_time": row["delivery_to"]}


def _comment(row: Row) -> PublicComment:
    return PublicComment(
        id=row["comment_id"],
        text=row["text"] or "",
        author_type="customer",
        author_name=first_name(row["customer_name"] or ""),
        created_at=row["created_at"],
    )
