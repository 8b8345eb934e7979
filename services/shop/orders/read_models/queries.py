"""Queries about orders."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, cast, func, select

from libs.postgres import query
from libs.postgres.filters import Filters, between, contains, eq
from libs.postgres.pool import Connection, Pool, tenant_transaction
from libs.postgres.query import Row
from services.shop.orders.read_models.tables import COMMENT, HISTORY, ORDER, PHOTO
from services.shop.products.domain import Sales

_SALES: Final = """
SELECT count(*) AS orders, coalesce(sum(price * quantity), 0)::bigint AS revenue
FROM customer_orders,
    jsonb_to_recordset(lines) AS line (product_id bigint, price bigint, quantity bigint)
WHERE lines @> jsonb_build_array(jsonb_build_object('product_id', $1::bigint))
    AND line.product_id = $1 AND status <> 'issue'
"""
_PHOTOS: Final = select(
    PHOTO.c.photo_id.label("id"),
    *(PHOTO.c[name] for name in ("file", "photo_type", "description", "created_at")),
    PHOTO.c.feedback.label("customer_feedback"),
    PHOTO.c.feedback_comment,
)
FILTERS: Final = Filters(
    status=eq(ORDER.c.status),
    customer_ids=lambda ids: ORDER.c.customer_id.in_(list(ids)),
    created=between(ORDER.c.created_at),
    search=contains(
        ORDER.c.customer_phone,
        ORDER.c.recipient_phone,
        ORDER.c.recipient_name,
        cast(ORDER.c.order_id, Text),
    ),
)


async def page(
    connection: Connection,
    *,
    limit: int,
    offset: int,
    status: str | None = None,
    search: str | None = None,
    created: tuple[datetime | None, datetime | None] | None = None,
    customer_ids: Sequence[int] | None = None,
) -> tuple[list[Row], int]:
    """Orders, the newest first, and how many match. Rows have the columns of `ORDER`."""
    values: dict[str, Any] = {
        "status": status,
        "search": search or None,
        "created": created,
        "customer_ids": customer_ids,
    }
    where = FILTERS.where(values)
    rows = await query.fetch(
        connection,
        select(ORDER).where(where).order_by(ORDER.c.order_id.desc()).limit(limit).offset(offset),
    )
    total = await query.fetchval(connection, select(func.count()).select_from(ORDER).where(where))
    return rows, total


async def find(connection: Connection, order_id: int) -> Row | None:
    """An order. The row has the columns of `ORDER`."""
    return await query.fetchrow(connection, select(ORDER).where(ORDER.c.order_id == order_id))


async def find_many(connection: Connection, order_ids: Sequence[int]) -> list[Row]:
    """The orders with these ids that exist."""
    return await query.fetch(connection, select(ORDER).where(ORDER.c.order_id.in_(order_ids)))


async def tenant_of(pool: Pool, order_id: int) -> str | None:
    """The shop of an order; the connections of `pool` see all tenants. Raises Unavailable."""
    tenant: str | None = await query.fetchval(
        pool, select(ORDER.c.tenant).where(ORDER.c.order_id == order_id)
    )
    return tenant


async def product_sales(pool: Pool, tenant: str, product_id: int) -> Sales:
    """The sales of a product, without those of orders with an issue. Raises Unavailable."""
    async with tenant_transaction(pool, tenant) as connection:
        row = await query.fetchrow(connection, _SALES, product_id)
    return Sales(**row) if row is not None else Sales()


async def by_tracking_token(pool: Pool, token: str) -> tuple[str, int] | None:
    """The shop and the order of a link; the connections of `pool` see all tenants.

    Raises Unavailable.
    """
    return await _located(pool, ORDER.c.tracking_token == token)


async def by_number(pool: Pool, number: str) -> tuple[str, int] | None:
    """The shop and the order of a public number, as `by_tracking_token`."""
    return await _located(pool, ORDER.c.number == number)


async def _located(pool: Pool, where: ColumnElement[bool]) -> tuple[str, int] | None:
    row = await query.fetchrow(pool, select(ORDER.c.tenant, ORDER.c.order_id).where(where))
    return None if row is None else (row["tenant"], row["order_id"])


async def history(connection: Connection, order_id: int) -> list[Row]:
    """What happened to an order, the oldest first."""
    return await query.fetch(
        connection,
        select(HISTORY).where(HISTORY.c.order_id == order_id).order_by(HISTORY.c.version),
    )


async def comments(
    connection: Connection, order_id: int, *, limit: int = 1000, offset: int = 0
) -> tuple[list[Row], int]:
    """The comments of an order, the oldest first, and how many there are."""
    where = (COMMENT.c.order_id == order_id, COMMENT.c.is_removed.is_(False))
    rows = await query.fetch(
        connection,
        select(COMMENT).where(*where).order_by(COMMENT.c.comment_id).limit(limit).offset(offset),
    )
    total = await query.fetchval(
        connection, select(func.count()).select_from(COMMENT).where(*where)
    )
    return rows, total


async def comment(connection: Connection, comment_id: int) -> Row | None:
    """A comment that was not removed."""
    return await query.fetchrow(
        connection,
        select(COMMENT).where(COMMENT.c.comment_id == comment_id, COMMENT.c.is_removed.is_(False)),
    )


async def photos(connection: Connection, order_id: int) -> list[Row]:
    """The photos of an order, the oldest first."""
    return await query.fetch(
        connection, _PHOTOS.where(PHOTO.c.order_id == order_id).order_by(PHOTO.c.photo_id)
    )


async def photo(connection: Connection, photo_id: int) -> Row | None:
    """A photo, as `photos` has it."""
    return await query.fetchrow(connection, _PHOTOS.where(PHOTO.c.photo_id == photo_id))
