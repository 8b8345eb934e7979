"""Exchanges with a scale, repeated after transient faults until the deadline (R2, R3)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from services.scale_bridge.driver.adapters.driver import PROBE_SECONDS
from services.scale_bridge.driver.adapters.operation import Fetched, Info, Uploaded
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.document import Document
from services.scale_bridge.driver.domain.fault import ScaleFault, Timeout
from services.scale_bridge.transfer.domain.breaker import is_silent
from services.scale_bridge.transfer.domain.retry import Again, decide_retry
from services.scale_bridge.transfer.handlers.device_task import (
    DeviceTask,
    ExecutionContext,
    ProgressListener,
)

Answer = TypeVar("Answer")


@dataclass(kw_only=True, slots=True)
class Attempts:
    """The exchanges of one task: `begun` so far; `last` is the fault of the last one.

    If the circuit breaker lets this task through as its trial (`is_trial`), nothing is repeated
    until the scale has replied (R6). `until` is the deadline, by the clock of the event loop. Every
    method raises ScaleFault.
    """

    execution: ExecutionContext
    device_task: DeviceTask
    endpoint: Endpoint
    listener: ProgressListener
    until: float
    is_trial: bool = False
    begun: int = 0
    last: ScaleFault | None = None

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.until - asyncio.get_running_loop().time())

    async def read(self) -> Fetched:
        """Fetch the catalogue of the scale."""

        async def fetch() -> Fetched:
            return await self.execution.driver.fetch(
                self.endpoint,
                self.device_task.password,
                self.left,
                strictness=self.device_task.strictness,
            )

        return await self._repeated(fetch)

    async def upload(self, document: Document, *, clear: bool) -> Uploaded:
        """Send a catalogue."""

        async def upload() -> Uploaded:
            return await self.execution.driver.upload(
                self.endpoint, self.device_task.password, document, clear=clear, deadline=self.left
            )

        return await self._repeated(upload)

    async def upload_once(self, document: Document) -> Uploaded:
        """Send a catalogue to be merged, in one attempt."""
        return await self._once(
            lambda: self.execution.driver.upload(
                self.endpoint, self.device_task.password, document, clear=False, deadline=self.left
            )
        )

    async def probe(self) -> Info:
        """Read model and versions of the scale."""

        async def probe() -> Info:
            seconds = min(self.left, PROBE_SECONDS)
            return await self.execution.driver.probe(self.endpoint, deadline=seconds)

        return await self._repeated(probe)

    async def _repeated(self, exchange: Callable[[], Awaitable[Answer]]) -> Answer:
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._once(exchange)
            except ScaleFault as fault:
                chance = self.execution.chance()
                next_ = decide_retry(
                    fault, attempts=attempts, left_seconds=self.left, chance=chance
                )
                if self.is_trial or not isinstance(next_, Again):
                    raise
                await self.execution.sleep(next_.after_seconds)

    async def _once(self, exchange: Callable[[], Awaitable[Answer]]) -> Answer:
        wait = await self.execution.rate_limits.reserve(self.endpoint)
        if self.left <= wait:
            raise Timeout
        await self.execution.sleep(wait)
        self.begun += 1
        await self.listener.begun(self.begun)
        try:
            answer = await exchange()
        except ScaleFault as fault:
            self.last = fault
            self.is_trial = self.is_trial and is_silent(fault)
            raise
        self.last, self.is_trial = None, False
        return answer
