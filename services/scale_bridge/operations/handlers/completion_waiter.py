"""Waits for operations to end: all waiters share one query of the log."""

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from contracts.scale_bridge import OperationEnded, OperationId, ScaleBridgeEvent
from libs.errors import Unavailable
from libs.eventsourcing.store import EventStore
from libs.http.hub import Hub
from libs.postgres.doorbell import APPENDED, Doorbell
from services.scale_bridge.operations.handlers.operation import end_of

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.05
"""The shortest time between two queries of the log."""
IDLE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an operation, and the token that makes its consequences visible to readers."""

    event: OperationEnded
    token: str


class CompletionWaiter:
    """Waits for completion events; queries the log only while something waits."""

    def __init__(self, store: EventStore[ScaleBridgeEvent], doorbell: Doorbell) -> None:
        self._store = store
        self._hub = Hub(doorbell, APPENDED, pause=POLL_SECONDS, idle=IDLE_SECONDS)
        self._waiting: dict[OperationId, set[asyncio.Future[Ended]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait(self, operation_id: OperationId, seconds: float) -> Ended | None:
        """The end of an operation; None if it did not end within so many seconds."""
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(operation_id, set()).add(future)
        # The operation may have ended before: query at once.
        self._hub.begin_round()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            self._forget(operation_id, future)

    async def _poll(self) -> None:
        known = -1
        while self._waiting:
            known = await self._hub.wait(known)
            # The last one may have given up meanwhile, and the process may be stopping.
            if not self._waiting:
                return
            try:
                await self._once()
            except Unavailable:
                log.info("ends not queried")
                await asyncio.sleep(1.0)

    async def _once(self) -> None:
        operations = {end_of(operation_id): operation_id for operation_id in self._waiting}
        for event_id, recorded in (await self._store.log.find(list(operations))).items():
            event = self._store.decode(recorded)
            for future in self._waiting.get(operations[event_id], ()):
                if isinstance(event, OperationEnded) and not future.done():
                    future.set_result(Ended(event, recorded.token))

    def _forget(self, operation_id: OperationId, future: "asyncio.Future[Ended]") -> None:
        left = self._waiting.get(operation_id, set())
        left.discard(future)
        if not left:
            self._waiting.pop(operation_id, None)
