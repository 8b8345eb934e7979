"""Which API keys exist, and which scopes do they have?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from contracts.envelope import Envelope
from contracts.gateway import EVENTS, KEYS, GatewayEvent, KeyIssued, KeyRevoked
from libs.eventsourcing.codec import codec_of
from libs.postgres import query
from libs.postgres.pool import Pool, tenant_transaction
from libs.projections.projection import Connection, Projection, by_stream
from services.gateway.doors.domain.caller import Caller

# A configured key may have moved to another tenant: the last issue counts.
CALLER_OF: Final = """
SELECT * FROM api_key WHERE hash = $1 ORDER BY issued_at DESC, tenant LIMIT 1
"""
ALL: Final = "SELECT * FROM api_key ORDER BY issued_at, key_id"
ONE: Final = "SELECT * FROM api_key WHERE key_id = $1"
INSERT: Final = """
INSERT INTO api_key (tenant, key_id, name, prefix, hash, scopes, issued_at, expires_at,
    requests_per_minute)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
REVOKE: Final = """
UPDATE api_key SET revoked_at = $3, revoked_because = $4 WHERE tenant = $1 AND key_id = $2
"""


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
    row = await query.fetchrow(pool, CALLER_OF, hashed)
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
    row = await query.fetchrow(pool, CALLER_OF, hashed)
    return None if row is None else row["revoked_at"] is not None


async def keys_of(pool: Pool, tenant: str) -> Sequence[ApiKey]:
    """All keys of a tenant, the revoked ones too, in the order they were issued."""
    async with tenant_transaction(pool, tenant) as connection:
        return [_key(row) for row in await query.fetch(connection, ALL)]


async def key_of(pool: Pool, tenant: str, key_id: UUID) -> ApiKey | None:
    """One of a tenant's keys, a revoked one too; None if it has no such key."""
    async with tenant_transaction(pool, tenant) as connection:
        row = await query.fetchrow(connection, ONE, key_id)
    return _key(row) if row is not None else None


async def project(connection: Connection, batch: Sequence[Envelope[GatewayEvent]]) -> None:
    """See `Projection`. Keys are rare: one statement per event."""
    for envelope in batch:
        match envelope.event:
            case KeyIssued() as issued:
                await _insert(connection, envelope.tenant, issued)
            case KeyRevoked(key_id=of, revoked_at=at, reason=reason):
                await connection.execute(REVOKE, envelope.tenant, of, at, reason)
            case _:
                # Events of topics that this read model does not subscribe to.
                pass


async def _insert(connection: Connection, tenant: str, issued: KeyIssued) -> None:
    await connection.execute(
        INSERT,
        tenant,
        issued.key_id,
        issued.name,
        issued.prefix,
        issued.hash,
        list(issued.scopes),
        issued.issued_at,
        issued.expires_at,
        issued.requests_per_minute,
    )


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
