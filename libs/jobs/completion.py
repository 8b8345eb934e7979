"""Waits for jobs to end: all waiters of a process share one query."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Generic, TypeVar

import structlog

from libs.errors import Unavailable
from libs.http.hub import Hub
from libs.postgres.doorbell import APPENDED, Doorbell

JobId = TypeVar("JobId")
End = TypeVar("End")

POLL_SECONDS: Final = 0.05
"""The shortest time between two queries."""
IDLE_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class CompletionWaiter(Generic[JobId, End]):
    """Waits for the ends of jobs that may run in other processes. Holds no connection meanwhile.

    `find` returns the ends of those of the given jobs that have ended. It is called only while
    something waits: at once, when one of the `topics` rings, and every `IDLE_SECONDS`.
    """

    def __init__(
        self,
        find: Callable[[Collection[JobId]], Awaitable[Mapping[JobId, End]]],
        doorbell: Doorbell,
        *topics: str,
    ) -> None:
        self._find = find
        self._hub = Hub(doorbell, *(topics or (APPENDED,)), pause=POLL_SECONDS, idle=IDLE_SECONDS)
        self._waiting: dict[JobId, set[asyncio.Future[End]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait(self, job_id: JobId, seconds: float) -> End | None:
        """The end of a job; None if it did not end within so many seconds."""
        future: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(future)
        # The job may have ended before: query at once.
        self._hub.begin_round()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            self._forget(job_id, future)

    async def _poll(self) -> None:
        known = -1
        while self._waiting:
            known = await self._hub.wait(known)
            # The last one may have given up meanwhile, and the process may be stopping.
            if not self._waiting:
                return
            try:
                ends = await self._find(list(self._waiting))
            except Unavailable:
                log.info("ends not queried")
                await asyncio.sleep(AWAY_SECONDS)
                continue
            for job_id, end in ends.items():
                for future in self._waiting.get(job_id, ()):
                    if not future.done():
                        future.set_result(end)

    def _forget(self, job_id: JobId, future: "asyncio.Future[End]") -> None:
        left = self._waiting.get(job_id, set())
        left.discard(future)
        if not left:
            self._waiting.pop(job_id, None)
