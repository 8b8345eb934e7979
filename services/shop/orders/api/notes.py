"""Comments and photos of orders, which their customers see and rate (spec shop §3, §4.1, §4.9)."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel

from libs.errors import Forbidden, NotFound
from libs.eventsourcing.log import Metadata
from libs.files.http import form_with_file, multipart_of
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import Connection, tenant_transaction
from libs.postgres.query import Row
from services.shop.company.uploads.api import url_of
from services.shop.context import ApiContext, PathId, Shop, authorship, await_writes
from services.shop.orders.api.bodies import Note
from services.shop.orders.api.order import Authored, Caller, Changing, Key, existing
from services.shop.orders.api.presenters import Comment, Detail, comment_of
from services.shop.orders.domain.commands import ChangeComment
from services.shop.orders.domain.decisions import CommentUnknown, PhotoUnknown
from services.shop.orders.handlers import notes
from services.shop.orders.handlers.execution import carry_out
from services.shop.orders.handlers.sealing import seal
from services.shop.orders.read_models import queries

router = APIRouter(tags=["comments and photos"])
VISIBLE: Final = visible("orders")
COMMENTS: Final = "/api/orders/{order_id}/comments"
PHOTOS: Final = "/api/orders/{order_id}/photos"
CommentText = Annotated[Note, Body(embed=True, min_length=1)]


class NotTheAuthor(Forbidden):
    """Изменять можно только свои комментарии"""


class PhotoFields(BaseModel):
    """The fields of a form with a photo."""

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


@router.get(COMMENTS)
async def list_comments(
    shop: Shop,
    caller: Caller,
    order_id: PathId,
    page: Annotated[Slice, by_skip(limit=100, most=1000)],
) -> Page[Comment]:
    """The comments of an order, the oldest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        await existing(connection, order_id)
        rows, total = await queries.comments(
            connection, order_id, limit=page.limit, offset=page.offset
        )
    directory = await shop.directories.names(caller.tenant)
    return Page(items=[comment_of(row, directory) for row in rows], total=total)


@router.post(COMMENTS, status_code=201, dependencies=[VISIBLE])
async def add_comment(change: Changing, text: CommentText) -> Comment:
    """Add a comment of the staff."""
    comment_id = await notes.add_comment(change.shop, change.order_id, text, change.metadata)
    return await _comment(change.shop, change.metadata.tenant, comment_id)


@router.patch("/api/comments/{comment_id}", dependencies=[VISIBLE])
async def change_comment(
    shop: Shop, metadata: Authored, comment_id: PathId, text: CommentText
) -> Comment:
    """Replace the text of a comment of one's own."""
    await _change(shop, metadata, comment_id, text)
    return await _comment(shop, metadata.tenant, comment_id)


@router.delete("/api/comments/{comment_id}", dependencies=[VISIBLE])
async def remove_comment(shop: Shop, metadata: Authored, comment_id: PathId) -> Detail:
    """Remove a comment of one's own."""
    await _change(shop, metadata, comment_id, None)
    return Detail(detail="Комментарий удалён")


@router.get(PHOTOS)
async def list_photos(shop: Shop, caller: Caller, order_id: PathId) -> Page[Photo]:
    """The photos of an order, the oldest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        await existing(connection, order_id)
        return page_of(await queries.photos(connection, order_id))


@router.post(
    PHOTOS,
    status_code=201,
    dependencies=[VISIBLE],
    openapi_extra=multipart_of("file", fields=PhotoFields),
)
async def add_photo(change: Changing, request: Request, key: Key = None) -> Photo:
    """Add a photo; 400 it is no image, 413 it is too large, 507 the shop's room is used up.

    With an `Idempotency-Key` a repeated request answers the first photo. Its `photo_url` opens
    until the persons of the order are forgotten.
    """
    shop, tenant = change.shop, change.metadata.tenant
    upload, fields = await form_with_file(request, "file", PhotoFields)
    image = notes.Image(name=upload.name, chunks=upload.chunks, **fields.model_dump())
    photo_id = await notes.add_photo(shop, change.order_id, image, change.metadata, key=key)
    return photo_of(await _fresh(shop, tenant, queries.photo, photo_id, PhotoUnknown))


def page_of(rows: Sequence[Row]) -> Page[Photo]:
    """The photos of an order."""
    return Page(items=[photo_of(row) for row in rows], total=len(rows))


def photo_of(row: Row) -> Photo:
    """A photo."""
    return Photo.model_validate({**row, "photo_url": url_of(row["file"])})


async def _change(shop: ApiContext, metadata: Metadata, comment_id: int, text: str | None) -> None:
    """Raises CommentUnknown, NotTheAuthor."""
    async with tenant_transaction(shop.reading, metadata.tenant) as connection:
        row = await queries.comment(connection, comment_id)
    if row is None:
        raise CommentUnknown
    if row["author"] != metadata.actor:
        raise NotTheAuthor
    sealed = await seal(shop, metadata.tenant, row["order_id"], text)
    command = ChangeComment(comment_id=comment_id, text=sealed, **authorship(shop, metadata))
    await carry_out(shop, row["order_id"], command, metadata)


async def _comment(shop: ApiContext, tenant: str, comment_id: int) -> Comment:
    row = await _fresh(shop, tenant, queries.comment, comment_id, CommentUnknown)
    return comment_of(row, await shop.directories.names(tenant))


async def _fresh(
    shop: ApiContext,
    tenant: str,
    read: Callable[[Connection, int], Awaitable[Row | None]],
    number: int,
    unknown: type[NotFound],
) -> Row:
    """What this request wrote, or found written. Raises `unknown`."""
    await await_writes(shop, tenant, "orders")
    async with tenant_transaction(shop.reading, tenant) as connection:
        row = await read(connection, number)
    if row is None:
        raise unknown
    return row
