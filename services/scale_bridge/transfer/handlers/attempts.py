"""Whole exchanges with a scale, repeated while that makes sense and there is time (R2, R3)."""

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
from services.scale_bridge.transfer.domain.retry import Again, after
from services.scale_bridge.transfer.handlers.device_task import Errand, Gear, Told

Answer = TypeVar("Answer")


@dataclass(kw_only=True, slots=True)
class Attempts:
    """The exchanges of one errand. `begun` of them so far; `last` is the fault of the last one.

    With `is_probe` it is not known whether anybody is there, so that one exchange has to do until
    the scale has answered (R6). `until` is when it must be over, by the event loop's clock. All
    raise ScaleFault.
    """

    gear: Gear
    errand: Errand
    endpoint: Endpoint
    told: Told
    until: float
    is_probe: bool = False
    begun: int = 0
    last: ScaleFault | None = None

    @property
    def left(self) -> float:
        """Seconds left, not below 0."""
        return max(0.0, self.until - asyncio.get_running_loop().time())

    async def read(self) -> Fetched:
        """What the scale holds."""

        async def fetch() -> Fetched:
            return await self.gear.driver.fetch(
                self.endpoint,
                self.errand.password,
                self.left,
                strictness=self.errand.strictness,
            )

        return await self._repeated(fetch)

    async def upload(self, document: Document, *, clear: bool) -> Uploaded:
        """Send something."""

        async def upload() -> Uploaded:
            return await self.gear.driver.upload(
                self.endpoint, self.errand.password, document, clear=clear, deadline=self.left
            )

        return await self._repeated(upload)

    async def upload_once(self, document: Document) -> Uploaded:
        """Send something to be merged, without another attempt."""
        return await self._once(
            lambda: self.gear.driver.upload(
                self.endpoint, self.errand.password, document, clear=False, deadline=self.left
            )
        )

    async def probe(self) -> Info:
        """What the scale says of itself."""

        async def probe() -> Info:
            seconds = min(self.left, PROBE_SECONDS)
            return await self.gear.driver.probe(self.endpoint, deadline=seconds)

        return await self._repeated(probe)

    async def _repeated(self, exchange: Callable[[], Awaitable[Answer]]) -> Answer:
        tried = 0
        while True:
            tried += 1
            try:
                return await self._once(exchange)
            except ScaleFault as fault:
                chance = self.gear.chance()
                next_ = after(fault, attempts=tried, left_seconds=self.left, chance=chance)
                if self.is_probe or not isinstance(next_, Again):
                    raise
                await self.gear.sleep(next_.after_seconds)

    async def _once(self, exchange: Callable[[], Awaitable[Answer]]) -> Answer:
        wait = await self.gear.pace.reserve(self.endpoint)
        if self.left <= wait:
            raise Timeout
        await self.gear.sleep(wait)
        self.begun += 1
        await self.told.begun(self.begun)
        try:
            answer = await exchange()
        except ScaleFault as fault:
            self.last = fault
            self.is_probe = self.is_probe and is_silent(fault)
            raise
        self.last, self.is_probe = None, False
        return answer
