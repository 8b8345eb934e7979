"""A self-contained task for one device, its result, and what its execution needs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from contracts.scale_bridge import DeviceId, OperationId
from services.scale_bridge.driver.adapters.driver import Driver
from services.scale_bridge.driver.adapters.operation import Fetched
from services.scale_bridge.driver.domain.address import Endpoint, Policy
from services.scale_bridge.driver.domain.document import STRICT, Document, Strictness
from services.scale_bridge.driver.domain.fault import ScaleFault
from services.scale_bridge.transfer.domain.failure_texts import (
    sentence,
    sentence_of,
    with_unknown_outcome,
)
from services.scale_bridge.transfer.domain.kinds import Kind, Outcome, broken_off
from services.scale_bridge.transfer.stores.breakers import CircuitBreakers


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceTask:
    """One operation on one scale, with everything it needs, to end within `seconds`.

    `desired` is the catalogue the scale shall display, `known` the last one it is known to hold. A
    `full` upload replaces all products of the scale. With `diagnose` a failed import is searched
    for the product that the scale refuses (R15).
    """

    operation_id: OperationId
    device_id: DeviceId
    kind: Kind
    address: str
    port: int
    password: str = field(repr=False)
    seconds: float
    full: bool = False
    desired: Document | None = None
    known: Document | None = None
    diagnose: bool = False
    strictness: Strictness = STRICT


@dataclass(frozen=True, kw_only=True, slots=True)
class Performed:
    """The result of a task. `read` is the catalogue the scale held at the end, if it was read.

    After a `doubtful` result without `read` it is unknown what the scale holds.
    """

    outcome: Outcome
    code: str = ""
    detail: str = ""
    result: int | None = None
    read: Fetched | None = None
    items: int | None = None
    doubtful: bool = False


class ProgressListener(Protocol):
    """Receives the progress of a task. An exception ends the task and releases the lease."""

    async def begun(self, attempt: int) -> None:
        """An attempt begins, counted from 1. Raises OperationOver if the operation has ended."""
        ...

    async def applied(self, items: int) -> None:
        """The scale confirmed an import of so many products."""
        ...


class DeviceLeases(Protocol):
    """Exclusive leases on devices, see `libs.postgres.leases.Leases`."""

    seconds: float

    async def take(self, endpoint: Endpoint, holder: str) -> bool: ...
    async def renew(self, endpoint: Endpoint, holder: str) -> bool: ...
    async def release(self, endpoint: Endpoint, holder: str) -> None: ...


class RateLimiter(Protocol):
    """The rate of connections to a scale, see `stores.rate_limits.RateLimits`."""

    async def reserve(self, endpoint: Endpoint) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionContext:
    """What the execution of tasks needs. `chance` returns a random number from 0 to 1.

    `wait_seconds` is the longest wait for a lease. Without `read_back` an upload ends when the
    scale confirms it. `sleep` waits the given seconds.
    """

    driver: Driver
    leases: DeviceLeases
    breakers: CircuitBreakers
    rate_limits: RateLimiter
    policy: Policy
    holder: str
    chance: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    wait_seconds: float = 5.0
    read_back: bool = True


def failed(code: str, *, detail: str = "") -> Performed:
    """A failure without a `ScaleFault`."""
    return Performed(outcome=Outcome.FAILED, code=code, detail=detail or sentence(code))


def failed_by(fault: ScaleFault, *, doubtful: bool = False) -> Performed:
    """A failure by a fault of the scale."""
    return Performed(
        outcome=Outcome.FAILED,
        code=fault.code,
        detail=sentence_of(fault),
        result=fault.result,
        doubtful=doubtful,
    )


def doubted(performed: Performed, kind: str) -> Performed:
    """The same; a failure of a kind that sends may have changed the scale all the same."""
    if performed.outcome is not Outcome.FAILED or broken_off(kind) is not Outcome.UNKNOWN:
        return performed
    detail = with_unknown_outcome(performed.detail)
    return replace(performed, outcome=Outcome.UNKNOWN, detail=detail, doubtful=True)
