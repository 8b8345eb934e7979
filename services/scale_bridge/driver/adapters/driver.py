"""Scales, spoken to by the published driver: bounded in number, time and size, off the event loop.

Every operation has a thread of a small pool for itself and a deadline for all of it, waiting for
its turn included. At the deadline the connection is closed and the thread is free again (R2, R20).
Leases, retries and the circuit breaker are the callers' business.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import structlog

from services.scale_bridge.driver.adapters import operation
from services.scale_bridge.driver.adapters.deadline import Deadline, Stopped
from services.scale_bridge.driver.adapters.line import Limits
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
"""How long after its deadline an operation may take to be gone (R2)."""


class Driver:
    """Speaks to scales. `busy` is how many threads are at it just now."""

    def __init__(self, pool: ThreadPoolExecutor, *, lines: int, limits: Limits) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(lines)
        self._limits = limits
        self._running: set[Deadline] = set()

    @property
    def busy(self) -> int:
        """How many operations hold a thread."""
        return len(self._running)

    async def fetch(
        self,
        endpoint: Endpoint,
        password: str,
        deadline: float = DEADLINE_SECONDS,
        *,
        strictness: Strictness = STRICT,
        progress: Progress | None = None,
    ) -> Fetched:
        """The scale's catalogue, if it is acceptable (R5). Safe to repeat. Raises ScaleFault.

        `deadline` is in seconds from now. `progress` is told the bytes so far, of an unknown total.
        """
        work = partial(operation.fetch, strictness=strictness, progress=_here(progress))
        return await self._run("fetch", work, endpoint, _given(password), deadline)

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
        """Send a catalogue; with `clear` the scale forgets all others first, else it merges.

        Returns only if the scale confirmed the import. Raises ScaleFault: after UnknownOutcome, or
        when cancelled, the scale may have imported it or not (R4).
        """
        work = partial(operation.upload, document=document, clear=clear, progress=_here(progress))
        return await self._run("upload", work, endpoint, _given(password), deadline)

    async def probe(self, endpoint: Endpoint, *, deadline: float = PROBE_SECONDS) -> Info:
        """What the scale says of itself (FF17); needs no password. Raises ScaleFault."""
        return await self._run("probe", operation.probe, endpoint, "", deadline)

    def stop(self) -> None:
        """Close the connection to every scale; waiting calls raise Timeout."""
        for countdown in self._running:
            countdown.stop()

    async def _run(
        self,
        kind: str,
        work: Callable[[Call], Result],
        endpoint: Endpoint,
        password: str,
        deadline: float,
    ) -> Result:
        countdown = Deadline(deadline)
        said = log.bind(operation=kind, endpoint=str(endpoint))
        call = Call(endpoint=endpoint, password=password, limits=self._limits, countdown=countdown)
        try:
            result = await self._in_thread(partial(work, call), countdown)
        except ScaleFault as fault:
            seconds = round(countdown.elapsed, 3)
            said.info("scale failed", fault=fault.code, result=fault.result, seconds=seconds)
            raise
        said.info("scale answered", seconds=round(countdown.elapsed, 3))
        return result

    async def _in_thread(self, work: Callable[[], Result], countdown: Deadline) -> Result:
        try:
            async with asyncio.timeout(countdown.left()):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded from None
        self._running.add(countdown)
        thread = asyncio.get_running_loop().run_in_executor(self._pool, work)
        thread.add_done_callback(partial(self._over, countdown))
        try:
            done, _ = await asyncio.wait({thread}, timeout=countdown.left() + GRACE_SECONDS)
        except asyncio.CancelledError:
            countdown.stop()
            await asyncio.wait({thread}, timeout=GRACE_SECONDS)
            raise
        if not done:
            countdown.stop()
            raise Timeout
        try:
            return thread.result()
        except Stopped:
            raise Timeout("The operation on the scale was broken off.") from None

    def _over(self, countdown: Deadline, thread: "asyncio.Future[Result]") -> None:
        self._running.discard(countdown)
        self._turns.release()
        if not thread.cancelled():
            thread.exception()


@asynccontextmanager
async def open_driver(*, lines: int = 32, limits: Limits | None = None) -> AsyncIterator[Driver]:
    """A driver for at most `lines` scales at once. At the end it hangs up and its threads end."""
    pool = ThreadPoolExecutor(max_workers=lines, thread_name_prefix="scale")
    driver = Driver(pool, lines=lines, limits=limits or Limits())
    try:
        yield driver
    finally:
        driver.stop()
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)


def _given(password: str) -> str:
    """Not even an empty password goes out unnoticed: without one, the stage byte would shift."""
    if not password:
        raise WrongPassword("No scale can have this password.")
    return password


def _here(progress: Progress | None) -> Progress | None:
    """The same, called on this event loop and not in the thread that makes the progress."""
    if progress is None:
        return None
    loop = asyncio.get_running_loop()

    def report(done: int, total: int | None) -> None:
        loop.call_soon_threadsafe(progress, done, total)

    return report
