"""The tables of a read model in three versions: live, next and previous.

Every version has the same table names in a schema of its own (`ingest`, `ingest_next`,
`ingest_previous`), so a switch moves tables between schemas in one transaction. Readers and the
runner use the names and find the new tables with their next statement. Indexes and constraints move
with their table and have the same names in every version, so a migration that names one finds it
whichever version is live.

All functions need the rights of the tables' owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

LOCK_TIMEOUT: Final = "400ms"
"""Shorter than `deadlock_timeout`, after which the server checks for deadlocks."""


class NoSuchVersion(Exception):
    """The read model has no next, or no previous, version."""


class ShapesDiffer(Exception):
    """A version's tables have other columns or keys than the live ones, since a migration changed
    these. Nothing was written; the version must be rebuilt.
    """


@dataclass(frozen=True, slots=True)
class VersionSchemas:
    """The schemas of the versions of a service's read models, and the role that accesses them."""

    live: str
    role: str | None = None

    @property
    def next(self) -> str:
        return f"{self.live}_next"

    @property
    def previous(self) -> str:
        return f"{self.live}_previous"


async def prepare(connection: Any, tables: Sequence[str], schemas: VersionSchemas) -> None:
    """Create the next version's tables, empty, replacing existing ones.

    They have the keys that upserts need; `build_indexes` adds the other indexes.
    """
    await _make_schemas(connection, schemas)
    await drop(connection, tables, schemas.next)
    for table in tables:
        live, new = f"{schemas.live}.{table}", f"{schemas.next}.{table}"
        await connection.execute(
            f"CREATE TABLE {new} (LIKE {live} INCLUDING ALL EXCLUDING INDEXES)"
        )
        if options := await connection.fetchval(_OPTIONS, live):
            await connection.execute(f"ALTER TABLE {new} SET ({options})")
        for definition in await _definitions(connection, _KEYS, live, new):
            await connection.execute(definition)
        await _secure(connection, schemas, table)


async def build_indexes(connection: Any, tables: Sequence[str], schemas: VersionSchemas) -> None:
    """Create the missing indexes of the next version, and the planner's statistics.

    Safe to repeat.
    """
    for table in tables:
        live, new = f"{schemas.live}.{table}", f"{schemas.next}.{table}"
        for definition in await _definitions(connection, _OTHER_INDEXES, live, new):
            await connection.execute(definition)
        await connection.execute(f"ANALYZE {new}")


async def switch(connection: Any, tables: Sequence[str], schemas: VersionSchemas) -> None:
    """Make the next version's tables live and the live ones previous, dropping previous ones.

    Raises ShapesDiffer, and LockNotAvailableError while the tables are in use.
    """
    await _lock(connection, tables, [schemas.live, schemas.next])
    await _check_shapes(connection, tables, schemas.live, schemas.next)
    await drop(connection, tables, schemas.previous)
    await _move(connection, tables, schemas.live, schemas.previous)
    await _move(connection, tables, schemas.next, schemas.live)


async def roll_back(connection: Any, tables: Sequence[str], schemas: VersionSchemas) -> None:
    """Make the previous version's tables live and the live ones next, dropping next ones.

    Raises ShapesDiffer, and LockNotAvailableError while the tables are in use.
    """
    await _lock(connection, tables, [schemas.live, schemas.previous])
    await _check_shapes(connection, tables, schemas.live, schemas.previous)
    await drop(connection, tables, schemas.next)
    await _move(connection, tables, schemas.live, schemas.next)
    await _move(connection, tables, schemas.previous, schemas.live)


async def drop(connection: Any, tables: Sequence[str], schema: str) -> None:
    """Drop those tables of a version that exist."""
    for table in tables:
        await connection.execute(f"DROP TABLE IF EXISTS {schema}.{table}")


async def exist(connection: Any, tables: Sequence[str], schema: str) -> bool:
    """Whether all of the tables exist in a version."""
    names = [f"{schema}.{table}" for table in tables]
    query = "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest($1::text[]) AS name"
    return bool(await connection.fetchval(query, names))


_OPTIONS: Final = """
SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = $1::text::regclass
"""

_KEYS: Final = """
SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::text, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u', 'x')
UNION ALL
SELECT replace(pg_get_indexdef(indexrelid), ' ON ' || $1 || ' USING ', ' ON ' || $2 || ' USING ')
FROM pg_index WHERE indrelid = $1::text::regclass AND indisunique
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')
"""

_OTHER_INDEXES: Final = """
SELECT replace(pg_get_indexdef(indexrelid), ' ON ' || $1 || ' USING ', ' ON ' || $2 || ' USING ')
FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
WHERE indrelid = $1::text::regclass AND NOT indisunique AND NOT indisexclusion
    AND NOT EXISTS (
        SELECT FROM pg_index AS new_index JOIN pg_class AS named ON named.oid = new_index.indexrelid
        WHERE new_index.indrelid = $2::text::regclass AND named.relname = index.relname
    )
ORDER BY index.relname
"""
"""The indexes whose names the other version does not have."""


async def _definitions(connection: Any, query: str, live: str, new: str) -> list[str]:
    return [row[0] for row in await connection.fetch(query, live, new)]


async def _make_schemas(connection: Any, schemas: VersionSchemas) -> None:
    for schema in (schemas.next, schemas.previous):
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        if schemas.role:
            await connection.execute(f'GRANT USAGE ON SCHEMA {schema} TO "{schemas.role}"')


async def _lock(connection: Any, tables: Sequence[str], schemas: Sequence[str]) -> None:
    """Lock every table at once. Raises NoSuchVersion, LockNotAvailableError."""
    for schema in schemas:
        if not await exist(connection, tables, schema):
            raise NoSuchVersion(f"{schema} does not have the tables {', '.join(tables)}")
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    names = ", ".join(f"{schema}.{table}" for schema in schemas for table in tables)
    await connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")


async def _move(connection: Any, tables: Sequence[str], old: str, new: str) -> None:
    for table in tables:
        await connection.execute(f"ALTER TABLE {old}.{table} SET SCHEMA {new}")


_SHAPE: Final = """
SELECT format('column %s %s %s%s%s%s', row_number() OVER (ORDER BY attnum), attname,
    format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN ' not null' ELSE '' END,
    coalesce(' default ' || pg_get_expr(adbin, adrelid), ''),
    CASE WHEN attgenerated <> '' THEN ' generated' ELSE '' END)
FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = $1::text::regclass AND contype IN ('c', 'p', 'u', 'x')
UNION ALL
-- An index by what it does: tables of an older rebuild have other names for theirs.
SELECT format('%sindex %s', CASE WHEN indisunique THEN 'unique ' ELSE '' END,
    regexp_replace(pg_get_indexdef(indexrelid), '^.*? USING ', ''))
FROM pg_index WHERE indrelid = $1::text::regclass
"""


async def _check_shapes(connection: Any, tables: Sequence[str], live: str, other: str) -> None:
    for table in tables:
        shapes = [
            {row[0] for row in await connection.fetch(_SHAPE, f"{schema}.{table}")}
            for schema in (live, other)
        ]
        if shapes[0] != shapes[1]:
            differing = ", ".join(sorted(shapes[0] ^ shapes[1]))
            raise ShapesDiffer(
                f"{other}.{table} is not made like {live}.{table}, build it anew: {differing}"
            )


_SECURITY: Final = """
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1::text::regclass
"""

_POLICIES: Final = """
SELECT policyname, permissive, roles::text[], cmd, qual, with_check FROM pg_policies
WHERE schemaname = $1 AND tablename = $2
"""


async def _secure(connection: Any, schemas: VersionSchemas, table: str) -> None:
    """Rights, row-level security and its policies, which LIKE does not copy."""
    name = f"{schemas.next}.{table}"
    if schemas.role:
        await connection.execute(
            f'GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO "{schemas.role}"'
        )
    secured, forced = await connection.fetchrow(_SECURITY, f"{schemas.live}.{table}")
    if secured:
        await connection.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    if forced:
        await connection.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    for policy in await connection.fetch(_POLICIES, schemas.live, table):
        await connection.execute(_create_policy(policy, name))


def _create_policy(policy: Any, table: str) -> str:
    check = f" WITH CHECK ({policy['with_check']})" if policy["with_check"] else ""
    using = f" USING ({policy['qual']})" if policy["qual"] else ""
    roles = ", ".join(f'"{role}"' if role != "public" else role for role in policy["roles"])
    return (
        f"CREATE POLICY {policy['policyname']} ON {table} AS {policy['permissive']}"
        f" FOR {policy['cmd']} TO {roles}{using}{check}"
    )
