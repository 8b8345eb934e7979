"""The queue of jobs: one row per operation, from before it is queued in the log until it has ended.

What an operation is stands in the log. A row says only who has claimed it, so that operations are
executed while Kafka is unavailable, and those of a dead worker by another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from contracts.scale_bridge import DeviceId, OperationId
from libs.jobs.queue import Queue
from libs.jobs.table import JobTable
from libs.postgres import query
from services.scale_bridge.context import Context

OF_DEVICE: Final = "SELECT operation_id FROM work WHERE tenant = $1 AND device_id = $2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An operation to execute."""

    tenant: str
    operation_id: OperationId
    device_id: DeviceId
    deadline_at: datetime


# An operation that fails has ended: it is never parked.
TABLE: Final = JobTable(
    "work",
    Job,
    key={"tenant": "text", "operation_id": "uuid"},
    partition="bridge",
    parks=False,
)


class WorkQueue(Queue[Job]):
    """The queue of one agent, or of the service itself. All methods raise Unavailable."""

    @classmethod
    def of(cls, context: Context, bridge: UUID | None = None) -> Self:
        """The queue of `bridge`, None for the service, with the lease of the settings."""
        return cls(context.system, TABLE, bridge, seconds=context.settings.lease_seconds)

    async def of_device(self, tenant: str, device_id: DeviceId) -> Sequence[OperationId]:
        """The operations of a device that have not ended."""
        rows = await query.fetch(self.pool, OF_DEVICE, tenant, device_id)
        return [OperationId(UUID(str(row["operation_id"]))) for row in rows]
