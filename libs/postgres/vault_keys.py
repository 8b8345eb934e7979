"""The table of a service's vault: one wrapped data key, or one tombstone, per person."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
from sqlalchemy import Table

from libs.errors import Unavailable
from libs.postgres import query
from libs.postgres.doorbell import FORGOTTEN, ring_at_commit
from libs.postgres.personal import erase
from libs.postgres.pool import Connection, Pool, acquire
from libs.postgres.rls import Migration, create_tenant_tables
from libs.security.data_keys import Subject, Tombstone

TABLES: Final = {
    "vault_key": """(
        tenant text NOT NULL,
        subject text NOT NULL,
        wrapped_key bytea,
        created_at timestamptz NOT NULL DEFAULT now(),
        forgotten_at timestamptz,
        forgotten_by text,
        purged_at timestamptz,
        PRIMARY KEY (tenant, subject),
        CHECK ((wrapped_key IS NULL) = (forgotten_at IS NOT NULL AND forgotten_by IS NOT NULL))
    )"""
}
INDEXES: Final = (
    "CREATE INDEX vault_key_forgotten ON vault_key (forgotten_at) WHERE forgotten_at IS NOT NULL",
)

ATTEMPTS: Final = 3

# Two statements: the second one's snapshot is taken when no `forget` is under way.
_LOCK_SHARED: Final = "LOCK TABLE vault_key IN ROW SHARE MODE"
# Plain reads go on; projections that open texts wait.
_LOCK: Final = "LOCK TABLE vault_key IN EXCLUSIVE MODE"

_READ: Final = """
SELECT known.* FROM unnest($1::text[], $2::text[]) AS wanted (tenant, subject), LATERAL (
    SELECT tenant, subject, wrapped_key, forgotten_at FROM vault_key
    WHERE vault_key.tenant = wanted.tenant AND vault_key.subject = wanted.subject
    -- One index look-up a person, also without statistics.
    OFFSET 0
) AS known
"""
_ADD: Final = """
INSERT INTO vault_key (tenant, subject, wrapped_key)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]) ORDER BY 1, 2
ON CONFLICT (tenant, subject) DO NOTHING
RETURNING tenant, subject
"""
_FORGET: Final = """
INSERT INTO vault_key AS known (tenant, subject, forgotten_at, forgotten_by)
SELECT DISTINCT ON (tenant, subject) *
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[])
    AS new (tenant, subject, at, by)
ORDER BY tenant, subject, at
ON CONFLICT (tenant, subject) DO UPDATE SET
    wrapped_key = NULL, forgotten_at = excluded.forgotten_at, forgotten_by = excluded.forgotten_by
WHERE known.forgotten_at IS NULL
"""
_TOMBSTONES: Final = """
SELECT tenant, subject, forgotten_at, forgotten_by FROM vault_key
JOIN unnest($1::text[], $2::text[]) AS wanted (tenant, subject) USING (tenant, subject)
WHERE forgotten_at IS NOT NULL
"""
_SINCE: Final = """
SELECT tenant, subject, forgotten_at, forgotten_by FROM vault_key
WHERE forgotten_at >= $1 ORDER BY forgotten_at, tenant, subject
"""
_PAGE: Final = """
SELECT tenant, subject, wrapped_key FROM vault_key
WHERE wrapped_key IS NOT NULL AND (tenant, subject) > ($1, $2)
ORDER BY tenant, subject LIMIT $3
"""
_REPLACE: Final = """
UPDATE vault_key SET wrapped_key = new.wrapped_key
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])
    AS new (tenant, subject, old_key, wrapped_key)
WHERE (vault_key.tenant, vault_key.subject) = (new.tenant, new.subject)
    AND vault_key.wrapped_key = new.old_key
"""


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row: a wrapped key, or None and the time of the tombstone."""

    wrapped: bytes | None
    forgotten_at: datetime | None = None


def create_vault(op: Migration) -> None:
    """Create the table `vault_key`, under row-level security by tenant.

    The service's role may not delete from it: tombstones stay.
    """
    create_tenant_tables(op, TABLES, INDEXES, rights=("SELECT", "INSERT", "UPDATE"))


async def read_locked(
    connection: Connection, subjects: Collection[Subject]
) -> Mapping[Subject, StoredKey]:
    """The keys and tombstones of these persons, locked against `forget` for the transaction."""
    await connection.execute(_LOCK_SHARED)
    return await _read(connection, subjects)


class VaultKeys:
    """The keys in Postgres. The connections of `pool` see all tenants.

    `personal` are the tables whose personal columns `forget` erases in the same transaction.
    """

    def __init__(self, pool: Pool, personal: Sequence[Table] = ()) -> None:
        self._pool = pool
        self._personal = personal

    async def read(self, subjects: Collection[Subject]) -> Mapping[Subject, StoredKey]:
        """See `libs.security.vault.KeyStore`, also for the other methods."""
        return await _read(self._pool, subjects)

    async def add(self, keys: Mapping[Subject, bytes]) -> Collection[Subject]:
        rows = await query.fetch(self._pool, _ADD, *_columns(keys), [*keys.values()])
        return {_subject(row) for row in rows}

    async def forget(self, tombstones: Sequence[Tombstone]) -> Sequence[Tombstone]:
        if not tombstones:
            return []
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with acquire(self._pool) as connection, connection.transaction():
                    return await self._forget(connection, tombstones)
            except (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError) as error:
                # A projection that wrote rows of this person before it opened a text.
                if attempt == ATTEMPTS:
                    raise Unavailable from error
        raise AssertionError

    async def _forget(
        self, connection: Connection, tombstones: Sequence[Tombstone]
    ) -> Sequence[Tombstone]:
        await connection.execute(_LOCK)
        subjects = [one.subject for one in tombstones]
        at, by = [one.at for one in tombstones], [one.by for one in tombstones]
        await connection.execute(_FORGET, *_columns(subjects), at, by)
        await erase(connection, self._personal, subjects)
        await ring_at_commit(connection, FORGOTTEN)
        rows = await connection.fetch(_TOMBSTONES, *_columns(subjects))
        return [_tombstone(row) for row in rows]

    async def forgotten_since(self, since: datetime) -> Sequence[Tombstone]:
        return [_tombstone(row) for row in await query.fetch(self._pool, _SINCE, since)]

    async def page(self, after: Subject | None, limit: int) -> Mapping[Subject, bytes]:
        last = (after.tenant, after.id) if after else ("", "")
        rows = await query.fetch(self._pool, _PAGE, *last, limit)
        return {_subject(row): row["wrapped_key"] for row in rows}

    async def replace(self, keys: Mapping[Subject, tuple[bytes, bytes]]) -> None:
        if keys:
            old, new = zip(*keys.values(), strict=True)
            await query.execute(self._pool, _REPLACE, *_columns(keys), old, new)


async def _read(source: query.Source, subjects: Collection[Subject]) -> Mapping[Subject, StoredKey]:
    rows = await query.fetch(source, _READ, *_columns(subjects))
    return {_subject(row): StoredKey(row["wrapped_key"], row["forgotten_at"]) for row in rows}


def _columns(subjects: Collection[Subject]) -> tuple[list[str], list[str]]:
    return [one.tenant for one in subjects], [one.id for one in subjects]


def _subject(row: Any) -> Subject:
    return Subject(row["tenant"], row["subject"])


def _tombstone(row: Any) -> Tombstone:
    return Tombstone(_subject(row), row["forgotten_at"], row["forgotten_by"])
