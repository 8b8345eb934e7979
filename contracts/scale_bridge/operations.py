"""Events about operations with a scale, and about what a read of it showed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NewType
from uuid import UUID

from contracts.scale_bridge.devices import DeviceId

OPERATIONS: Final = "scale-bridge.operation"
SHOWN: Final = "scale-bridge.shown"

OperationId = NewType("OperationId", UUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationQueued:
    """An operation with a scale was queued; it expires at `deadline_at`.

    `kind` is fetch, upload, verify, probe or refresh (dates, then upload). A `full` upload replaces
    the scale's products, others send the difference. `asked_by` is an account, or `schedule`,
    `heal` or `price`. `catalogue_revision` is the last revision that the caller of a fetch could
    know: the fetch does not overwrite later ones. None in older events.
    """

    operation_id: OperationId
    device_id: DeviceId
    kind: str
    full: bool
    asked_by: str
    bridge: UUID | None
    queued_at: datetime
    deadline_at: datetime
    catalogue_revision: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationSending:
    """An attempt was started by `holder`, which has the lease on the scale."""

    operation_id: OperationId
    device_id: DeviceId
    holder: str
    attempt: int
    revision: int | None
    began_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationApplied:
    """The scale confirmed an import, which is not yet verified by a read."""

    operation_id: OperationId
    device_id: DeviceId
    revision: int
    content: str
    items: int
    applied_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationEnded:
    """An operation ended. Every operation has exactly one such event.

    `outcome` is done, verified, failed or unknown. `code` is stable, and empty on success; `detail`
    is for people; `result` is the scale's own code. `content` is the MD5 of what was transferred.
    """

    operation_id: OperationId
    device_id: DeviceId
    kind: str
    outcome: str
    code: str
    detail: str
    result: int | None
    revision: int | None
    content: str | None
    items: int | None
    attempts: int
    ended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductsShown:
    """A completed read found changed products on the scale, by PLU.

    `shown` has the displayed fields of a product (name, price, shelf life, dates); `gone` are the
    products that are no longer displayed. `part` numbers the events of one read.
    """

    device_id: DeviceId
    operation_id: OperationId
    part: int
    shown: Mapping[str, Mapping[str, Any]]
    gone: tuple[str, ...]
    seen_at: datetime
