"""Tasks assigned to agents: what each operation was begun on, until it has ended.

A result may come hours later, and to another process than the one that handed the work out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from contracts.scale_bridge import DeviceId, OperationId
from libs.postgres.pool import Pool, acquire

PUT: Final = """
INSERT INTO handed (tenant, bridge_id, errand_id, operation_id, device_id, deadline_at, kind,
    address, port, revision, content, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (tenant, bridge_id, errand_id) DO UPDATE SET kind = excluded.kind,
    address = excluded.address, port = excluded.port, revision = excluded.revision,
    content = excluded.content, attempts = excluded.attempts
"""
GET: Final = """
SELECT errand_id, operation_id, device_id, deadline_at, kind, address, port, revision, content,
    attempts
FROM handed WHERE tenant = $1 AND bridge_id = $2 AND errand_id = $3
"""
MOVED: Final = """
UPDATE handed SET moved = $4, total = $5
WHERE tenant = $1 AND bridge_id = $2 AND errand_id = $3
"""
OPEN: Final = """
SELECT operation_id FROM handed WHERE tenant = $1 AND bridge_id = $2
    AND errand_id = any($3::uuid[]) AND deadline_at > now() - $4::interval
"""
KINDS: Final = "SELECT kind FROM handed WHERE tenant = $1 AND operation_id = $2"
DONE: Final = """
DELETE FROM handed WHERE tenant = $1 AND bridge_id = $2
    AND (errand_id = any($3::uuid[]) OR deadline_at < now() - interval '30 days')
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentAssignment:
    """A task as it was handed out. `content` and `revision` are of what was to be shown.

    `attempts` is how often its operation had begun before.
    """

    errand_id: UUID
    operation_id: OperationId
    device_id: DeviceId
    deadline_at: datetime
    kind: str
    address: str
    port: int
    revision: int
    content: str | None
    attempts: int


async def put(pool: Pool, tenant: str, bridge_id: UUID, handed: AgentAssignment) -> None:
    """Remember it before it is sent; what was sent again counts from then on."""
    async with acquire(pool) as connection:
        await connection.execute(
            PUT,
            tenant,
            bridge_id,
            handed.errand_id,
            handed.operation_id,
            handed.device_id,
            handed.deadline_at,
            handed.kind,
            handed.address,
            handed.port,
            handed.revision,
            handed.content,
            handed.attempts,
        )


async def get(pool: Pool, tenant: str, bridge_id: UUID, errand_id: UUID) -> AgentAssignment | None:
    """What this daemon was handed under this id."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(GET, tenant, bridge_id, errand_id)
    return None if row is None else AgentAssignment(**dict(row))


async def kinds_of(pool: Pool, tenant: str, operation_id: OperationId) -> Collection[str]:
    """What kinds of work daemons were handed for an operation, none if it was handed to none."""
    async with acquire(pool) as connection:
        rows = await connection.fetch(KINDS, tenant, operation_id)
    return {row["kind"] for row in rows}


async def moved(
    pool: Pool, tenant: str, bridge_id: UUID, errand_id: UUID, done: int, total: int | None
) -> None:
    """So many bytes went over the wire."""
    async with acquire(pool) as connection:
        await connection.execute(MOVED, tenant, bridge_id, errand_id, done, total)


async def open_operations(
    pool: Pool, tenant: str, bridge_id: UUID, task_ids: Collection[UUID], *, grace: timedelta
) -> Sequence[OperationId]:
    """The operations of these tasks that are not long past their deadline."""
    async with acquire(pool) as connection:
        rows = await connection.fetch(OPEN, tenant, bridge_id, list(task_ids), grace)
    return [OperationId(row["operation_id"]) for row in rows]


async def done(pool: Pool, tenant: str, bridge_id: UUID, task_ids: Collection[UUID]) -> None:
    """They ended. Safe to repeat."""
    async with acquire(pool) as connection:
        await connection.execute(DONE, tenant, bridge_id, list(task_ids))
