"""What are the settings of a shop?"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import msgspec
from sqlalchemy import Column, DateTime, MetaData, Table, Text, select
from sqlalchemy.dialects.postgresql import JSONB

from contracts import shop
from contracts.envelope import Envelope
from contracts.shop import Company, CompanyChanged, ShopEvent
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Pool, tenant_transaction
from libs.postgres.upsert import upsert
from libs.projections.projection import Connection, Projection, by_stream
from services.shop.company.domain import Settings

COMPANY: Final = Table(
    "company",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("company", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)
SAVE: Final = upsert(COMPANY, insert_only="created_at")


def projection() -> Projection[ShopEvent]:
    """The projection."""
    return Projection(
        name="company",
        tables=("company",),
        topics=(shop.SETTINGS,),
        codec=codec_of(shop.EVENTS),
        project=project,
        shard_key=by_stream,
    )


async def project(connection: Connection, events: Sequence[Envelope[ShopEvent]]) -> None:
    """Store the latest settings."""
    rows = [
        (envelope.tenant, _encoded(event.company), event.changed_at, event.changed_at)
        for envelope in events
        if isinstance(event := envelope.event, CompanyChanged)
    ]
    await SAVE.put(connection, rows)


async def find(pool: Pool, tenant: str) -> Settings:
    """The settings of a shop, by default those of a new one. Raises Unavailable."""
    async with tenant_transaction(pool, tenant) as connection:
        row = await query.fetchrow(connection, select(COMPANY))
    if row is None:
        return Settings()
    return Settings(
        company=msgspec.json.decode(row["company"], type=Company),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _encoded(company: Company) -> str:
    return msgspec.json.encode(asdict(company)).decode()
