"""Comments of orders (spec shop §4.1)."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends

from libs.errors import Forbidden
from libs.eventsourcing.log import Metadata
from libs.http.auth import Principal
from libs.http.metadata import metadata_of
from libs.http.paging import Page, Slice, by_skip
from libs.http.visible import visible
from libs.postgres.pool import tenant_transaction
from libs.postgres.query import Row
from services.shop.context import ORDERS, ApiContext, PathId, Shop, authorship, await_writes
from services.shop.orders.api.bodies import CommentText
from services.shop.orders.api.presenters import Comment, Detail, comment_of
from services.shop.orders.domain.commands import ChangeComment
from services.shop.orders.domain.decisions import CommentUnknown
from services.shop.orders.domain.order import OrderUnknown
from services.shop.orders.handlers.execution import carry_out
from services.shop.orders.handlers.order import add_comment
from services.shop.orders.handlers.sealing import seal
from services.shop.orders.read_models import queries

router = APIRouter(tags=["comments"])

Caller = Annotated[Principal, Depends(ORDERS)]
Authored = Annotated[Metadata, metadata_of(ORDERS)]
VISIBLE: Final = visible("orders")


class NotTheAuthor(Forbidden):
    """Изменять можно только свои комментарии"""


@router.get("/api/orders/{order_id}/comments")
async def list_comments(
    shop: Shop,
    caller: Caller,
    order_id: PathId,
    page: Annotated[Slice, by_skip(limit=100, most=1000)],
) -> Page[Comment]:
    """The comments of an order, the oldest first."""
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        if await queries.find(connection, order_id) is None:
            raise OrderUnknown
        rows, total = await queries.comments(
            connection, order_id, limit=page.limit, offset=page.offset
        )
    directory = await shop.directories.names(caller.tenant)
    return Page(items=[comment_of(row, directory) for row in rows], total=total)


@router.post("/api/orders/{order_id}/comments", status_code=201, dependencies=[VISIBLE])
async def add(
    shop: Shop, caller: Caller, metadata: Authored, order_id: PathId, body: CommentText
) -> Comment:
    """Add a comment of the staff."""
    return await _fresh(shop, caller, await add_comment(shop, order_id, body.text, metadata))


@router.patch("/api/comments/{comment_id}", dependencies=[VISIBLE])
async def change(
    shop: Shop, caller: Caller, metadata: Authored, comment_id: PathId, body: CommentText
) -> Comment:
    """Replace the text of a comment of one's own."""
    await _change(shop, caller, metadata, comment_id, body.text)
    return await _fresh(shop, caller, comment_id)


@router.delete("/api/comments/{comment_id}", dependencies=[VISIBLE])
async def remove(shop: Shop, caller: Caller, metadata: Authored, comment_id: PathId) -> Detail:
    """Remove a comment of one's own."""
    await _change(shop, caller, metadata, comment_id, None)
    return Detail(detail="Комментарий удалён")


async def _change(
    shop: ApiContext, caller: Principal, metadata: Metadata, comment_id: int, text: str | None
) -> None:
    row = await _existing(shop, caller, comment_id)
    if row["author"] != caller.subject:
        raise NotTheAuthor
    order_id = row["order_id"]
    command = ChangeComment(
        comment_id=comment_id,
        text=await seal(shop, caller.tenant, order_id, text),
        **authorship(shop, metadata),
    )
    await carry_out(shop, order_id, command, metadata)


async def _fresh(shop: ApiContext, caller: Principal, comment_id: int) -> Comment:
    """A comment with what this request wrote."""
    await await_writes(shop, caller.tenant, "orders")
    row = await _existing(shop, caller, comment_id)
    return comment_of(row, await shop.directories.names(caller.tenant))


async def _existing(shop: ApiContext, caller: Principal, comment_id: int) -> Row:
    async with tenant_transaction(shop.reading, caller.tenant) as connection:
        row = await queries.comment(connection, comment_id)
    if row is None:
        raise CommentUnknown
    return row
