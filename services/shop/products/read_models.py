"""Which products does a shop have, and which of them match a search?"""

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from contracts import shop
from contracts.shop import ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.http.paging import Slice
from libs.postgres import query
from libs.postgres.filters import Filters, contains, eq
from libs.postgres.pool import Pool, tenant_transaction
from libs.projections.projection import Projection
from libs.projections.states import StateTable
from services.shop.products import domain
from services.shop.products.domain import Product, current_price


def _values(product: Product) -> Mapping[str, Any]:
    """Of a product that was removed all are null."""
    if (details := product.details) is None:
        return {}
    price, on_sale = current_price(details), bool(details.sale_price)
    return query.values_for(PRODUCT, details, current_price=price, on_sale=on_sale)


PRODUCTS: Final = StateTable(
    "product",
    domain.PRODUCT,
    Column("name", Text),
    Column("description", Text),
    Column("category", Text),
    Column("is_active", Boolean),
    Column("is_popular", Boolean),
    Column("is_new", Boolean),
    Column("current_price", BigInteger),
    Column("on_sale", Boolean),
    Column("article", BigInteger),
    key="product_id",
    values=_values,
)
PRODUCT: Final = PRODUCTS.table
FILTERS: Final = Filters(
    category=eq(PRODUCT.c.category),
    is_popular=eq(PRODUCT.c.is_popular),
    is_new=eq(PRODUCT.c.is_new),
    is_active=eq(PRODUCT.c.is_active),
    on_sale=eq(PRODUCT.c.on_sale),
    min_price=lambda least: PRODUCT.c.current_price >= math.ceil(least),
    max_price=lambda most: PRODUCT.c.current_price <= math.floor(most),
    search=contains(PRODUCT.c.name, PRODUCT.c.description),
)
EXISTS: Final = PRODUCT.c.name.is_not(None)


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return PRODUCTS.projection(shop.PRODUCTS, codec_of(shop.EVENTS))


async def page(
    pool: Pool, tenant: str, values: Mapping[str, Any], part: Slice, *, newest_first: bool = False
) -> tuple[list[Product], int]:
    """The products that match the `values` of `FILTERS`, by number, and how many there are.

    Raises Unavailable.
    """
    order = PRODUCT.c.product_id.desc() if newest_first else PRODUCT.c.product_id
    return await PRODUCTS.page(pool, tenant, FILTERS.where(values) & EXISTS, part, order)


async def categories(pool: Pool, tenant: str) -> Mapping[str, int]:
    """How many products are on sale in each category that has any. Raises Unavailable."""
    category = PRODUCT.c.category
    counted = select(category, func.count().label("count")).where(PRODUCT.c.is_active)
    async with tenant_transaction(pool, tenant) as connection:
        rows = await query.fetch(connection, counted.group_by(category).order_by(category))
    return {row["category"]: row["count"] for row in rows}


async def numbers_of(pool: Pool, tenant: str, articles: Collection[int]) -> Mapping[int, int]:
    """The product with each of the articles that has one. Raises Unavailable."""
    statement = select(PRODUCT.c.article, PRODUCT.c.product_id).where(
        PRODUCT.c.article == func.any(bindparam("articles", type_=ARRAY(BigInteger)))
    )
    async with tenant_transaction(pool, tenant) as connection:
        rows = await query.fetch(connection, statement, articles=list(articles))
    return {row["article"]: row["product_id"] for row in rows}
