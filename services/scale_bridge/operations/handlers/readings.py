"""Whether a scale is being read, so that what it is found to show may replace the stored copy."""

from contracts.scale_bridge import DeviceId, OperationId
from services.scale_bridge.context import Context
from services.scale_bridge.operations.domain import OPERATION
from services.scale_bridge.transfer.domain.kinds import MAY_ADOPT


async def readings(context: Context, tenant: str, device_id: DeviceId) -> frozenset[OperationId]:
    """The operations, queued or running, that may change the copy by what they read.

    Raises Unavailable, LogUnavailable.
    """
    there = await context.work.of_device(tenant, device_id)
    return frozenset([one for one in there if await _reads(context, tenant, one)])


async def _reads(context: Context, tenant: str, operation_id: OperationId) -> bool:
    history = await context.store.read(tenant, OPERATION.stream(operation_id))
    queued = OPERATION.state_after(history.events).queued
    # What is only about to be queued may be a reading.
    return queued is None or queued.kind in MAY_ADOPT
