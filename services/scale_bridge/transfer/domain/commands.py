"""Commands on operations, and their outcomes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from contracts.scale_bridge import DeviceId, OperationId
from services.scale_bridge.transfer.domain.kinds import Kind


class Outcome(StrEnum):
    """The outcome of an operation."""

    DONE = "done"
    VERIFIED = "verified"
    FAILED = "failed"
    UNKNOWN = "unknown"


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
