"""Tasks assigned to agents, and the catalogue each began with, until they have ended.

A report may come hours later, to another process than the one that sent the task.
"""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from contracts.scale_bridge import DeviceId, OperationId
from libs.postgres import query
from libs.postgres.pool import Pool

PUT: Final = """
INSERT INTO handed (tenant, bridge_id, errand_id, operation_id, device_id, deadline_at, kind,
    address, port, revision, content, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (tenant, bridge_id, errand_id) DO UPDATE SET kind = excluded.kind,
    address = excluded.address, port = excluded.port, revision = excluded.revision,
    content = excluded.content, attempts = excluded.attempts
"""
GET: Final = """
SELECT errand_id AS task_id, operation_id, device_id, deadline_at, kind, address, port, revision,
    content, attempts
FROM handed WHERE tenant = $1 AND bridge_id = $2 AND errand_id = $3
"""
PROGRESS: Final = """
UPDATE handed SET moved = $4, total = $5
WHERE tenant = $1 AND bridge_id = $2 AND errand_id = $3
"""
OPEN: Final = """
SELECT operation_id FROM handed WHERE tenant = $1 AND bridge_id = $2
    AND errand_id = any($3::uuid[]) AND deadline_at > now() - $4::interval
"""
KINDS: Final = "SELECT kind FROM handed WHERE tenant = $1 AND operation_id = $2"
REMOVE: Final = """
DELETE FROM handed WHERE tenant = $1 AND bridge_id = $2
    AND (errand_id = any($3::uuid[]) OR deadline_at < now() - interval '30 days')
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentAssignment:
    """A task as it was sent, in the order of the columns. `content` and `revision` are of the
    desired catalogue.

    `attempts` is how often its operation had begun before.
    """

    task_id: UUID
    operation_id: OperationId
    device_id: DeviceId
    deadline_at: datetime
    kind: str
    address: str
    port: int
    revision: int
    content: str | None
    attempts: int


async def put(pool: Pool, tenant: str, bridge_id: UUID, assignment: AgentAssignment) -> None:
    """Store a task before it is sent. A task that is sent again replaces the earlier one."""
    await query.execute(pool, PUT, tenant, bridge_id, *astuple(assignment))


async def get(pool: Pool, tenant: str, bridge_id: UUID, task_id: UUID) -> AgentAssignment | None:
    """The task of an agent with an id."""
    row = await query.fetchrow(pool, GET, tenant, bridge_id, task_id)
    return None if row is None else query.row_as(AgentAssignment, row)


async def kinds_of(pool: Pool, tenant: str, operation_id: OperationId) -> Collection[str]:
    """The kinds of the tasks that were assigned for an operation."""
    rows = await query.fetch(pool, KINDS, tenant, operation_id)
    return {row["kind"] for row in rows}


async def save_progress(
    pool: Pool, tenant: str, bridge_id: UUID, task_id: UUID, done: int, total: int | None
) -> None:
    """Store the bytes that a task has transferred, of a total that may be unknown."""
    await query.execute(pool, PROGRESS, tenant, bridge_id, task_id, done, total)


async def open_operations(
    pool: Pool, tenant: str, bridge_id: UUID, task_ids: Collection[UUID], *, grace: timedelta
) -> Sequence[OperationId]:
    """The operations of tasks that are not past their deadline by more than `grace`."""
    rows = await query.fetch(pool, OPEN, tenant, bridge_id, list(task_ids), grace)
    return [OperationId(row["operation_id"]) for row in rows]


async def remove(pool: Pool, tenant: str, bridge_id: UUID, task_ids: Collection[UUID]) -> None:
    """Delete tasks that have ended. Safe to repeat."""
    await query.execute(pool, REMOVE, tenant, bridge_id, list(task_ids))
