"""What the daemon must not forget: work it was given, and what became of it until that is settled.

SQLite on the daemon's own disk, written through to it, by one thread. An operation is kept once,
ended once, and remembered for a while after that, so that one that comes again does not run again.
Of a scale's password it holds what the service sealed, and that only until the operation is over.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

from services.scale_bridge.bridges.domain import Report, Reported, Work
from services.scale_bridge.bridges.stores import rows as bridge_rows
from services.scale_bridge.bridges.stores.rows import Exchanges, Task

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class BridgeStore:
    """The daemon's memory. Every method that changes it returns when the change is on the disk."""

    def __init__(
        self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, now: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._thread = thread
        self._now = now

    async def save(self, work: Work, contents: Mapping[str, bytes]) -> bool:
        """Keep work and the compressed catalogues it names; False if it was here before."""
        return await self._run(bridge_rows.save, work, contents, self._now())

    async def tasks(self) -> Sequence[Task]:
        """What is not over, oldest first."""
        return await self._run(bridge_rows.tasks)

    async def holding(self) -> Sequence[UUID]:
        """The operations whose end the service has not settled yet."""
        return await self._run(bridge_rows.holding)

    async def begin(self, operation_id: UUID) -> bool:
        """Say before a scale is spoken to that it will be; False if it was said before."""
        return await self._run(bridge_rows.begin, operation_id)

    async def report(
        self, operation_id: UUID, report: Report, contents: Mapping[str, bytes] | None = None
    ) -> bool:
        """Keep a report, with the compressed catalogue it names; False if the operation is over."""
        return await self._run(
            bridge_rows.report, operation_id, report, contents or {}, self._now()
        )

    async def reports(self, after: int = 0) -> Sequence[tuple[int, Reported]]:
        """Reports that are not settled, in the order they were made, each with its place in it."""
        return await self._run(bridge_rows.reports, after, self._now())

    async def settle(self, operation_id: UUID, number: int) -> None:
        """Forget the reports of an operation up to this number, and what only they needed."""
        await self._run(bridge_rows.settle, operation_id, number, self._now())

    async def content(self, md5: str) -> bytes | None:
        """A compressed catalogue."""
        return await self._run(bridge_rows.content, md5)

    async def completed(self) -> None:
        """A scale has answered to the end."""
        await self._run(bridge_rows.completed, self._now())

    async def exchanges(self) -> Exchanges:
        """All such answers so far."""
        return await self._run(bridge_rows.exchanges)

    async def _run(
        self,
        step: Callable[Concatenate[sqlite3.Connection, Given], Answer],
        *args: Given.args,
        **more: Given.kwargs,
    ) -> Answer:
        def at_once() -> Answer:
            with self._connection:
                return step(self._connection, *args, **more)

        # Shielded: who is cancelled must not leave a statement to a closed connection.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, at_once))


@asynccontextmanager
async def open_bridge_store(file: Path, now: Callable[[], float]) -> AsyncIterator[BridgeStore]:
    """The memory in `file`, made if missing, readable to its owner only. `now` is wall time."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bridge-store")
    loop = asyncio.get_running_loop()
    try:
        connection = await loop.run_in_executor(thread, bridge_rows.open_database, file)
        try:
            yield BridgeStore(connection, thread, now)
        finally:
            await loop.run_in_executor(thread, connection.close)
    finally:
        await asyncio.to_thread(thread.shutdown)
