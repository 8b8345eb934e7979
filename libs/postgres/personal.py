"""Personal columns of read models: declared in the table, erased when a person is forgotten.

`erase` overwrites the columns of a person in every version of a table: the live one, the one that a
rebuild fills, and the previous one. The old texts stay in the files of the database until `purge`
rewrites these.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import asyncpg
from sqlalchemy import Column, String, Table
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from libs.postgres.pool import Connection, Pool, acquire
from libs.security.data_keys import Subject

PERSONAL: Final = "personal"
OLD_SNAPSHOT_SECONDS: Final = 30.0
LOCK_SECONDS: Final = 60.0
LOCK_TIMEOUT: Final = "500ms"
"""While a rewrite waits for its lock, all users of the table wait behind it."""
POLL_SECONDS: Final = 0.2

_DIALECT: Final = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

_COLUMNS: Final = """
SELECT nspname || '.' || relname AS name, relname, array_agg(attname::text) AS columns
FROM pg_namespace
JOIN pg_class ON relnamespace = pg_namespace.oid
JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
WHERE relname = ANY($1::text[]) AND relkind = 'r' AND nspname IN
    (current_schema(), current_schema() || '_next', current_schema() || '_previous')
GROUP BY 1, 2 ORDER BY 1
"""
# The first transaction id that was not in use yet, so the erasures committed until now are older.
_HORIZON: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::xid::text"
# A row is in a rewritten table as long as a transaction may see it that is older than its erasure.
# A transaction of another database holds up the snapshots that begin in this one.
_OLDER: Final = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (age(backend_xid) > age($1::text::xid)
        OR (datname = current_database() AND age(backend_xmin) > age($1::text::xid)))
    UNION ALL SELECT FROM pg_prepared_xacts WHERE age(transaction) > age($1::text::xid)
    UNION ALL SELECT FROM pg_replication_slots WHERE age(xmin) > age($1::text::xid)
)
"""
_UNPURGED: Final = """
SELECT tenant, subject FROM vault_key WHERE forgotten_at IS NOT NULL AND purged_at IS NULL
"""
_PURGED: Final = """
UPDATE vault_key SET purged_at = now() FROM unnest($1::text[], $2::text[]) AS done (tenant, subject)
WHERE (vault_key.tenant, vault_key.subject) = (done.tenant, done.subject)
"""


class Postponed(Exception):
    """A transaction may still read what was erased, or uses a table without a break; purge later.

    Nothing is lost: the next purge does the same work.
    """


def personal(of: str) -> dict[str, Any]:
    """The `info` of a column that holds a text about the person whose id is in the column `of`.

    `Column("recipient_name", Text, info=personal(of="recipient_id"))`. When the person is forgotten
    the text becomes null, or empty if the column is not nullable.
    """
    return {PERSONAL: of}


def personal_columns(table: Table) -> Mapping[str, list[Column[Any]]]:
    """The personal columns of a table by the column that holds their person's id.

    Raises `ValueError` if that column is missing, or a column that is not nullable is no text.
    """
    columns: dict[str, list[Column[Any]]] = {}
    for column in table.columns:
        if (of := column.info.get(PERSONAL)) is None:
            continue
        if of not in table.columns or "tenant" not in table.columns:
            raise ValueError(f"{table.name}.{column.name} does not say whose text it is")
        if not column.nullable and not isinstance(column.type, String):
            raise ValueError(f"{table.name}.{column.name} cannot be erased: make it nullable")
        columns.setdefault(of, []).append(column)
    return columns


async def erase(
    connection: Connection, tables: Iterable[Table], subjects: Sequence[Subject]
) -> None:
    """Overwrite the personal columns of these persons, in every version of the tables.

    Give a large table an index on tenant and the column with the id. Safe to repeat.
    """
    ids = [one.tenant for one in subjects], [one.id for one in subjects]
    for statement in await _erasures(connection, tables):
        await connection.execute(statement, *ids)


async def _erasures(connection: Connection, tables: Iterable[Table]) -> list[str]:
    by_name = {table.name: table for table in tables if personal_columns(table)}
    return [
        _erasure(row["name"], by_name[row["relname"]].columns[of].type, of, existing)
        for row in await connection.fetch(_COLUMNS, [*by_name])
        for of, columns in personal_columns(by_name[row["relname"]]).items()
        # A version that was built before a migration lacks the newer columns.
        if of in row["columns"]
        and (existing := [one for one in columns if one.name in row["columns"]])
    ]


def _erasure(table: str, id_type: Any, of: str, columns: Iterable[Column[Any]]) -> str:
    empty = {True: "NULL", False: "''"}
    values = ", ".join(f"{one.name} = {empty[bool(one.nullable)]}" for one in columns)
    kind = id_type.compile(dialect=_DIALECT)
    # Persons of another kind have other ids.
    return f"""
UPDATE {table} SET {values}
FROM unnest($1::text[], $2::text[]) AS forgotten (tenant, id)
WHERE {table}.tenant = forgotten.tenant
    AND {table}.{of} = CASE WHEN pg_input_is_valid(id, '{kind}') THEN id::{kind} END
"""  # noqa: S608 -- names from the code


@dataclass(frozen=True, slots=True)
class Purged:
    """The number of forgotten persons of whom no file of the database holds anything any more, and
    the tables that were rewritten.
    """

    persons: int
    tables: Sequence[str]


async def purge(
    pool: Pool,
    tables: Sequence[Table],
    *,
    old_snapshot_seconds: float = OLD_SNAPSHOT_SECONDS,
    lock_seconds: float = LOCK_SECONDS,
) -> Purged:
    """Rewrite the vault and the tables with personal columns, if a person was forgotten since last
    time, so that no file of these tables holds keys and texts that were overwritten.

    A table cannot be used while it is rewritten: do it when few are at work. The planner's
    statistics, which sample texts, are made and rewritten too. The connections have the rights of
    the tables' and the database's owner, and no statement timeout. Write-ahead log, backups and
    freed blocks of the disk are not touched.

    Raises Postponed if other transactions do not end in time; safe to repeat.
    """
    async with acquire(pool) as connection:
        forgotten = await connection.fetch(_UNPURGED)
        if not forgotten:
            return Purged(0, [])
        names = [table.name for table in tables if personal_columns(table)]
        versions = [row["name"] for row in await connection.fetch(_COLUMNS, names)]
        deadline = monotonic() + lock_seconds
        await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        # The first rewrites write new statistics, which make the old ones removable.
        for tables_of_step in ((*versions, "vault_key"), ("pg_statistic",)):
            await _wait_for_older(connection, old_snapshot_seconds)
            for name in tables_of_step:
                await _rewrite(connection, name, deadline)
        done = [row["tenant"] for row in forgotten], [row["subject"] for row in forgotten]
        await connection.execute(_PURGED, *done)
        return Purged(len(forgotten), [*versions, "vault_key"])


async def _wait_for_older(connection: Connection, seconds: float) -> None:
    horizon = await connection.fetchval(_HORIZON)
    deadline = monotonic() + seconds
    while await connection.fetchval(_OLDER, horizon):
        if monotonic() >= deadline:
            raise Postponed("a transaction that may see what was erased is still running")
        await asyncio.sleep(POLL_SECONDS)


async def _rewrite(connection: Connection, table: str, deadline: float) -> None:
    while True:
        try:
            await connection.execute(f"VACUUM (FULL, ANALYZE) {table}")
            return
        except asyncpg.LockNotAvailableError as error:
            if monotonic() >= deadline:
                raise Postponed(f"{table} is in use without a break") from error
        await asyncio.sleep(POLL_SECONDS)
