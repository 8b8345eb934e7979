"""The agents on shops' networks: their owners, their keys, and their last heartbeats."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from libs.postgres import query
from libs.postgres.pool import Pool
from services.scale_bridge.bridges.domain import SILENT_SECONDS, Heartbeat

SET_OWNER: Final = """
INSERT INTO bridge (tenant, bridge_id, owner) VALUES ($1, $2, $3)
ON CONFLICT (tenant, bridge_id) DO UPDATE SET owner = excluded.owner
"""
REGISTER_KEY: Final = """
INSERT INTO bridge AS known (tenant, bridge_id, name, public_key) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, bridge_id) DO UPDATE
SET name = excluded.name, public_key = excluded.public_key
WHERE coalesce(known.public_key, excluded.public_key) = excluded.public_key RETURNING true
"""
CONNECT: Final = """
UPDATE bridge SET connection = $3, program = $4, heard_at = now()
WHERE tenant = $1 AND bridge_id = $2 RETURNING public_key
"""
OWNER: Final = "SELECT owner FROM bridge WHERE tenant = $1 AND bridge_id = $2"
HEARTBEAT: Final = """
UPDATE bridge SET heard_at = now(), working = $4, completed = $5,
    completed_at = coalesce(now() - $6::interval, completed_at)
WHERE tenant = $1 AND bridge_id = $2 AND connection = $3 RETURNING true
"""
CURRENT: Final = "SELECT connection = $3 FROM bridge WHERE tenant = $1 AND bridge_id = $2"
DISCONNECT: Final = """
UPDATE bridge SET connection = NULL, working = 0
WHERE tenant = $1 AND bridge_id = $2 AND connection = $3
"""
LIST: Final = """
SELECT bridge_id, name, program, completed, completed_at, working,
    connection IS NOT NULL AND heard_at > now() - $3::interval AS connected
FROM bridge WHERE tenant = $1 AND owner = $2 ORDER BY name, bridge_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bridge:
    """An agent. `connected` does not mean that its scales answer: see `completed_at` (SCL-12)."""

    bridge_id: UUID
    name: str
    program: str
    connected: bool
    working: int
    completed: int
    completed_at: datetime | None


async def set_owner(connection: Any, tenant: str, bridge_id: UUID, owner: UUID) -> None:
    """Store the account that enrolled an agent. Safe to repeat."""
    await connection.execute(SET_OWNER, tenant, bridge_id, owner)


async def owner_of(pool: Pool, tenant: str, bridge_id: UUID) -> UUID | None:
    """The account that enrolled an agent; None as long as that is unknown."""
    owner: UUID | None = await query.fetchval(pool, OWNER, tenant, bridge_id)
    return owner


async def register_key(
    pool: Pool, tenant: str, bridge_id: UUID, name: str, public_key: bytes
) -> bool:
    """Store the key that passwords are sealed to; False if the agent has another key.

    A stolen token is not enough to have passwords sealed to another key.
    """
    return bool(await query.fetchval(pool, REGISTER_KEY, tenant, bridge_id, name, public_key))


async def connect(
    pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID, program: str
) -> bytes | None:
    """Make a connection the current one of its agent; the agent's key, None without one."""
    public_key: bytes | None = await query.fetchval(
        pool, CONNECT, tenant, bridge_id, connection_id, program
    )
    return public_key


async def record_heartbeat(
    pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID, beat: Heartbeat
) -> None:
    """Store a heartbeat of an agent, if it came over the current connection."""
    ago = beat.last_completed_seconds_ago
    since = None if ago is None else timedelta(seconds=ago)
    await query.execute(
        pool, HEARTBEAT, tenant, bridge_id, connection_id, beat.working, beat.completed, since
    )


async def is_current(pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID) -> bool:
    """Whether the agent has opened no later connection."""
    return bool(await query.fetchval(pool, CURRENT, tenant, bridge_id, connection_id))


async def disconnect(pool: Pool, tenant: str, bridge_id: UUID, connection_id: UUID) -> None:
    """Mark an agent as disconnected, if this was its current connection."""
    await query.execute(pool, DISCONNECT, tenant, bridge_id, connection_id)


async def list_owned(pool: Pool, tenant: str, owner: UUID) -> Sequence[Bridge]:
    """The agents that an account enrolled, by name."""
    rows = await query.fetch(pool, LIST, tenant, owner, timedelta(seconds=SILENT_SECONDS))
    return [Bridge(**dict(row)) for row in rows]
