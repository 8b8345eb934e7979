"""Photos of orders, which their customers see and rate (spec shop §3, §4.9)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel

from libs.eventsourcing.log import Metadata
from libs.files.http import form_with_file, multipart_of
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Page
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from services.shop.company.uploads.api import url_of
from services.shop.context import ORDERS, PathId, Shop, await_writes
from services.shop.orders.api.bodies import Note
from services.shop.orders.domain.decisions import PhotoUnknown
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.handlers import photos
from services.shop.orders.read_models import queries

router = APIRouter(tags=["photos"])

PHOTOS: Final = "/api/orders/{order_id}/photos"
Caller = Annotated[Principal, Depends(ORDERS)]


class PhotoFields(BaseModel):
    """What a form says of a photo."""

    photo_type: Literal["pre_delivery", "completion", "process"]
    description: Note | None = None


class Photo(BaseModel):
    """A photo of an order, and what the customer thinks of it."""

    id: int
    photo_url: str
    photo_type: str
    description: str | None
    customer_feedback: str | None
    feedback_comment: str | None
    created_at: datetime


@router.get(PHOTOS)
async def list_photos(shop: Shop, caller: Caller, order_id: PathId) -> Page[Photo]:
    """The photos of an order, the oldest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        if await queries.find(connection, order_id) is None:
            raise OrderUnknown
        return page_of(await queries.photos(connection, order_id))


@router.post(
    PHOTOS,
    status_code=201,
    dependencies=[visible("orders")],
    openapi_extra=multipart_of("file", fields=PhotoFields),
)
async def add(
    shop: Shop,
    caller: Caller,
    metadata: Annotated[Metadata, metadata_of(ORDERS)],
    request: Request,
    order_id: PathId,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)] = None,
) -> Photo:
    """Add a photo; 400 it is no image, 413 it is too large, 507 the shop's room is used up.

    With an `Idempotency-Key` a repeated request answers the first photo. Its `photo_url` opens
    until the persons of the order are forgotten.
    """
    upload, fields = await form_with_file(request, "file", PhotoFields)
    photo_id = await photos.add_photo(
        shop,
        order_id,
        upload.name,
        upload.chunks,
        fields.photo_type,
        fields.description,
        metadata,
        key=key,
    )
    await await_writes(shop, caller.tenant, "orders")
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        row = await queries.photo(connection, photo_id)
    if row is None:
        raise PhotoUnknown
    return photo_of(row)


def page_of(rows: Sequence[Row]) -> Page[Photo]:
    """The photos of an order."""
    return Page(items=[photo_of(row) for row in rows], total=len(rows))


def photo_of(row: Row) -> Photo:
    """A photo."""
    return Photo.model_validate({**row, "photo_url": url_of(row["file"])})
