"""The queue of jobs: one row per operation, from before it is queued in the log until it has ended.

What an operation is stands in the log. A row says only who has claimed it, so that operations are
executed while Kafka is unavailable, and those of a dead worker by another one.
"""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

from contracts.scale_bridge import DeviceId, OperationId
from libs.postgres import query
from libs.postgres.pool import Pool
from services.scale_bridge.context import Context

PUT: Final = """
INSERT INTO work (tenant, operation_id, device_id, deadline_at, bridge, not_before)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, operation_id) DO NOTHING
"""
_CLAIM: Final = """
UPDATE work AS claimed SET claimed_by = $1, claimed_until = now() + $2::interval
FROM (
    SELECT tenant, operation_id FROM work
    WHERE {due} AND (claimed_until IS NULL OR claimed_until <= now())
    ORDER BY {order} LIMIT $3 FOR UPDATE SKIP LOCKED
) AS free
WHERE claimed.tenant = free.tenant AND claimed.operation_id = free.operation_id
RETURNING claimed.tenant, claimed.operation_id, claimed.device_id, claimed.deadline_at
"""
CLAIM: Final = _CLAIM.format(
    due="not_before <= $4 AND bridge IS NOT DISTINCT FROM $5", order="not_before, operation_id"
)
OVERDUE: Final = _CLAIM.format(due="deadline_at <= $4", order="deadline_at")
RENEW: Final = """
UPDATE work SET claimed_until = now() + $2::interval
WHERE claimed_by = $1 AND operation_id = any($3::uuid[])
"""
LATER: Final = """
UPDATE work SET claimed_by = NULL, claimed_until = NULL, not_before = now() + $3::interval
WHERE tenant = $1 AND operation_id = $2
"""
DUE: Final = """
SELECT extract(epoch FROM min(greatest(not_before - $2, claimed_until - now())))::float8
FROM work WHERE bridge IS NOT DISTINCT FROM $1
"""
REMOVE: Final = "DELETE FROM work WHERE tenant = $1 AND operation_id = $2"
OF_DEVICE: Final = "SELECT operation_id FROM work WHERE tenant = $1 AND device_id = $2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An operation to execute."""

    tenant: str
    operation_id: OperationId
    device_id: DeviceId
    deadline_at: datetime


class WorkQueue:
    """The queue. A claim lasts `seconds` unless it is renewed. All methods raise Unavailable.

    Jobs are claimed for one `bridge` at a time, None for the service itself.
    """

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool = pool
        self._length = timedelta(seconds=seconds)

    @classmethod
    def of(cls, context: Context) -> Self:
        """The queue of the service, with the lease of its settings."""
        return cls(context.system, context.settings.lease_seconds)

    async def put(self, job: Job, bridge: UUID | None, not_before: datetime) -> None:
        """Add a job, which is not claimed before a moment. Safe to repeat."""
        await query.execute(self._pool, PUT, *astuple(job), bridge, not_before)

    async def claim(
        self, holder: str, now: datetime, *, limit: int, bridge: UUID | None = None
    ) -> Sequence[Job]:
        """Claim jobs that are free, or whose claim has run out."""
        rows = await query.fetch(self._pool, CLAIM, holder, self._length, limit, now, bridge)
        return [query.row_as(Job, row) for row in rows]

    async def claim_overdue(self, holder: str, now: datetime, *, limit: int) -> Sequence[Job]:
        """Claim free jobs of all bridges that are past their deadline."""
        rows = await query.fetch(self._pool, OVERDUE, holder, self._length, limit, now)
        return [query.row_as(Job, row) for row in rows]

    async def seconds_until_due(self, now: datetime, *, bridge: UUID | None = None) -> float | None:
        """Seconds until a job may be claimed, below 0 if one may be now; None without jobs."""
        due: float | None = await query.fetchval(self._pool, DUE, bridge, now)
        return due

    async def renew(self, holder: str, operations: Collection[OperationId]) -> None:
        """Extend claims of `holder`."""
        await query.execute(self._pool, RENEW, holder, self._length, list(operations))

    async def later(self, tenant: str, operation_id: OperationId, seconds: float) -> None:
        """Release a claim and put the job off for so many seconds."""
        await query.execute(self._pool, LATER, tenant, operation_id, timedelta(seconds=seconds))

    async def done(self, tenant: str, operation_id: OperationId) -> None:
        """Remove the job of an operation that has ended. Safe to repeat."""
        await query.execute(self._pool, REMOVE, tenant, operation_id)

    async def of_device(self, tenant: str, device_id: DeviceId) -> Sequence[OperationId]:
        """The operations of a device that have not ended."""
        rows = await query.fetch(self._pool, OF_DEVICE, tenant, device_id)
        return [OperationId(UUID(str(row["operation_id"]))) for row in rows]
