"""An operation on a scale: it is queued, attempted, perhaps applied, and ends once (R24)."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias, assert_never
from uuid import UUID

from contracts.scale_bridge import (
    DeviceId,
    OperationApplied,
    OperationEnded,
    OperationId,
    OperationQueued,
    OperationSending,
    ScaleBridgeEvent,
)
from libs.errors import NotFound, Refused
from libs.eventsourcing.decider import Decider
from services.scale_bridge.transfer.domain.failure_texts import INTERRUPTED, NO_REPORT, NOT_BEGUN
from services.scale_bridge.transfer.domain.kinds import Kind, Outcome, broken_off


class Stage(StrEnum):
    """The stages of an operation, in their order."""

    NONE = "none"
    QUEUED = "queued"
    SENDING = "sending"
    APPLIED = "applied"
    ENDED = "ended"


BY_RECOVERY: Final = "heal"
"""The `asked_by` of operations that automatic recovery queues."""


class OperationUnknown(NotFound):
    """Operation not found"""


class OperationOver(Refused):
    """The operation has ended, or another holder executes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """The state of an operation.

    `holder` is the worker or agent that executes it, `attempts` how often it has begun.
    """

    stage: Stage = Stage.NONE
    queued: OperationQueued | None = None
    holder: str | None = None
    attempts: int = 0
    applied: OperationApplied | None = None
    ended: OperationEnded | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The result of an operation. `code` is empty after a success; `result` is the scale's code."""

    outcome: Outcome
    code: str = ""
    detail: str = ""
    result: int | None = None
    revision: int | None = None
    content: str | None = None
    items: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """Queue an operation that must end within `seconds`.

    A fetch preserves changes of the catalogue after `catalogue_revision`.
    """

    operation_id: OperationId
    device_id: DeviceId
    kind: Kind
    full: bool
    asked_by: str
    bridge: UUID | None
    seconds: float
    now: datetime
    catalogue_revision: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Begin an operation, or begin it again; an upload sends the revision."""

    holder: str
    revision: int | None
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Apply:
    """Record an import that the scale confirmed."""

    revision: int
    content: str
    items: int
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """End an operation."""

    result: Result
    now: datetime


OperationCommand: TypeAlias = Queue | Begin | Apply | End


def queued_of(operation: Operation) -> OperationQueued:
    """The request of an operation. Raises OperationUnknown."""
    if operation.queued is None:
        raise OperationUnknown
    return operation.queued


def decide(operation: Operation, command: OperationCommand) -> list[ScaleBridgeEvent]:
    """See `Decider`. An operation that has ended never changes. Raises OperationOver."""
    match command:
        case Queue():
            return [] if operation.queued is not None else [_queued(command)]
        case End():
            return [] if operation.ended is not None else [_ended(operation, command)]
        case _ if operation.ended is not None:
            raise OperationOver
        case Begin():
            return [_begun(operation, command)]
        case Apply():
            return [] if operation.applied is not None else [_applied(operation, command)]
        case _:
            assert_never(command)


def _queued(command: Queue) -> OperationQueued:
    return OperationQueued(
        operation_id=command.operation_id,
        device_id=command.device_id,
        kind=command.kind,
        full=command.full,
        asked_by=command.asked_by,
        bridge=command.bridge,
        queued_at=command.now,
        deadline_at=command.now + timedelta(seconds=command.seconds),
        catalogue_revision=command.catalogue_revision,
    )


def _begun(operation: Operation, command: Begin) -> OperationSending:
    queued = queued_of(operation)
    if operation.holder not in (None, command.holder):
        raise OperationOver
    return OperationSending(
        operation_id=queued.operation_id,
        device_id=queued.device_id,
        holder=command.holder,
        attempt=operation.attempts + 1,
        revision=command.revision,
        began_at=command.now,
    )


def _applied(operation: Operation, command: Apply) -> OperationApplied:
    queued = queued_of(operation)
    return OperationApplied(
        operation_id=queued.operation_id,
        device_id=queued.device_id,
        revision=command.revision,
        content=command.content,
        items=command.items,
        applied_at=command.now,
    )


def _ended(operation: Operation, command: End) -> OperationEnded:
    queued, result = queued_of(operation), command.result
    return OperationEnded(
        operation_id=queued.operation_id,
        device_id=queued.device_id,
        kind=queued.kind,
        attempts=operation.attempts,
        ended_at=command.now,
        **asdict(result),
    )


def evolve(operation: Operation, event: ScaleBridgeEvent) -> Operation:
    """See `Decider`."""
    match event:
        case OperationQueued():
            return replace(operation, stage=Stage.QUEUED, queued=event)
        case OperationSending(holder=holder, attempt=attempt):
            return replace(operation, stage=Stage.SENDING, holder=holder, attempts=attempt)
        case OperationApplied():
            return replace(operation, stage=Stage.APPLIED, applied=event)
        case OperationEnded():
            return replace(operation, stage=Stage.ENDED, ended=event)
        case _:
            # Devices, catalogues and schedules have streams of their own.
            return operation


def expired_result(operation: Operation, *, agent_kinds: Collection[str] = ()) -> Result:
    """The result of an operation whose holder is gone, or that began too late (R25).

    The outcome is unknown if the scale may have been written to. `agent_kinds` are the kinds of
    the tasks that agents were sent for it, and may have begun without a report.
    """
    queued, applied = queued_of(operation), operation.applied
    if applied is not None:
        return Result(
            outcome=Outcome.DONE,
            revision=applied.revision,
            content=applied.content,
            items=applied.items,
        )
    if operation.stage is Stage.SENDING:
        return Result(outcome=broken_off(queued.kind), code=INTERRUPTED)
    if agent_kinds:
        outcomes = {broken_off(kind) for kind in agent_kinds}
        outcome = Outcome.UNKNOWN if Outcome.UNKNOWN in outcomes else Outcome.FAILED
        return Result(outcome=outcome, code=NO_REPORT)
    return Result(outcome=Outcome.FAILED, code=NOT_BEGUN)


OPERATION: Final = Decider(category="operation", initial=Operation(), decide=decide, evolve=evolve)
