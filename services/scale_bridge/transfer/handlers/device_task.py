"""A self-contained work order for one device, and what executing it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from contracts.scale_bridge import DeviceId, OperationId
from services.scale_bridge.driver.adapters.driver import Driver
from services.scale_bridge.driver.adapters.operation import Fetched
from services.scale_bridge.driver.domain.address import Endpoint, Policy
from services.scale_bridge.driver.domain.document import STRICT, Document, Strictness
from services.scale_bridge.driver.domain.fault import ScaleFault
from services.scale_bridge.transfer.domain.breaker import Verdict
from services.scale_bridge.transfer.domain.commands import Outcome
from services.scale_bridge.transfer.domain.kinds import Kind
from services.scale_bridge.transfer.domain.wording import sentence, sentence_of


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceTask:
    """What to do with which scale, to be over in `seconds`.

    `wanted` is what it shall show, `known` what it was last seen to hold. A `full` upload makes it
    forget everything else first; one that fails may be diagnosed (R15).
    """

    operation_id: OperationId
    device_id: DeviceId
    kind: Kind
    address: str
    port: int
    password: str = field(repr=False)
    seconds: float
    full: bool = False
    wanted: Document | None = None
    known: Document | None = None
    diagnose: bool = False
    strictness: Strictness = STRICT


@dataclass(frozen=True, kw_only=True, slots=True)
class Performed:
    """What became of it. `read` is what the scale held at last, if it was read to the end.

    After `doubtful` ones it is unknown what the scale holds, unless `read` says so.
    """

    outcome: Outcome
    code: str = ""
    detail: str = ""
    result: int | None = None
    read: Fetched | None = None
    items: int | None = None
    doubtful: bool = False


class ProgressListener(Protocol):
    """Receives the progress of a task. What it raises ends the task and releases the scale."""

    async def begun(self, attempt: int) -> None:
        """Attempt number so and so begins. Raises OperationOver if it has ended."""
        ...

    async def applied(self, items: int) -> None:
        """The scale confirmed an import of so many items."""
        ...


class DeviceLeases(Protocol):
    """Exclusive leases on devices; compare `stores.leases.Leases`."""

    seconds: float

    async def take(self, endpoint: Endpoint, holder: str) -> bool: ...
    async def renew(self, endpoint: Endpoint, holder: str) -> bool: ...
    async def release(self, endpoint: Endpoint, holder: str) -> None: ...


class Pacing(Protocol):
    """How often a scale is connected to; compare `adapters.pace.Pace`."""

    async def reserve(self, endpoint: Endpoint) -> float: ...


class CircuitBreakers(Protocol):
    """Circuit breakers; compare `stores.breakers.Breakers`."""

    async def remaining(self, endpoint: Endpoint) -> float: ...
    async def allow(self, endpoint: Endpoint) -> Verdict: ...
    async def record(self, endpoint: Endpoint, fault: ScaleFault | None) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionContext:
    """What the executor needs. `chance` gives a random number from 0 to 1.

    `wait_seconds` is how long to wait for a scale that is spoken to by others. Without `read_back`
    an upload is over when the scale confirms it. `sleep` lets so many seconds pass.
    """

    driver: Driver
    leases: DeviceLeases
    breakers: CircuitBreakers
    pace: Pacing
    policy: Policy
    holder: str
    chance: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    wait_seconds: float = 5.0
    read_back: bool = True


def failed(code: str, *, detail: str = "") -> Performed:
    """It failed, for a reason of ours."""
    return Performed(outcome=Outcome.FAILED, code=code, detail=detail or sentence(code))


def failed_by(fault: ScaleFault, *, doubtful: bool = False) -> Performed:
    """It failed by what the scale said, or did not say."""
    return Performed(
        outcome=Outcome.FAILED,
        code=fault.code,
        detail=sentence_of(fault),
        result=fault.result,
        doubtful=doubtful,
    )
