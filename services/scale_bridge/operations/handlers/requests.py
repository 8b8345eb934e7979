"""Requests to enqueue an operation on a scale."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from contracts.scale_bridge import DeviceId, OperationId


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationRequest:
    """An operation to be queued, not to begin before so many seconds from now.

    Ordering the same `operation_id` again changes nothing.
    What led to it, and what all that follows is told under, are its causation and correlation.
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


Enqueue: TypeAlias = Callable[[OperationRequest], Awaitable[None]]
"""Queues an operation. Raises NotFound if there is no such scale, Refused if it cannot be done."""
