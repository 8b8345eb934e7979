"""The agent's SQLite database: the tasks it was sent, and their reports until the service has them.

It lies on the agent's own disk, every change is written through, and one thread uses it. A task is
stored once, ended once, and remembered for a while after that: a task that is sent again does not
run again. Of a scale's password it holds only what the service sealed, until the task has ended.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar
from uuid import UUID

import msgspec

from services.scale_bridge.bridges.domain import Report, Reported, ReportStage, Work

REMEMBERED_SECONDS: Final = 30 * 86_400.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS operation (
    id TEXT PRIMARY KEY, work BLOB, until REAL NOT NULL, begun INTEGER NOT NULL DEFAULT 0,
    ended_at REAL, reports INTEGER NOT NULL DEFAULT 0, catalogue TEXT, known TEXT
);
CREATE TABLE IF NOT EXISTS report (
    place INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL, number INTEGER NOT NULL,
    report BLOB NOT NULL, content TEXT, happened_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS content (md5 TEXT PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS exchange (
    one INTEGER PRIMARY KEY CHECK (one = 1), completed INTEGER NOT NULL, last_at REAL NOT NULL
);
"""
_UNUSED: Final = """
DELETE FROM content WHERE md5 NOT IN (
    SELECT catalogue FROM operation WHERE work IS NOT NULL AND catalogue IS NOT NULL
    UNION SELECT known FROM operation WHERE work IS NOT NULL AND known IS NOT NULL
    UNION SELECT content FROM report WHERE content IS NOT NULL
)
"""

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentTask:
    """A task that has not ended. `until` is its deadline by this machine's clock.

    `begun`: it was interrupted, so the scale may have been written to.
    """

    work: Work
    until: float
    begun: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchanges:
    """The number of exchanges that scales completed, and the wall time of the last one."""

    completed: int
    last_at: float | None


class AgentStore:
    """The database. A method that changes it returns once the change is on the disk."""

    def __init__(
        self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, now: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._thread = thread
        self._now = now

    async def save(self, work: Work, contents: Mapping[str, bytes]) -> bool:
        """Store a task with the compressed catalogues it names; False if it is stored already."""
        return await self._run(_save, work, contents, self._now())

    async def tasks(self) -> Sequence[AgentTask]:
        """The tasks that have not ended, oldest first."""
        return await self._run(_tasks)

    async def holding(self) -> Sequence[UUID]:
        """The tasks whose end the service has not settled yet."""
        return await self._run(_holding)

    async def begin(self, operation_id: UUID) -> bool:
        """Mark a task as begun, before its scale is connected to; False if it was begun before."""
        return await self._run(_begin, operation_id)

    async def report(
        self, operation_id: UUID, report: Report, contents: Mapping[str, bytes] | None = None
    ) -> bool:
        """Store a report with the compressed catalogue it names; False if the task has ended."""
        return await self._run(_report, operation_id, report, contents or {}, self._now())

    async def reports(self, after: int = 0) -> Sequence[tuple[int, Reported]]:
        """The reports that are not settled after a position, in order, each with its position."""
        return await self._run(_reports, after, self._now())

    async def forget(self, operation_id: UUID, number: int) -> None:
        """Delete the settled reports of a task, up to a number, and what only they needed."""
        await self._run(_forget, operation_id, number, self._now())

    async def content(self, md5: str) -> bytes | None:
        """A compressed catalogue."""
        return await self._run(_content, md5)

    async def completed(self) -> None:
        """Count an exchange that a scale completed."""
        await self._run(_completed, self._now())

    async def exchanges(self) -> Exchanges:
        """All completed exchanges so far."""
        return await self._run(_exchanges)

    async def _run(
        self,
        step: Callable[Concatenate[sqlite3.Connection, Given], Answer],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Answer:
        def in_transaction() -> Answer:
            with self._connection:
                return step(self._connection, *args, **kwargs)

        # Shielded: a cancelled caller must not leave a statement to a closed connection.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, in_transaction))


@asynccontextmanager
async def open_agent_store(file: Path, now: Callable[[], float]) -> AsyncIterator[AgentStore]:
    """The database in `file`, created if missing, for its owner only. `now` is wall time."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agent-store")
    loop = asyncio.get_running_loop()
    try:
        connection = await loop.run_in_executor(thread, _open_database, file)
        try:
            yield AgentStore(connection, thread, now)
        finally:
            await loop.run_in_executor(thread, connection.close)
    finally:
        await asyncio.to_thread(thread.shutdown)


def _open_database(file: Path) -> sqlite3.Connection:
    file.touch(mode=0o600)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Deleted rows are overwritten in the file.
    connection.execute("PRAGMA secure_delete = ON")
    connection.executescript(_SCHEMA)
    return connection


def _save(db: sqlite3.Connection, work: Work, contents: Mapping[str, bytes], now: float) -> bool:
    inserted = db.execute(
        "INSERT OR IGNORE INTO operation (id, work, until, catalogue, known) VALUES (?,?,?,?,?)",
        (
            str(work.operation_id),
            msgspec.json.encode(work),
            now + work.seconds_left,
            work.catalogue,
            work.known,
        ),
    )
    if inserted.rowcount:
        _put(db, contents)
    return bool(inserted.rowcount)


def _tasks(db: sqlite3.Connection) -> list[AgentTask]:
    rows = db.execute(
        "SELECT work, until, begun FROM operation WHERE ended_at IS NULL ORDER BY rowid"
    )
    return [
        AgentTask(work=msgspec.json.decode(work, type=Work), until=until, begun=bool(begun))
        for work, until, begun in rows
    ]


def _holding(db: sqlite3.Connection) -> list[UUID]:
    rows = db.execute(
        "SELECT id FROM operation WHERE ended_at IS NULL UNION SELECT operation FROM report"
    )
    return [UUID(operation_id) for (operation_id,) in rows]


def _begin(db: sqlite3.Connection, operation_id: UUID) -> bool:
    begun = db.execute(
        "UPDATE operation SET begun = 1 WHERE id = ? AND begun = 0", (str(operation_id),)
    )
    return bool(begun.rowcount)


def _report(
    db: sqlite3.Connection,
    operation_id: UUID,
    report: Report,
    contents: Mapping[str, bytes],
    now: float,
) -> bool:
    ended_at = now if report.stage is ReportStage.ENDED else None
    changed = db.execute(
        "UPDATE operation SET ended_at = ?1, work = iif(?1 IS NULL, work, NULL),"
        " reports = reports + 1 WHERE id = ?2 AND ended_at IS NULL RETURNING reports",
        (ended_at, str(operation_id)),
    ).fetchone()
    if changed is None:
        return False
    _put(db, contents)
    db.execute(
        "INSERT INTO report (operation, number, report, content, happened_at)"
        " VALUES (?, ?, ?, ?, ?)",
        (str(operation_id), changed[0], msgspec.json.encode(report), report.content, now),
    )
    return True


def _reports(db: sqlite3.Connection, after: int, now: float) -> list[tuple[int, Reported]]:
    rows = db.execute(
        "SELECT place, operation, number, report, happened_at FROM report WHERE place > ?"
        " ORDER BY place",
        (after,),
    )
    return [
        (
            position,
            Reported(
                operation_id=UUID(operation),
                number=number,
                report=msgspec.json.decode(report, type=Report),
                seconds_ago=max(0.0, now - happened_at),
            ),
        )
        for position, operation, number, report, happened_at in rows
    ]


def _forget(db: sqlite3.Connection, operation_id: UUID, number: int, now: float) -> None:
    db.execute(
        "DELETE FROM report WHERE operation = ? AND number <= ?", (str(operation_id), number)
    )
    db.execute("DELETE FROM operation WHERE ended_at < ?", (now - REMEMBERED_SECONDS,))
    db.execute(_UNUSED)


def _content(db: sqlite3.Connection, md5: str) -> bytes | None:
    row = db.execute("SELECT packed FROM content WHERE md5 = ?", (md5,)).fetchone()
    return None if row is None else bytes(row[0])


def _put(db: sqlite3.Connection, contents: Mapping[str, bytes]) -> None:
    db.executemany("INSERT OR IGNORE INTO content (md5, packed) VALUES (?,?)", contents.items())


def _completed(db: sqlite3.Connection, now: float) -> None:
    db.execute(
        "INSERT INTO exchange (one, completed, last_at) VALUES (1, 1, ?1)"
        " ON CONFLICT (one) DO UPDATE SET completed = completed + 1, last_at = ?1",
        (now,),
    )


def _exchanges(db: sqlite3.Connection) -> Exchanges:
    row = db.execute("SELECT completed, last_at FROM exchange").fetchone()
    return (
        Exchanges(completed=0, last_at=None)
        if row is None
        else Exchanges(completed=row[0], last_at=row[1])
    )
