"""Migrations, one history per service: its schema, its role, its version table.

Alembic is configured only here: a service has nothing but `migrations/versions/*.py`.
"""

import asyncio
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import structlog
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.ext.asyncio import create_async_engine

from libs.postgres.guarded_pool import CONNECT_SECONDS, LOST
from libs.postgres.liveness import SERVER_SETTINGS, LiveConnection
from libs.postgres.pool import SYSTEM, RawConnection
from libs.postgres.revisions import (
    VERSION_TABLE,
    MigrationFault,
    applied,
    folder_of,
    missing,
)
from libs.postgres.rls import application_role

Answer = TypeVar("Answer")

WAIT_SECONDS = 30.0
LOCK_SECONDS = 300.0
PAUSE_SECONDS = 0.2
ATTEMPTS = 10

# `alembic.op`, which revisions use, is global to the process.
_ALEMBIC = threading.Lock()

log = structlog.get_logger(__name__)


def migrate(service: str, dsn: str, *, migrations: Path | None = None) -> None:
    """Bring the schema of a service up to date. Safe to repeat and to run twice at once.

    Creates the schema `<service>` and the role `tillstream_<service>` first. Waits a bounded time
    for the server and for another migration of the same service. Blocks, even inside a running
    event loop. A newer schema is left alone. `migrations` defaults to the service's own folder.
    Raises MigrationFault, or what a revision raises; that revision is then rolled back.
    """
    folder = migrations or folder_of(service)
    with _ALEMBIC:
        _in_own_loop(lambda: _migrate(service, dsn, folder))


async def _migrate(service: str, dsn: str, folder: Path) -> None:
    async with _locked(dsn, service) as connection:
        await _retry(lambda: _prepare(connection, service))
        if not missing(folder, await applied(connection, service)):
            return
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: _connect(dsn, service)
        )
        try:
            async with engine.connect() as session:
                await session.run_sync(lambda sync: _upgrade(sync, service, folder))
        finally:
            await engine.dispose()


def _upgrade(connection: SyncConnection, service: str, folder: Path) -> None:
    scripts = _scripts(folder)

    def steps(revision: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs("heads", revision)

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(
            connection=connection,
            version_table=VERSION_TABLE,
            version_table_schema=service,
            transaction_per_migration=True,
            on_version_apply=lambda step, **_: log.info(
                "migrated", service=service, revision=step.up_revision_id
            ),
        )
        with environment.begin_transaction():
            environment.run_migrations()
    connection.commit()


async def _prepare(connection: RawConnection, service: str) -> None:
    """Create the schema, and a role that owns nothing and may only use the schema."""
    role = application_role(service)
    async with connection.transaction():
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS")
        # The login may switch to the role, but does not inherit its rights.
        if not await connection.fetchval("SELECT pg_has_role(current_user, $1, 'SET')", role):
            await connection.execute(f"GRANT {role} TO current_user WITH INHERIT FALSE, SET TRUE")
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {service}")
        await connection.execute(f"GRANT USAGE ON SCHEMA {service} TO {role}")
        if await connection.fetchval(
            "SELECT to_regclass($1) IS NULL", f"{service}.{VERSION_TABLE}"
        ):
            await connection.execute(
                f"CREATE TABLE {service}.{VERSION_TABLE} (version_num varchar(32) PRIMARY KEY)"
            )
            # For readiness.
            await connection.execute(f"GRANT SELECT ON {service}.{VERSION_TABLE} TO {role}")


async def _retry(attempt: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Retry conflicts over roles, which are global and not covered by a lock in one database."""
    for left in reversed(range(ATTEMPTS)):
        try:
            return await attempt()
        except (
            asyncpg.UniqueViolationError,
            asyncpg.DuplicateObjectError,
            # "tuple concurrently updated"
            asyncpg.InternalServerError,
        ):
            if not left:
                raise
            await asyncio.sleep(PAUSE_SECONDS)
    return None


@asynccontextmanager
async def _locked(dsn: str, service: str) -> AsyncIterator[RawConnection]:
    """A connection that holds the migration lock of the service.

    The lock is polled, because a session that waits for it would hold a snapshot, and CREATE INDEX
    CONCURRENTLY in the other migration would wait for that snapshot.
    """
    connection = await _connect(dsn, service)
    try:
        key = zlib.crc32(f"tillstream migrate {service}".encode())
        deadline = time.monotonic() + LOCK_SECONDS
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
            if time.monotonic() > deadline:
                raise MigrationFault(f"another migration of {service} does not end")
            await asyncio.sleep(PAUSE_SECONDS)
        yield connection
    finally:
        await connection.close()


async def _connect(dsn: str, service: str) -> RawConnection:
    """A connection as the login itself, once the server is up. Raises MigrationFault.

    It has system scope: row-level security applies to the owner of a table too, and a migration
    must see the rows of every tenant.
    """
    settings = {
        "search_path": service,
        "application_name": f"{service}-migrate",
        "tillstream.tenant": SYSTEM,
        **SERVER_SETTINGS,
    }
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return await asyncpg.connect(
                dsn,
                timeout=CONNECT_SECONDS,
                connection_class=LiveConnection,
                server_settings=settings,
            )
        except (OSError, *LOST) as error:
            if time.monotonic() > deadline:
                raise MigrationFault(f"no database within {WAIT_SECONDS:.0f} s") from error
            await asyncio.sleep(PAUSE_SECONDS)


def _scripts(folder: Path) -> ScriptDirectory:
    return ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])


def _in_own_loop(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    with ThreadPoolExecutor(1, thread_name_prefix="migrate") as thread:
        return thread.submit(lambda: asyncio.run(work())).result()
