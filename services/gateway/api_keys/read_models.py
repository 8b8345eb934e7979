"""Which API keys exist, and which scopes do they have?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from contracts.envelope import Envelope
from contracts.gateway import EVENTS, KEYS, GatewayEvent, KeyIssued, KeyRevoked
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Pool, tenant_transaction
from libs.projections.projection import Connection, Projection, by_stream
from services.gateway.doors.domain.caller import Caller

API_KEY: Final = Table(
    "api_key",
    MetaData(),
    Column("tenant", Text, primary_key=True),
    Column("key_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("issued_at", TIMESTAMP(timezone=True), nullable=False),
    Column("revoked_at", TIMESTAMP(timezone=True)),
    Column("revoked_because", Text),
    Column("expires_at", TIMESTAMP(timezone=True)),
    Column("requests_per_minute", Integer),
)

CALLER_OF: Final = (
    select(API_KEY)
    .where(API_KEY.c.hash == bindparam("hashed"))
    # A configured key may have moved to another tenant: the last issue counts.
    .order_by(API_KEY.c.issued_at.desc(), API_KEY.c.tenant)
    .limit(1)
)
ALL: Final = select(API_KEY).order_by(API_KEY.c.issued_at, API_KEY.c.key_id)
ONE: Final = select(API_KEY).where(API_KEY.c.key_id == bindparam("key_id"))


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """A key as administrators see it, without the key itself and its hash."""

    key_id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    issued_at: datetime
    revoked_at: datetime | None
    revoked_because: str | None
    expires_at: datetime | None
    requests_per_minute: int | None

    def opens(self, now: datetime) -> bool:
        """Whether the key is valid: neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


async def caller_of(pool: Pool, hashed: str) -> Caller | None:
    """The holder of the key with this hash; None for an unknown or revoked key.

    An expired key has a caller: check `Caller.is_over`. `pool` must be in system scope, for the key
    determines the tenant. Raises Unavailable.
    """
    row = await query.fetchrow(pool, CALLER_OF, hashed=hashed)
    if row is None or row["revoked_at"] is not None:
        return None
    return Caller(
        tenant=row["tenant"],
        subject=row["key_id"],
        scopes=frozenset(row["scopes"]),
        expires_at=row["expires_at"],
        requests_per_minute=row["requests_per_minute"],
    )


async def is_revoked(pool: Pool, hashed: str) -> bool | None:
    """Whether the key with this hash was revoked; None if the read model does not have it.

    `pool` must be in system scope. Raises Unavailable.
    """
    row = await query.fetchrow(pool, CALLER_OF, hashed=hashed)
    return None if row is None else row["revoked_at"] is not None


async def keys_of(pool: Pool, tenant: str) -> Sequence[ApiKey]:
    """All keys of a tenant, the revoked ones too, in the order they were issued."""
    async with tenant_transaction(pool, tenant) as connection:
        return [_key(row) for row in await query.fetch(connection, ALL)]


async def key_of(pool: Pool, tenant: str, key_id: UUID) -> ApiKey | None:
    """One of a tenant's keys, a revoked one too; None if it has no such key."""
    async with tenant_transaction(pool, tenant) as connection:
        row = await query.fetchrow(connection, ONE, key_id=key_id)
    return _key(row) if row is not None else None


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`. Keys are rare: one statement per event."""
    for envelope in batch:
        match envelope.event:
            case KeyIssued() as issued:
                await _insert(connection, envelope.tenant, issued)
            case KeyRevoked() as revoked:
                await _revoke(connection, envelope.tenant, revoked)
            case _:
                # Events of topics that this read model does not subscribe to.
                pass


async def _insert(connection: Connection, tenant: str, issued: KeyIssued) -> None:
    values = query.values_for(API_KEY, issued, tenant=tenant, scopes=list(issued.scopes))
    await query.execute(connection, insert(API_KEY).values(**values))


async def _revoke(connection: Connection, tenant: str, revoked: KeyRevoked) -> None:
    statement = (
        API_KEY.update()
        .where(API_KEY.c.tenant == tenant, API_KEY.c.key_id == revoked.key_id)
        .values(revoked_at=revoked.revoked_at, revoked_because=revoked.reason)
    )
    await query.execute(connection, statement)


def projection() -> Projection[GatewayEvent]:
    """The declaration of the read model."""
    return Projection(
        name="api_key",
        tables=("api_key",),
        topics=(KEYS,),
        codec=codec_of(EVENTS),
        project=project,
        shard_key=by_stream,
    )


def _key(row: query.Row) -> ApiKey:
    return query.row_as(ApiKey, row, scopes=tuple(row["scopes"]))
