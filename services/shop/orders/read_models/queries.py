"""Queries about orders."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Text, cast, select

from libs.postgres import query
from libs.postgres.filters import Filters, between, contains, eq, one_of
from libs.postgres.pool import Connection, Pool, tenant_transaction
from libs.postgres.query import Row
from services.shop.orders.domain.status import Status
from services.shop.orders.read_models.tables import COMMENT, HISTORY, ORDER, PHOTO
from services.shop.products.domain import Sales

OrderRow: TypeAlias = Mapping[str, Any]
"""The columns of `ORDER` with the fields of `domain.order.Order` and of its details."""

_SALES: Final = """
SELECT count(*) AS orders, coalesce(sum(price * quantity), 0)::bigint AS revenue
FROM customer_orders,
    jsonb_to_recordset(state -> 'lines') AS line (product_id bigint, price bigint, quantity bigint)
WHERE state -> 'lines' @> jsonb_build_array(jsonb_build_object('product_id', $1::bigint))
    AND line.product_id = $1 AND status <> 'issue'
"""
_COUNTED: Final = """
SELECT coalesce(sum(orders), 0)::bigint FROM order_count WHERE status = $1 OR $1::text IS NULL
"""
FILTERS: Final = Filters(
    status=eq(ORDER.c.status),
    customer_ids=one_of(ORDER.c.customer_id),
    created=between(ORDER.c.created_at),
    search=contains(
        ORDER.c.customer_phone,
        ORDER.c.recipient_phone,
        ORDER.c.recipient_name,
        cast(ORDER.c.order_id, Text),
    ),
)
_COMMENTS: Final = select(COMMENT, COMMENT.c.comment_id.label("id")).where(~COMMENT.c.is_removed)
_PHOTOS: Final = select(PHOTO, PHOTO.c.photo_id.label("id"))


async def page(
    connection: Connection, *, limit: int, offset: int, **filters: Any
) -> tuple[list[OrderRow], int]:
    """Orders that match `FILTERS`, the newest first, and how many match."""
    statement = select(ORDER).where(FILTERS.where(filters)).order_by(ORDER.c.order_id.desc())
    if any(filters.get(name) for name in ("search", "customer_ids")) or any(
        filters.get("created") or ()
    ):
        rows, total = await query.fetch_page(connection, statement, limit=limit, offset=offset)
    else:
        rows = await query.fetch(connection, statement.limit(limit).offset(offset))
        total = await query.fetchval(connection, _COUNTED, filters.get("status"))
    return [_order(row) for row in rows], total


async def find(connection: Connection, order_id: int) -> OrderRow | None:
    """An order."""
    return next(iter(await find_many(connection, [order_id])), None)


async def find_many(connection: Connection, order_ids: Sequence[int]) -> list[OrderRow]:
    """The orders with these ids that exist."""
    statement = select(ORDER).where(ORDER.c.order_id.in_(order_ids))
    return [_order(row) for row in await query.fetch(connection, statement)]


def _order(row: Row) -> OrderRow:
    state = msgspec.json.decode(row["state"])
    window = None
    if state["details"]["delivery_from"] is not None:
        window = {"from": state["details"]["delivery_from"], "to": state["details"]["delivery_to"]}
    return {
        # The columns have in the clear what is sealed in the state.
        **state["details"],
        **state,
        **row,
        "customer_phone": row["customer_phone"] or "",
        "delivery_window": window,
        "total": state["flower_sum"] + state["delivery_fee"],
        "has_issue": state["status"] == Status.ISSUE,
    }


async def product_sales(pool: Pool, tenant: str, product_id: int) -> Sales:
    """The sales of a product, without those of orders with an issue. Raises Unavailable."""
    async with tenant_transaction(pool, tenant) as connection:
        row = await query.fetchrow(connection, _SALES, product_id)
    return Sales(**row) if row is not None else Sales()


async def locate(pool: Pool, **column: Any) -> tuple[str, int] | None:
    """The shop and the order of an `order_id`, a `number` or a `tracking_token`.

    The connections of `pool` see all tenants. Raises Unavailable.
    """
    statement = select(ORDER.c.tenant, ORDER.c.order_id).filter_by(**column)
    row = await query.fetchrow(pool, statement)
    return None if row is None else (row["tenant"], row["order_id"])


async def history(connection: Connection, order_id: int) -> list[Row]:
    """What happened to an order, the oldest first."""
    statement = select(HISTORY).where(HISTORY.c.order_id == order_id).order_by(HISTORY.c.version)
    return await query.fetch(connection, statement)


async def comments(
    connection: Connection, order_id: int, *, limit: int = 1000, offset: int = 0
) -> tuple[list[Row], int]:
    """The comments of an order, the oldest first, and how many there are."""
    statement = _COMMENTS.where(COMMENT.c.order_id == order_id).order_by(COMMENT.c.comment_id)
    return await query.fetch_page(connection, statement, limit=limit, offset=offset)


async def comment(connection: Connection, comment_id: int) -> Row | None:
    """A comment that was not removed."""
    return await query.fetchrow(connection, _COMMENTS.where(COMMENT.c.comment_id == comment_id))


async def photos(connection: Connection, order_id: int) -> list[Row]:
    """The photos of an order, the oldest first."""
    statement = _PHOTOS.where(PHOTO.c.order_id == order_id).order_by(PHOTO.c.photo_id)
    return await query.fetch(connection, statement)


async def photo(connection: Connection, photo_id: int) -> Row | None:
    """A photo, as `photos` has it."""
    return await query.fetchrow(connection, _PHOTOS.where(PHOTO.c.photo_id == photo_id))
