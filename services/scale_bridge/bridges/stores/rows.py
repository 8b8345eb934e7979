"""The tables of the daemon's memory, and the statements on them; each runs in a transaction."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from services.scale_bridge.bridges.domain import Report, Reported, Stage, Work

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Work that is not over, until `until` by this machine's clock. `begun`: it was interrupted."""

    work: Work
    until: float
    begun: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchanges:
    """Operations that scales answered to the end; nothing else shows that scales are well."""

    completed: int
    last_at: float | None


def open_database(file: Path) -> sqlite3.Connection:
    """The database, made if missing, readable to its owner only. For one thread."""
    file.touch(mode=0o600)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # What is forgotten is gone from the file too.
    connection.execute("PRAGMA secure_delete = ON")
    connection.executescript(_SCHEMA)
    return connection


def save(db: sqlite3.Connection, work: Work, contents: Mapping[str, bytes], now: float) -> bool:
    """Keep work with its catalogues; False if it was here before."""
    kept = db.execute(
        "INSERT OR IGNORE INTO operation (id, work, until, catalogue, known) VALUES (?,?,?,?,?)",
        (
            str(work.operation_id),
            msgspec.json.encode(work),
            now + work.seconds_left,
            work.catalogue,
            work.known,
        ),
    )
    if kept.rowcount:
        _put(db, contents)
    return bool(kept.rowcount)


def tasks(db: sqlite3.Connection) -> list[Task]:
    """What is not over, oldest first."""
    found = db.execute(
        "SELECT work, until, begun FROM operation WHERE ended_at IS NULL ORDER BY rowid"
    )
    return [
        Task(work=msgspec.json.decode(work, type=Work), until=until, begun=bool(begun))
        for work, until, begun in found
    ]


def holding(db: sqlite3.Connection) -> list[UUID]:
    """The operations whose end is not settled."""
    found = db.execute(
        "SELECT id FROM operation WHERE ended_at IS NULL UNION SELECT operation FROM report"
    )
    return [UUID(one) for (one,) in found]


def begin(db: sqlite3.Connection, operation_id: UUID) -> bool:
    """Mark it as begun; False if it was."""
    begun = db.execute(
        "UPDATE operation SET begun = 1 WHERE id = ? AND begun = 0", (str(operation_id),)
    )
    return bool(begun.rowcount)


def report(
    db: sqlite3.Connection,
    operation_id: UUID,
    report: Report,
    contents: Mapping[str, bytes],
    now: float,
) -> bool:
    """Keep a report under the operation's next number; False if the operation is over."""
    ended_at = now if report.stage is Stage.ENDED else None
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


def reports(db: sqlite3.Connection, after: int, now: float) -> list[tuple[int, Reported]]:
    """What is not settled, from a place on."""
    found = db.execute(
        "SELECT place, operation, number, report, happened_at FROM report WHERE place > ?"
        " ORDER BY place",
        (after,),
    )
    return [
        (
            place,
            Reported(
                operation_id=UUID(operation),
                number=number,
                report=msgspec.json.decode(report, type=Report),
                seconds_ago=max(0.0, now - happened_at),
            ),
        )
        for place, operation, number, report, happened_at in found
    ]


def settle(db: sqlite3.Connection, operation_id: UUID, number: int, now: float) -> None:
    """Forget what the service knows, operations that ended long ago, and unused catalogues."""
    db.execute(
        "DELETE FROM report WHERE operation = ? AND number <= ?", (str(operation_id), number)
    )
    db.execute("DELETE FROM operation WHERE ended_at < ?", (now - REMEMBERED_SECONDS,))
    db.execute(_UNUSED)


def content(db: sqlite3.Connection, md5: str) -> bytes | None:
    """A compressed catalogue."""
    found = db.execute("SELECT packed FROM content WHERE md5 = ?", (md5,)).fetchone()
    return None if found is None else bytes(found[0])


def _put(db: sqlite3.Connection, contents: Mapping[str, bytes]) -> None:
    db.executemany("INSERT OR IGNORE INTO content (md5, packed) VALUES (?,?)", contents.items())


def completed(db: sqlite3.Connection, now: float) -> None:
    """Count an exchange."""
    db.execute(
        "INSERT INTO exchange (one, completed, last_at) VALUES (1, 1, ?1)"
        " ON CONFLICT (one) DO UPDATE SET completed = completed + 1, last_at = ?1",
        (now,),
    )


def exchanges(db: sqlite3.Connection) -> Exchanges:
    """The exchanges counted."""
    found = db.execute("SELECT completed, last_at FROM exchange").fetchone()
    return (
        Exchanges(completed=0, last_at=None)
        if found is None
        else Exchanges(completed=found[0], last_at=found[1])
    )
