"""What may be asked of an operation on a scale, and how one may end."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from contracts.scale_bridge import DeviceId, OperationId
from services.scale_bridge.transfer.domain.kinds import Kind


class Outcome(StrEnum):
    """How an operation ends."""

    DONE = "done"
    VERIFIED = "verified"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of an operation; `code` is empty if it went well, `result` the scale's own."""

    outcome: Outcome
    code: str = ""
    detail: str = ""
    result: int | None = None
    revision: int | None = None
    content: str | None = None
    items: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """Something is to be done within `seconds`; changes of the catalogue after a revision stay."""

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
    """`holder` begins, or begins again; for an upload with this revision."""

    holder: str
    revision: int | None
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Apply:
    """The scale confirmed an import."""

    revision: int
    content: str
    items: int
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """It is over."""

    result: Result
    now: datetime


OperationCommand: TypeAlias = Queue | Begin | Apply | End
