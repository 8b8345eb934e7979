"""Exchanges with a scale, repeated after transient faults until the deadline (R2, R3)."""

import asyncio
import math
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.scale_bridge.driver.adapters import operation
from services.scale_bridge.driver.adapters.operation import Exchange, Fetched, Uploaded
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
        exchange = partial(operation.fetch, strictness=self.device_task.strictness)
        return await self.run("fetch", exchange)

    async def upload(self, document: Document, *, clear: bool) -> Uploaded:
        """Send a catalogue."""
        return await self.run("upload", partial(operation.upload, document=document, clear=clear))

    async def upload_once(self, document: Document) -> Uploaded:
        """Send a catalogue to be merged, in one attempt."""
        return await self.run_once(
            "upload", partial(operation.upload, document=document, clear=False)
        )

    async def run(self, name: str, exchange: Exchange[Answer], seconds: float = math.inf) -> Answer:
        """The answer to an exchange, of which each attempt takes at most `seconds`."""
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self.run_once(name, exchange, seconds)
            except ScaleFault as fault:
                chance = self.execution.chance()
                next_ = decide_retry(
                    fault, attempts=attempts, left_seconds=self.left, chance=chance
                )
                if self.is_trial or not isinstance(next_, Again):
                    raise
                await self.execution.sleep(next_.after_seconds)

    async def run_once(
        self, name: str, exchange: Exchange[Answer], seconds: float = math.inf
    ) -> Answer:
        """One attempt, for an exchange that must not be repeated. Raises what the driver raises."""
        wait = await self.execution.rate_limits.reserve(self.endpoint)
        if self.left <= wait:
            raise Timeout
        await self.execution.sleep(wait)
        self.begun += 1
        await self.listener.begun(self.begun)
        try:
            answer = await self.execution.driver.run(
                name,
                exchange,
                self.endpoint,
                self.device_task.password,
                min(self.left, seconds),
            )
        except ScaleFault as fault:
            self.last = fault
            self.is_trial = self.is_trial and is_silent(fault)
            raise
        self.last, self.is_trial = None, False
        return answer
