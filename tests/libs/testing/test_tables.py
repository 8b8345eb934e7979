"""The tables for tests without a service equal those of services."""

from typing import Any, Final

import asyncpg

from libs.testing.databases import migrated
from libs.testing.tables import (
    LOG_TABLES,
    PROJECTION_TABLES,
    REACTION_TABLES,
    RELAY_TABLES,
    REVOCATION_TABLES,
)
from tests.libs.messaging.setup import open_database
from tests.libs.projections.shop import open_shop

ALL_TABLES: Final = (
    LOG_TABLES,
    RELAY_TABLES,
    PROJECTION_TABLES,
    REACTION_TABLES,
    REVOCATION_TABLES,
)
DESCRIBED: Final = """
WITH ours AS (SELECT oid, relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'),
described (about, what) AS (
    SELECT relname, format('%s %s %s %s %s', attname, format_type(atttypid, atttypmod),
            attnotnull, attidentity, pg_get_expr(adbin, adrelid))
        FROM ours JOIN pg_attribute a ON a.attrelid = ours.oid
        LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE attnum > 0 AND NOT attisdropped
    UNION ALL SELECT relname, conname || ' ' || pg_get_constraintdef(c.oid)
        FROM ours JOIN pg_constraint c ON c.conrelid = ours.oid
    UNION ALL SELECT relname, pg_get_indexdef(indexrelid)
        FROM ours JOIN pg_index i ON i.indrelid = ours.oid
    UNION ALL SELECT relname, pg_get_triggerdef(t.oid)
        FROM ours JOIN pg_trigger t ON t.tgrelid = ours.oid AND NOT tgisinternal
    UNION ALL SELECT relname, reloptions::text
        FROM ours JOIN pg_class USING (oid, relname) WHERE reloptions IS NOT NULL
)
SELECT about, replace(what, current_schema() || '.', '') AS what FROM described"""


async def tables_of(connection: Any) -> dict[str, list[str]]:
    """Columns, constraints, indexes, triggers and options of each table, sorted."""
    tables: dict[str, list[str]] = {}
    for row in await connection.fetch(DESCRIBED):
        tables.setdefault(row["about"], []).append(row["what"])
    return {name: sorted(lines) for name, lines in tables.items()}


async def migrated_tables(postgres_url: str) -> dict[str, list[str]]:
    with migrated(postgres_url, "gateway") as url:
        connection: Any = await asyncpg.connect(url, server_settings={"search_path": "gateway"})
        try:
            return await tables_of(connection)
        finally:
            await connection.close()


async def test_the_tables_are_as_after_migrations(postgres_url: str, empty_database: str) -> None:
    connection: Any = await asyncpg.connect(empty_database)
    try:
        for statements in ALL_TABLES:
            await connection.execute(";".join(statements))
        tables = await tables_of(connection)
    finally:
        await connection.close()
    assert len(tables) == 14
    assert tables.items() <= (await migrated_tables(postgres_url)).items()


async def test_the_test_services_have_these_tables(postgres_url: str, empty_database: str) -> None:
    theirs = await migrated_tables(postgres_url)
    for opened in (open_database, open_shop):
        connection: Any = await asyncpg.connect(empty_database)
        async with opened(empty_database):
            tables = await tables_of(connection)
        common = tables.keys() & theirs.keys()
        assert "events" in common
        assert {name: tables[name] for name in common} == {name: theirs[name] for name in common}
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.close()
