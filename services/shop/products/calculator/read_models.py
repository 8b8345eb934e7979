"""Which materials does a shop have?"""

from collections.abc import Mapping, Sequence
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
    false,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import Material, MaterialAdded, MaterialChanged, MaterialRemoved, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.http.paging import Slice
from libs.postgres import query
from libs.postgres.filters import Filters, eq
from libs.postgres.pool import Pool, tenant_transaction
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection, by_stream
from services.shop.products.calculator.domain import MaterialUnknown, StoredMaterial

MATERIAL: Final = Table(
    "material",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("material_id", BigInteger, primary_key=True),
    Column("material", JSONB),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("removed", Boolean, nullable=False),
    Column("category", Text),
    Column("is_active", Boolean),
)
"""The columns from `category` on are generated from `material`, for filters."""

SAVE: Final = upsert(
    MATERIAL,
    *("material", "created_at", "updated_at", "removed"),
    coalesce="material",
    keep="created_at",
    either="removed",
)
FILTERS: Final = Filters(category=eq(MATERIAL.c.category), is_active=eq(MATERIAL.c.is_active))


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return Projection(
        name="material",
        tables=("material",),
        topics=(shop.MATERIALS,),
        codec=codec_of(shop.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ShopEvent]]) -> None:
    """Store the latest state of a material."""
    rows = [
        {"tenant": envelope.tenant, "removed": False, **changed}
        for envelope in events
        if (changed := _changed(envelope.event)) is not None
    ]
    await SAVE.put(connection, rows)


def _changed(event: ShopEvent) -> Mapping[str, Any] | None:
    match event:
        case MaterialAdded(material=material, added_at=at):
            parts = {"material": _encoded(material), "created_at": at}
        case MaterialChanged(material=material, changed_at=at):
            parts = {"material": _encoded(material)}
        case MaterialRemoved(removed_at=at):
            parts = {"removed": True}
        case _:
            return None
    return {"material_id": event.material_id, "updated_at": at, **parts}


_EXISTS: Final = (MATERIAL.c.removed == false(), MATERIAL.c.material.is_not(None))


async def find(pool: Pool, tenant: str, number: int) -> StoredMaterial:
    """A material of a shop. Raises MaterialUnknown, Unavailable."""
    statement = select(MATERIAL).where(MATERIAL.c.material_id == number, *_EXISTS)
    async with tenant_transaction(pool, tenant) as connection:
        row = await query.fetchrow(connection, statement)
    if row is None:
        raise MaterialUnknown
    return _stored(row)


async def page(
    pool: Pool, tenant: str, values: Mapping[str, Any], part: Slice
) -> tuple[list[StoredMaterial], int]:
    """The materials that match the `values` of `FILTERS`, by number, and how many there are.

    Raises Unavailable.
    """
    where = (FILTERS.where(values), *_EXISTS)
    listed = select(MATERIAL).where(*where).order_by(MATERIAL.c.material_id)
    async with tenant_transaction(pool, tenant) as connection:
        rows = await query.fetch(connection, listed.limit(part.limit).offset(part.offset))
        count = select(func.count()).select_from(MATERIAL).where(*where)
        total: int = await query.fetchval(connection, count)
    return [_stored(row) for row in rows], total


def _stored(row: query.Row) -> StoredMaterial:
    return StoredMaterial(
        material_id=row["material_id"],
        material=msgspec.json.decode(row["material"], type=Material),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _encoded(material: Material) -> str:
    return msgspec.json.encode(material).decode()
