"""The daemons on shops' networks: their keys, and when each was last heard of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from libs.postgres.pool import Pool, acquire
from services.scale_bridge.bridges.domain import SILENT_SECONDS, Heartbeat

ENROLLED: Final = """
INSERT INTO bridge (tenant, bridge_id, owner) VALUES ($1, $2, $3)
ON CONFLICT (tenant, bridge_id) DO UPDATE SET owner = excluded.owner
"""
KEYED: Final = """
INSERT INTO bridge AS known (tenant, bridge_id, name, public_key) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, bridge_id) DO UPDATE
SET name = excluded.name, public_key = excluded.public_key
WHERE coalesce(known.public_key, excluded.public_key) = excluded.public_key RETURNING true
"""
CONNECTED: Final = """
UPDATE bridge SET connection = $3, program = $4, heard_at = now()
WHERE tenant = $1 AND bridge_id = $2 RETURNING public_key
"""
OWNER: Final = "SELECT owner FROM bridge WHERE tenant = $1 AND bridge_id = $2"
SEEN: Final = """
UPDATE bridge SET heard_at = now(), working = $4, completed = $5,
    completed_at = coalesce(now() - $6::interval, completed_at)
WHERE tenant = $1 AND bridge_id = $2 AND connection = $3 RETURNING true
"""
CURRENT: Final = "SELECT connection = $3 FROM bridge WHERE tenant = $1 AND bridge_id = $2"
GONE: Final = """
UPDATE bridge SET connection = NULL, working = 0
WHERE tenant = $1 AND bridge_id = $2 AND connection = $3
"""
OWN: Final = """
SELECT bridge_id, name, program, completed, completed_at, working,
    connection IS NOT NULL AND heard_at > now() - $3::interval AS connected
FROM bridge WHERE tenant = $1 AND owner = $2 ORDER BY name, bridge_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bridge:
    """A daemon. That it is `connected` says nothing of scales: `completed_at` does (SCL-12)."""

    bridge_id: UUID
    name: str
    program: str
    connected: bool
    working: int
    completed: int
    completed_at: datetime | None


async def enrolled(connection: Any, tenant: str, bridge_id: UUID, owner: UUID) -> None:
    """The daemon belongs to the person who enrolled it. Safe to repeat."""
    await connection.execute(ENROLLED, tenant, bridge_id, owner)


async def owner_of(pool: Pool, tenant: str, bridge_id: UUID) -> UUID | None:
    """Who let it in, None as long as that is not known."""
    async with acquire(pool) as connection:
        found: UUID | None = await connection.fetchval(OWNER, tenant, bridge_id)
    return found


async def key(pool: Pool, tenant: str, bridge_id: UUID, name: str, public_key: bytes) -> bool:
    """Keep what to seal for a daemon with; False if it is known by another key.

    A stolen token must not be enough to have passwords sealed to another key.
    """
    async with acquire(pool) as connection:
        return bool(await connection.fetchval(KEYED, tenant, bridge_id, name, public_key))


async def connected(
    pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID, program: str
) -> bytes | None:
    """Its newest connection is this; its key, None if it has shown none."""
    async with acquire(pool) as connection:
        found: bytes | None = await connection.fetchval(
            CONNECTED, tenant, bridge_id, connection_id, program
        )
    return found


async def seen(
    pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID, beat: Heartbeat
) -> None:
    """It is there, and this is what it completed."""
    ago = beat.last_completed_seconds_ago
    since = None if ago is None else timedelta(seconds=ago)
    async with acquire(pool) as connection:
        await connection.execute(
            SEEN, tenant, bridge_id, connection_id, beat.working, beat.completed, since
        )


async def is_current(pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID) -> bool:
    """Whether it has opened no other connection since."""
    async with acquire(pool) as connection:
        return bool(await connection.fetchval(CURRENT, tenant, bridge_id, connection_id))


async def gone(pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID) -> None:
    """The connection is over."""
    async with acquire(pool) as connection:
        await connection.execute(GONE, tenant, bridge_id, connection_id)


async def own(pool: Pool, tenant: str, owner: UUID) -> Sequence[Bridge]:
    """The daemons that an account enrolled, by name."""
    async with acquire(pool) as connection:
        rows = await connection.fetch(OWN, tenant, owner, timedelta(seconds=SILENT_SECONDS))
    return [Bridge(**dict(row)) for row in rows]
