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

from services.scale_bridge.driver.adapters import operation
from services.scale_bridge.driver.adapters.connection import Limits
from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.operation import Call, Fetched, Info, Uploaded
from services.scale_bridge.driver.adapters.replies import Progress
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.driver.domain.document import STRICT, Document, Strictness
from services.scale_bridge.driver.domain.fault import Overloaded, ScaleFault, Timeout, WrongPassword

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

DEADLINE_SECONDS: Final = 120.0
PROBE_SECONDS: Final = 15.0
GRACE_SECONDS: Final = 2.0
"""After its deadline an operation ends within this time (R2)."""


class Driver:
    """Reads and writes scales, at most `connections` at a time."""

    def __init__(self, pool: ThreadPoolExecutor, *, connections: int, limits: Limits) -> None:
        self._pool = pool
        self._free = asyncio.Semaphore(connections)
        self._limits = limits
        self._running: set[Deadline] = set()
        self._progress: Progress | None = None

    @property
    def busy(self) -> int:
        """How many operations hold a thread."""
        return len(self._running)

    def with_progress(self, progress: Progress) -> Self:
        """The same driver, threads and limits included, with another default for `progress`."""
        driver = copy.copy(self)
        driver._progress = progress
        return driver

    async def fetch(
        self,
        endpoint: Endpoint,
        password: str,
        deadline: float = DEADLINE_SECONDS,
        *,
        strictness: Strictness = STRICT,
        progress: Progress | None = None,
    ) -> Fetched:
        """The scale's catalogue, if it is valid (R5). Safe to repeat. Raises ScaleFault.

        `deadline` is in seconds from now. `progress` receives the bytes so far, without a total.
        """
        report = _on_this_loop(progress or self._progress)
        work = partial(operation.fetch, strictness=strictness, progress=report)
        return await self._run("fetch", work, endpoint, _required(password), deadline)

    async def upload(
        self,
        endpoint: Endpoint,
        password: str,
        document: Document,
        *,
        clear: bool,
        deadline: float = DEADLINE_SECONDS,
        progress: Progress | None = None,
    ) -> Uploaded:
        """Send a catalogue; with `clear` it replaces the scale's, else the scale merges it.

        Returns only if the scale confirmed the import. Raises ScaleFault: after UnknownOutcome, or
        when cancelled, the scale may have imported it or not (R4).
        """
        report = _on_this_loop(progress or self._progress)
        work = partial(operation.upload, document=document, clear=clear, progress=report)
        return await self._run("upload", work, endpoint, _required(password), deadline)

    async def probe(self, endpoint: Endpoint, *, deadline: float = PROBE_SECONDS) -> Info:
        """Model and versions of the scale (FF17); needs no password. Raises ScaleFault."""
        return await self._run("probe", operation.probe, endpoint, "", deadline)

    def stop(self) -> None:
        """Close the connection to every scale; waiting calls raise Timeout."""
        for deadline in self._running:
            deadline.stop()

    async def _run(
        self,
        kind: str,
        work: Callable[[Call], Result],
        endpoint: Endpoint,
        password: str,
        seconds: float,
    ) -> Result:
        deadline = Deadline(seconds)
        logger = log.bind(operation=kind, endpoint=str(endpoint))
        call = Call(endpoint=endpoint, password=password, limits=self._limits, deadline=deadline)
        try:
            result = await self._in_thread(partial(work, call), deadline)
        except ScaleFault as fault:
            elapsed = round(deadline.elapsed, 3)
            logger.info("scale failed", fault=fault.code, result=fault.result, seconds=elapsed)
            raise
        logger.info("scale answered", seconds=round(deadline.elapsed, 3))
        return result

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


def _required(password: str) -> str:
    """The password; without one, the stage byte would take its position in the frame."""
    if not password:
        raise WrongPassword("No scale can have this password.")
    return password


def _on_this_loop(progress: Progress | None) -> Progress | None:
    """The same listener, called on this event loop and not in the thread of the transfer."""
    if progress is None:
        return None
    loop = asyncio.get_running_loop()

    def report(done: int, total: int | None) -> None:
        loop.call_soon_threadsafe(progress, done, total)

    return report
