"""What happens when something is to be done with a scale: it is queued, done by a bridge, and ends.

A caller may wait for the end, and holds nothing meanwhile: no connection, no transaction, and
no hand on the operation, which goes on if they leave (R20, R22).
"""

from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

from msgspec.structs import replace

from contracts.scale_bridge import DeviceId, OperationId
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import NO_STREAM, Metadata, VersionConflict
from libs.eventsourcing.store import new_event_id
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device as devices
from services.scale_bridge.operations.domain import OPERATION, Operation, OperationUnknown
from services.scale_bridge.operations.handlers.requests import OperationRequest
from services.scale_bridge.operations.stores.work import Job
from services.scale_bridge.transfer.domain.commands import Apply, Begin, End, Queue, Result
from services.scale_bridge.transfer.domain.kinds import MAY_ADOPT, Kind

_ENDED: Final = "ended"


def new_id() -> OperationId:
    """An id for an operation that was not ordered yet."""
    return OperationId(new_event_id())


def end_of(operation_id: OperationId) -> UUID:
    """The id of the event that ends an operation: there is only one."""
    return uuid5(_command_of(operation_id), "0")


async def enqueue(context: Context, ordered: OperationRequest) -> None:
    """Have something done with a scale. Safe to repeat.

    Raises DeviceUnknown, LogUnavailable, Unavailable.
    """
    device = await devices.load(context, ordered.tenant, ordered.device_id)
    bridge, now = device.details.bridge, context.clock()
    begins = now + timedelta(seconds=ordered.after_seconds)
    seconds = context.operation_seconds + ordered.after_seconds
    job = Job(
        tenant=ordered.tenant,
        operation_id=ordered.operation_id,
        device_id=ordered.device_id,
        deadline_at=now + timedelta(seconds=seconds),
    )
    revision = None
    if ordered.kind in MAY_ADOPT:
        # Before it is ordered: what is changed from now on is not to be lost by it.
        copy = (await catalogue.load(context, ordered.tenant, ordered.device_id)).catalogue
        revision = copy.revision
    # First the row, then the event: what is in the log is certain to be done.
    await context.work.put(job, bridge, begins)
    command = Queue(
        operation_id=ordered.operation_id,
        device_id=ordered.device_id,
        kind=Kind(ordered.kind),
        full=ordered.full,
        asked_by=ordered.asked_by,
        bridge=bridge,
        seconds=seconds,
        now=now,
        catalogue_revision=revision,
    )
    metadata = Metadata(
        tenant=ordered.tenant,
        actor=ordered.asked_by,
        correlation_id=ordered.correlation_id,
        causation_id=ordered.causation_id,
    )
    try:
        await context.store.append(
            OPERATION.stream(ordered.operation_id),
            OPERATION.decide(OPERATION.initial, command),
            expected=NO_STREAM,
            metadata=metadata,
            command_id=_ordering_of(ordered.operation_id),
        )
    except VersionConflict:
        # It was ordered before; so be it.
        return


async def load(context: Context, tenant: str, operation_id: OperationId) -> Operation:
    """An operation as the log has it. Raises OperationUnknown, LogUnavailable."""
    history = await context.store.read(tenant, OPERATION.stream(operation_id))
    operation = OPERATION.state_after(history.events)
    if operation.queued is None:
        raise OperationUnknown
    return operation


async def own(
    context: Context,
    tenant: str,
    operation_id: OperationId,
    device_id: DeviceId | None,
    owner: UUID,
) -> Operation:
    """An operation on one's own device. Raises OperationUnknown."""
    operation = await load(context, tenant, operation_id)
    queued = operation.queued
    if queued is None or device_id not in (None, queued.device_id):
        raise OperationUnknown
    if not await devices.is_owned(context, tenant, queued.device_id, owner):
        raise OperationUnknown
    return operation


async def correlation_of(context: Context, operation_id: OperationId) -> str | None:
    """What everything that follows from an operation is told under. Raises LogUnavailable."""
    first = uuid5(_ordering_of(operation_id), "0")
    recorded = (await context.store.log.find([first])).get(first)
    return None if recorded is None else recorded.metadata.correlation_id


async def advance(
    context: Context, operation_id: OperationId, command: Begin | Apply, metadata: Metadata
) -> None:
    """How far it is. Raises OperationOver, OperationUnknown, LogUnavailable."""
    metadata = await _correlated(context, operation_id, metadata)
    await execute(context.store, OPERATION, operation_id, command, metadata=metadata)


async def end(
    context: Context, operation_id: OperationId, result: Result, metadata: Metadata
) -> None:
    """It is over. Exactly one end is ever told, the first (R24).

    Safe to repeat. Raises OperationUnknown, LogUnavailable, Unavailable.
    """
    command = End(result=result, now=context.clock())
    metadata = await _correlated(context, operation_id, metadata)
    await execute(
        context.store,
        OPERATION,
        operation_id,
        command,
        metadata=metadata,
        command_id=_command_of(operation_id),
    )
    await context.work.done(metadata.tenant, operation_id)


async def _correlated(context: Context, operation_id: OperationId, metadata: Metadata) -> Metadata:
    if metadata.correlation_id is not None:
        return metadata
    return replace(metadata, correlation_id=await correlation_of(context, operation_id))


def _ordering_of(operation_id: OperationId) -> UUID:
    return uuid5(operation_id, "queued")


def _command_of(operation_id: OperationId) -> UUID:
    return uuid5(operation_id, _ENDED)
