"""Which products does a shop have, and which of them match a search?"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    MetaData,
    Table,
    Text,
    bindparam,
    false,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import (
    Component,
    ComponentsChanged,
    Ingredient,
    IngredientsChanged,
    ProductAdded,
    ProductChanged,
    ProductDetails,
    ProductImage,
    ProductImagesChanged,
    ProductRemoved,
    ShopEvent,
)
from libs.eventsourcing.codec import codec_of
from libs.http.paging import Slice
from libs.postgres import query
from libs.postgres.filters import Filters, contains, eq
from libs.postgres.pool import Pool, tenant_transaction
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection, by_stream
from services.shop.products.domain import Product, ProductUnknown

PRODUCT: Final = Table(
    "product",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("product_id", BigInteger, primary_key=True),
    Column("details", JSONB),
    Column("images", JSONB),
    Column("images_at", DateTime(timezone=True)),
    Column("ingredients", JSONB),
    Column("components", JSONB),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("removed", Boolean, nullable=False),
    Column("name", Text),
    Column("description", Text),
    Column("category", Text),
    Column("is_active", Boolean),
    Column("is_popular", Boolean),
    Column("is_new", Boolean),
    Column("current_price", BigInteger),
    Column("on_sale", Boolean),
    Column("article", BigInteger),
)
"""The columns from `name` on are generated from `details`, for filters."""

_PARTS: Final = ("details", "images", "images_at", "ingredients", "components")
SAVE: Final = upsert(
    PRODUCT,
    *(*_PARTS, "created_at", "updated_at", "removed"),
    coalesce=_PARTS,
    keep="created_at",
    greatest="updated_at",
    either="removed",
)

FILTERS: Final = Filters(
    category=eq(PRODUCT.c.category),
    is_popular=eq(PRODUCT.c.is_popular),
    is_new=eq(PRODUCT.c.is_new),
    is_active=eq(PRODUCT.c.is_active),
    on_sale=eq(PRODUCT.c.on_sale),
    min_price=lambda least: PRODUCT.c.current_price >= least,
    max_price=lambda most: PRODUCT.c.current_price <= most,
    search=contains(PRODUCT.c.name, PRODUCT.c.description),
)


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return Projection(
        name="product",
        tables=("product",),
        topics=(shop.PRODUCTS,),
        codec=codec_of(shop.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ShopEvent]]) -> None:
    """Store the latest state of every part of a product."""
    rows = [
        {"tenant": envelope.tenant, "removed": False, **changed}
        for envelope in events
        if (changed := _changed(envelope.event)) is not None
    ]
    await SAVE.put(connection, rows)


def _changed(event: ShopEvent) -> Mapping[str, Any] | None:
    match event:
        case ProductAdded(details=details, added_at=at):
            parts = {"details": _encoded(details), "created_at": at}
        case ProductChanged(details=details, changed_at=at):
            parts = {"details": _encoded(details)}
        case ProductImagesChanged(images=images, changed_at=at):
            parts = {"images": _encoded(images), "images_at": at}
        case IngredientsChanged(ingredients=ingredients, changed_at=at):
            parts = {"ingredients": _encoded(ingredients)}
        case ComponentsChanged(components=components, changed_at=at):
            parts = {"components": _encoded(components)}
        case ProductRemoved(removed_at=at):
            parts = {"removed": True}
        case _:
            return None
    return {"product_id": event.product_id, "updated_at": at, **parts}


async def find(pool: Pool, tenant: str, product_id: int) -> Product:
    """A product of a shop. Raises ProductUnknown, Unavailable."""
    statement = select(PRODUCT).where(PRODUCT.c.product_id == product_id, *_EXISTS)
    async with tenant_transaction(pool, tenant) as connection:
        row = await query.fetchrow(connection, statement)
    if row is None:
        raise ProductUnknown
    return _product(row)


async def page(
    pool: Pool,
    tenant: str,
    values: Mapping[str, Any],
    part: Slice,
    *,
    newest_first: bool = False,
) -> tuple[list[Product], int]:
    """The products that match the `values` of `FILTERS`, by number, and how many there are.

    Raises Unavailable.
    """
    where = (FILTERS.where(values), *_EXISTS)
    number = PRODUCT.c.product_id
    listed = select(PRODUCT).where(*where).order_by(number.desc() if newest_first else number)
    async with tenant_transaction(pool, tenant) as connection:
        rows = await query.fetch(connection, listed.limit(part.limit).offset(part.offset))
        count = select(func.count()).select_from(PRODUCT).where(*where)
        total: int = await query.fetchval(connection, count)
    return [_product(row) for row in rows], total


async def categories(pool: Pool, tenant: str) -> Mapping[str, int]:
    """How many products are on sale in each category that has any. Raises Unavailable."""
    statement = (
        select(PRODUCT.c.category, func.count().label("count"))
        .where(FILTERS.where({"is_active": True}), *_EXISTS)
        .group_by(PRODUCT.c.category)
        .order_by(PRODUCT.c.category)
    )
    async with tenant_transaction(pool, tenant) as connection:
        return {row["category"]: row["count"] for row in await query.fetch(connection, statement)}


async def numbers_of(
    pool: Pool, tenant: str, articles: Collection[int]
) -> Mapping[int, Sequence[int]]:
    """The products with each of the articles; an article without any is missing.

    Raises Unavailable.
    """
    statement = select(PRODUCT.c.article, PRODUCT.c.product_id).where(
        PRODUCT.c.article == func.any(bindparam("articles", type_=ARRAY(BigInteger))), *_EXISTS
    )
    numbers = defaultdict[int, list[int]](list)
    async with tenant_transaction(pool, tenant) as connection:
        for row in await query.fetch(connection, statement, articles=list(articles)):
            numbers[row["article"]].append(row["product_id"])
    return numbers


_EXISTS: Final = (PRODUCT.c.removed == false(), PRODUCT.c.details.is_not(None))


def _product(row: query.Row) -> Product:
    return Product(
        product_id=row["product_id"],
        details=msgspec.json.decode(row["details"], type=ProductDetails),
        images=_decoded(row["images"], tuple[ProductImage, ...]),
        images_at=row["images_at"],
        ingredients=_decoded(row["ingredients"], tuple[Ingredient, ...]),
        components=_decoded(row["components"], tuple[Component, ...]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _decoded(text: str | None, kind: Any) -> Any:
    return () if text is None else msgspec.json.decode(text, type=kind)


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()
