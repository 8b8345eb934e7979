"""A database of the toy service, with further tables as a service's migrations create them."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncpg

from libs.postgres.migrate import migrate
from libs.postgres.rls import Migration
from tests.libs.process.toy.bootstrap import SERVICE


class _Migration:
    """Alembic's `op`, which collects statements."""

    version_table_schema: Final = SERVICE.name

    def __init__(self) -> None:
        self.statements: list[str] = []

    def execute(self, sqltext: str) -> None:
        """Collect one statement."""
        self.statements.append(sqltext)

    def get_context(self) -> Any:
        """The schema of the service."""
        return self


async def migrate_bakery(database: str, *creates: Callable[[Migration], None]) -> None:
    """Create the schema of the bakery, and what the functions create."""
    await asyncio.to_thread(migrate, SERVICE.name, database, migrations=SERVICE.migrations)
    migration = _Migration()
    for create in creates:
        create(migration)
    connection = await asyncpg.connect(database, server_settings={"search_path": SERVICE.name})
    try:
        for statement in migration.statements:
            await connection.execute(statement)
    finally:
        await connection.close()
