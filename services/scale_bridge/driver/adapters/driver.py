"""Access to scales through the guarded driver: bounded in number, time and size.

Every operation runs in a thread of a small pool and has one deadline, the wait for a thread
included. At the deadline the connection is closed and the thread is released (R2, R20). Leases,
retries and the circuit breaker are the caller's.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Self, TypeVar

import structlog

from services.scale_bridge.driver.adapters.connection import Limits
from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.operation import Call, Exchange
from services.scale_bridge.driver.adapters.replies import ProgressCallback
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.fault import Overloaded, ScaleFault, Timeout

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

DEADLINE_SECONDS: Final = 120.0
GRACE_SECONDS: Final = 2.0
"""After its deadline an operation ends within this time (R2)."""


class Driver:
    """Reads and writes scales, at most `connections` at a time."""

    def __init__(self, pool: ThreadPoolExecutor, *, connections: int, limits: Limits) -> None:
        self._pool = pool
        self._free = asyncio.Semaphore(connections)
        self._limits = limits
        self._running: set[Deadline] = set()
        self._progress: ProgressCallback | None = None

    @property
    def busy(self) -> int:
        """How many operations hold a thread."""
        return len(self._running)

    def with_progress(self, progress: ProgressCallback) -> Self:
        """The same driver, threads and limits included, which reports the bytes transferred."""
        driver = copy.copy(self)
        driver._progress = progress
        return driver

    async def run(
        self,
        name: str,
        exchange: Exchange[Result],
        endpoint: Endpoint,
        password: str = "",
        deadline: float = DEADLINE_SECONDS,
    ) -> Result:
        """The result of an exchange with a scale, see `operation`; `deadline` is in seconds from
        now.

        `name` is for the log. Raises ScaleFault. When cancelled, or stopped at the deadline, the
        scale may have imported an upload or not (R4).
        """
        limit = Deadline(deadline)
        logger = log.bind(operation=name, endpoint=str(endpoint))
        call = Call(
            endpoint=endpoint,
            password=password,
            limits=self._limits,
            deadline=limit,
            progress=_on_this_loop(self._progress),
        )
        try:
            result = await self._in_thread(partial(exchange, call), limit)
        except ScaleFault as fault:
            elapsed = round(limit.elapsed, 3)
            logger.info("scale failed", fault=fault.code, result=fault.result, seconds=elapsed)
            raise
        logger.info("scale answered", seconds=round(limit.elapsed, 3))
        return result

    def stop(self) -> None:
        """Close the connection to every scale; waiting calls raise Timeout."""
        for deadline in self._running:
            deadline.stop()

    async def _in_thread(self, work: Callable[[], Result], deadline: Deadline) -> Result:
        try:
            async with asyncio.timeout(deadline.left()):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded from None
        self._running.add(deadline)
        thread = asyncio.get_running_loop().run_in_executor(self._pool, work)
        thread.add_done_callback(partial(self._release, deadline))
        try:
            done, _ = await asyncio.wait({thread}, timeout=deadline.left() + GRACE_SECONDS)
        except asyncio.CancelledError:
            deadline.stop()
            await asyncio.wait({thread}, timeout=GRACE_SECONDS)
            raise
        if not done:
            deadline.stop()
            raise Timeout
        try:
            return thread.result()
        except Stopped:
            raise Timeout("The operation on the scale was broken off.") from None

    def _release(self, deadline: Deadline, thread: "asyncio.Future[Result]") -> None:
        self._running.discard(deadline)
        self._free.release()
        if not thread.cancelled():
            thread.exception()


@asynccontextmanager
async def open_driver(
    *, connections: int = 32, limits: Limits | None = None
) -> AsyncIterator[Driver]:
    """A driver for at most `connections` scales at a time.

    When the context ends, all connections are closed and the threads end.
    """
    pool = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="scale")
    driver = Driver(pool, connections=connections, limits=limits or Limits())
    try:
        yield driver
    finally:
        driver.stop()
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)


def _on_this_loop(progress: ProgressCallback | None) -> ProgressCallback | None:
    """The same listener, called on this event loop and not in the thread of the transfer."""
    if progress is None:
        return None
    loop = asyncio.get_running_loop()

    def report(done: int, total: int | None) -> None:
        loop.call_soon_threadsafe(progress, done, total)

    return report
