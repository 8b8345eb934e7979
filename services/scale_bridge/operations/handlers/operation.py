"""Operations from the request to the end: queued, advanced, ended.

A caller may wait for the end. It holds nothing meanwhile, neither a connection nor a transaction,
and the operation goes on if the caller leaves (R20, R22).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

from msgspec.structs import replace

from contracts.scale_bridge import DeviceId, OperationEnded, OperationId, ScaleBridgeEvent
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import NO_STREAM, Metadata, VersionConflict
from libs.eventsourcing.store import EventStore, new_event_id
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.context import Context
from services.scale_bridge.devices.handlers import device as devices
from services.scale_bridge.operations.domain import (
    OPERATION,
    Apply,
    Begin,
    End,
    Operation,
    OperationUnknown,
    Queue,
    Result,
)
from services.scale_bridge.operations.stores.work import Job, WorkQueue
from services.scale_bridge.transfer.domain.kinds import MAY_ADOPT, Kind

_ENDED: Final = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationRequest:
    """A request to queue an operation, which begins `after_seconds` from now or later.

    A repeated `operation_id` changes nothing. All events that follow from the operation carry the
    `correlation_id`; `causation_id` names what led to it.
    """

    tenant: str
    device_id: DeviceId
    operation_id: OperationId
    kind: str
    asked_by: str
    full: bool = False
    after_seconds: float = 0.0
    correlation_id: str | None = None
    causation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an operation, and the token that makes its consequences visible to readers."""

    event: OperationEnded
    token: str


def new_id() -> OperationId:
    """An id for a new operation."""
    return OperationId(new_event_id())


def end_of(operation_id: OperationId) -> UUID:
    """The id of the event that ends an operation: there is only one."""
    return uuid5(_end_command(operation_id), "0")


async def enqueue(context: Context, request: OperationRequest) -> None:
    """Queue an operation on a scale. Safe to repeat.

    Raises DeviceUnknown, LogUnavailable, Unavailable.
    """
    bridge = (await devices.load(context, request.tenant, request.device_id)).details.bridge
    now, seconds = context.clock(), context.settings.operation_seconds + request.after_seconds
    # Taken before the operation is queued: the fetch must not undo changes made from now on.
    revision = await _revision_before(context, request)
    command = Queue(
        operation_id=request.operation_id,
        device_id=request.device_id,
        kind=Kind(request.kind),
        full=request.full,
        asked_by=request.asked_by,
        bridge=bridge,
        seconds=seconds,
        now=now,
        catalogue_revision=revision,
    )
    job = Job(
        tenant=request.tenant,
        operation_id=request.operation_id,
        device_id=request.device_id,
        deadline_at=now + timedelta(seconds=seconds),
    )
    # The row comes before the event: what is in the log is certain to be executed.
    await WorkQueue.of(context, bridge).put(job, now + timedelta(seconds=request.after_seconds))
    await _append_queued(context, request, command)


async def load(context: Context, tenant: str, operation_id: OperationId) -> Operation:
    """An operation as the log has it. Raises OperationUnknown, LogUnavailable."""
    history = await context.store.read(tenant, OPERATION.stream(operation_id))
    operation = OPERATION.state_after(history.events)
    if operation.queued is None:
        raise OperationUnknown
    return operation


async def load_owned(
    context: Context,
    tenant: str,
    operation_id: OperationId,
    device_id: DeviceId | None,
    owner: UUID,
) -> Operation:
    """An operation on a device of the owner, any of them if `device_id` is None.

    Raises OperationUnknown, LogUnavailable.
    """
    operation = await load(context, tenant, operation_id)
    queued = operation.queued
    if queued is None or device_id not in (None, queued.device_id):
        raise OperationUnknown
    if not await devices.is_owned(context, tenant, queued.device_id, owner):
        raise OperationUnknown
    return operation


async def pending_fetches(
    context: Context, tenant: str, device_id: DeviceId
) -> frozenset[OperationId]:
    """The operations, queued or running, that may replace the stored catalogue by what they read.

    Raises Unavailable, LogUnavailable.
    """
    pending = await WorkQueue.of(context).of_device(tenant, device_id)
    return frozenset([one for one in pending if await _may_adopt(context, tenant, one)])


async def correlation_of(context: Context, operation_id: OperationId) -> str | None:
    """The correlation id of an operation and of all that follows from it. Raises LogUnavailable."""
    first = uuid5(_queue_command(operation_id), "0")
    recorded = (await context.store.log.find([first])).get(first)
    return None if recorded is None else recorded.metadata.correlation_id


async def find_ends(
    store: EventStore[ScaleBridgeEvent], operations: Collection[OperationId]
) -> Mapping[OperationId, Ended]:
    """The ends of those of the operations that have ended. Raises Unavailable, LogUnavailable."""
    ids = {end_of(operation_id): operation_id for operation_id in operations}
    ends: dict[OperationId, Ended] = {}
    for event_id, recorded in (await store.log.find(list(ids))).items():
        event = store.decode(recorded)
        if isinstance(event, OperationEnded):
            ends[ids[event_id]] = Ended(event, recorded.token)
    return ends


async def advance(
    context: Context, operation_id: OperationId, command: Begin | Apply, metadata: Metadata
) -> None:
    """Record an attempt or an import. Raises OperationOver, OperationUnknown, LogUnavailable."""
    metadata = await _correlated(context, operation_id, metadata)
    await execute(context.store, OPERATION, operation_id, command, metadata=metadata)


async def record_end(
    context: Context, operation_id: OperationId, result: Result, metadata: Metadata
) -> None:
    """Record the end of an operation. Of several ends only the first is recorded (R24).

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
        command_id=_end_command(operation_id),
    )
    await WorkQueue.of(context).done(metadata.tenant, operation_id)


async def _revision_before(context: Context, request: OperationRequest) -> int | None:
    if request.kind not in MAY_ADOPT:
        return None
    return (await catalogue.load(context, request.tenant, request.device_id)).catalogue.revision


async def _append_queued(context: Context, request: OperationRequest, command: Queue) -> None:
    metadata = Metadata(
        tenant=request.tenant,
        actor=request.asked_by,
        correlation_id=request.correlation_id,
        causation_id=request.causation_id,
    )
    try:
        await context.store.append(
            OPERATION.stream(request.operation_id),
            OPERATION.decide(OPERATION.initial, command),
            expected=NO_STREAM,
            metadata=metadata,
            command_id=_queue_command(request.operation_id),
        )
    except VersionConflict:
        # The same operation was queued before.
        return


async def _may_adopt(context: Context, tenant: str, operation_id: OperationId) -> bool:
    history = await context.store.read(tenant, OPERATION.stream(operation_id))
    queued = OPERATION.state_after(history.events).queued
    # A row without its event: the operation is about to be queued and may be a fetch.
    return queued is None or queued.kind in MAY_ADOPT


async def _correlated(context: Context, operation_id: OperationId, metadata: Metadata) -> Metadata:
    if metadata.correlation_id is not None:
        return metadata
    return replace(metadata, correlation_id=await correlation_of(context, operation_id))


def _queue_command(operation_id: OperationId) -> UUID:
    return uuid5(operation_id, "queued")


def _end_command(operation_id: OperationId) -> UUID:
    return uuid5(operation_id, _ENDED)
