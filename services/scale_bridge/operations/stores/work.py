"""Operations that are to be done: a row from before the event that queues one until it has ended.

What an operation is stands in the log. Here stands only who is at it, so that the work goes on
whatever becomes of Kafka, and a dead worker's is taken up by another.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from contracts.scale_bridge import DeviceId, OperationId
from libs.postgres.pool import Pool, acquire

PUT: Final = """
INSERT INTO work (tenant, operation_id, device_id, bridge, not_before, deadline_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, operation_id) DO NOTHING
"""
CLAIM: Final = """
UPDATE work AS claimed SET claimed_by = $1, claimed_until = now() + $2::interval
FROM (
    SELECT tenant, operation_id FROM work
    WHERE bridge IS NOT DISTINCT FROM $3 AND not_before <= $4
        AND (claimed_until IS NULL OR claimed_until <= now())
    ORDER BY not_before, operation_id LIMIT $5 FOR UPDATE SKIP LOCKED
) AS free
WHERE claimed.tenant = free.tenant AND claimed.operation_id = free.operation_id
RETURNING claimed.tenant, claimed.operation_id, claimed.device_id, claimed.deadline_at
"""
OVERDUE: Final = """
UPDATE work AS claimed SET claimed_by = $1, claimed_until = now() + $2::interval
FROM (
    SELECT tenant, operation_id FROM work
    WHERE deadline_at <= $3 AND (claimed_until IS NULL OR claimed_until <= now())
    ORDER BY deadline_at LIMIT $4 FOR UPDATE SKIP LOCKED
) AS free
WHERE claimed.tenant = free.tenant AND claimed.operation_id = free.operation_id
RETURNING claimed.tenant, claimed.operation_id, claimed.device_id, claimed.deadline_at
"""
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
GONE: Final = "DELETE FROM work WHERE tenant = $1 AND operation_id = $2"
OF_DEVICE: Final = "SELECT operation_id FROM work WHERE tenant = $1 AND device_id = $2"
COUNT: Final = "SELECT count(*) FROM work"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An operation that is to be done."""

    tenant: str
    operation_id: OperationId
    device_id: DeviceId
    deadline_at: datetime


class Work:
    """The table. `seconds` is how long a claim lasts without being renewed. All raise Unavailable.

    What happens at one place is put, claimed and removed there: `bridge` is None for the service
    itself.
    """

    def __init__(self, pool: Pool, seconds: float) -> None:
        self.seconds = seconds
        self._pool = pool
        self._length = timedelta(seconds=seconds)

    async def put(self, job: Job, bridge: UUID | None, not_before: datetime) -> None:
        """Have it done, not before some moment. Safe to repeat."""
        async with acquire(self._pool) as connection:
            await connection.execute(
                PUT,
                job.tenant,
                job.operation_id,
                job.device_id,
                bridge,
                not_before,
                job.deadline_at,
            )

    async def claim(
        self, holder: str, now: datetime, *, limit: int, bridge: UUID | None = None
    ) -> Sequence[Job]:
        """Claim some that are free, or whose holder is gone."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(CLAIM, holder, self._length, bridge, now, limit)
        return [_job(row) for row in rows]

    async def claim_overdue(self, holder: str, now: datetime, *, limit: int) -> Sequence[Job]:
        """Claim some past their deadline that are free, whichever bridge they were for."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(OVERDUE, holder, self._length, now, limit)
        return [_job(row) for row in rows]

    async def seconds_until_due(self, now: datetime, *, bridge: UUID | None = None) -> float | None:
        """When the next may be claimed, negative if one may be already; None if there is none."""
        async with acquire(self._pool) as connection:
            due: float | None = await connection.fetchval(DUE, bridge, now)
        return due

    async def renew(self, holder: str, operations: Collection[OperationId]) -> None:
        """Keep at them."""
        async with acquire(self._pool) as connection:
            await connection.execute(RENEW, holder, self._length, list(operations))

    async def later(self, tenant: str, operation_id: OperationId, seconds: float) -> None:
        """Let go of it for so many seconds: there is nothing to be done yet."""
        async with acquire(self._pool) as connection:
            await connection.execute(LATER, tenant, operation_id, timedelta(seconds=seconds))

    async def done(self, tenant: str, operation_id: OperationId) -> None:
        """It has ended. Safe to repeat."""
        async with acquire(self._pool) as connection:
            await connection.execute(GONE, tenant, operation_id)

    async def of_device(self, tenant: str, device_id: DeviceId) -> Sequence[OperationId]:
        """What is to be done with a device, whether it was begun or not."""
        async with acquire(self._pool) as connection:
            rows = await connection.fetch(OF_DEVICE, tenant, device_id)
        return [OperationId(UUID(str(row["operation_id"]))) for row in rows]

    async def count(self) -> int:
        """How many there are."""
        async with acquire(self._pool) as connection:
            number: int = await connection.fetchval(COUNT)
        return number


def _job(row: object) -> Job:
    values: dict[str, object] = dict(row)  # type: ignore[call-overload]
    return Job(
        tenant=str(values["tenant"]),
        operation_id=OperationId(UUID(str(values["operation_id"]))),
        device_id=DeviceId(UUID(str(values["device_id"]))),
        deadline_at=values["deadline_at"],  # type: ignore[arg-type]
    )
