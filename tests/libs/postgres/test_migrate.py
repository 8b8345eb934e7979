"""Migrations: required rights, repetition, concurrency."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from libs.postgres.migrate import migrate
from libs.postgres.pool import SYSTEM, Pool, open_pool, tenant_transaction
from libs.postgres.revisions import MigrationFault, applied, missing, unapplied
from libs.postgres.rls import application_role

FIRST = '''
"""A box."""
from alembic import op
from libs.postgres import rls

revision = "0001"
down_revision = None

def upgrade():
    box = "(tenant text NOT NULL, code text)"
    index = "CREATE INDEX box_code ON box (code)"
    rls.create_tenant_tables(op, {"box": box}, [index], rights=("SELECT", "INSERT"))
    rls.create_sequence(op, "box_number")
'''
SECOND = '''
"""A count."""
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade():
    op.add_column("box", sa.Column("items", sa.Integer))
'''
MOVING = '''
"""Rows move, and a table that is no tenant's."""
from alembic import op
from libs.postgres import rls

revision = "0003"
down_revision = "0002"

def upgrade():
    op.execute("UPDATE box SET items = 7")
    filled = ["INSERT INTO seen SELECT code FROM box"]
    rls.create_system_tables(op, {"seen": "(code text)"}, filled, rights=("SELECT", "INSERT"))
'''
BROKEN = """
from alembic import op

revision = "0003"
down_revision = "0002"

def upgrade():
    op.execute("CREATE TABLE half ()")
    op.execute("SELECT 1 / 0")
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service for one test, with its revisions in a folder."""

    name: str
    database: str
    folder: Path

    @property
    def role(self) -> str:
        return application_role(self.name)

    def write(self, **revisions: str) -> None:
        (self.folder / "versions").mkdir(exist_ok=True)
        for name, text in revisions.items():
            (self.folder / "versions" / f"{name}.py").write_text(text, encoding="utf-8")

    def remove_second(self) -> None:
        (self.folder / "versions" / "second.py").unlink()

    def migrate(self) -> None:
        migrate(self.name, self.database, migrations=self.folder)

    async def pending(self) -> list[str]:
        connection = await asyncpg.connect(self.database)
        try:
            return missing(self.folder, await applied(connection, self.name))
        finally:
            await connection.close()

    @asynccontextmanager
    async def pool(self, tenant_scope: str | None = None) -> AsyncIterator[Pool]:
        pool = await open_pool(
            self.database,
            role=self.role,
            schema=self.name,
            size=1,
            application_name="test",
            tenant_scope=tenant_scope,
        )
        yield pool
        await pool.close()


@pytest.fixture
async def service(database: str, tmp_path: Path, admin: Any) -> AsyncIterator[Service]:
    """A service with two revisions; its role belongs to the whole server and is dropped."""
    made = Service(f"s{uuid4().hex[:12]}", database, tmp_path)
    made.write(first=FIRST, second=SECOND)
    yield made
    await drop_role(admin, made.role)


async def drop_role(admin: Any, role: str) -> None:
    if await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


async def migrate_in_processes(*services: Service) -> None:
    """Migrate all at once, each in a process of its own."""
    code = "import sys, pathlib; from libs.postgres.migrate import migrate; "
    code += "migrate(sys.argv[1], sys.argv[2], migrations=pathlib.Path(sys.argv[3]))"
    runs = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, one.name, one.database, str(one.folder)
        )
        for one in services
    ]
    assert await asyncio.gather(*(run.wait() for run in runs)) == [0] * len(services)
    assert [await one.pending() for one in services] == [[]] * len(services)


async def test_migrations_in_threads_of_one_process_do_not_mix(
    service: Service, admin: Any
) -> None:
    others = [replace(service, name=f"{service.name}{letter}") for letter in "abc"]

    await asyncio.gather(*(asyncio.to_thread(one.migrate) for one in others))

    assert [await one.pending() for one in others] == [[]] * 3
    for one in others:
        await drop_role(admin, one.role)


async def test_a_migrated_service_reads_and_writes_as_its_role_only(
    service: Service, admin: Any
) -> None:
    service.migrate()

    async with service.pool() as pool:
        async with tenant_transaction(pool, "flora") as connection:
            await connection.execute("INSERT INTO box VALUES ('flora', 'a', 1)")
            assert await connection.fetchval("SELECT items FROM box") == 1
        for forbidden in ("DELETE FROM box", "CREATE TABLE x ()", "DELETE FROM schema_version"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(forbidden)
    rights = "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles"
    row = await admin.fetchrow(f"{rights} WHERE rolname = $1", service.role)
    assert tuple(row) == (False, False, False, False)


async def test_pending_revisions_are_listed_oldest_first(service: Service) -> None:
    assert await service.pending() == ["0001", "0002"]
    service.remove_second()

    for _ in range(2):  # again changes nothing
        service.migrate()
        assert await service.pending() == []

    service.write(second=SECOND)
    assert await service.pending() == ["0002"]
    async with service.pool() as pool:
        assert await unapplied(service.name, pool, migrations=service.folder) == ["0002"]


async def test_migrations_of_one_service_at_once_wait_for_each_other(service: Service) -> None:
    await migrate_in_processes(*[service] * 3)


async def test_an_older_release_leaves_a_newer_schema_alone(service: Service) -> None:
    service.migrate()
    service.remove_second()

    service.migrate()

    assert await service.pending() == []


async def test_a_schema_older_than_the_first_revision_is_a_clear_fault(service: Service) -> None:
    service.remove_second()
    service.migrate()
    (service.folder / "versions" / "first.py").unlink()
    service.write(second=SECOND.replace('"0001"', "None"))

    older = "the database is at revision 0001, older than 0002, the first of this release"
    with pytest.raises(MigrationFault, match=older):
        service.migrate()
    async with service.pool() as pool:
        with pytest.raises(MigrationFault, match=older):
            await unapplied(service.name, pool, migrations=service.folder)


async def test_migrations_in_several_databases_at_once_share_their_role(
    service: Service, admin: Any
) -> None:
    names = [f"t{uuid4().hex}" for _ in range(3)]
    for name in names:
        await admin.execute(f"CREATE DATABASE {name}")
    address = urlsplit(service.database)
    services = [
        replace(service, database=address._replace(path=f"/{name}").geturl()) for name in names
    ]

    await migrate_in_processes(*services)

    for name in names:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_failed_revision_is_rolled_back_and_earlier_ones_stay(
    service: Service, admin: Any
) -> None:
    service.write(broken=BROKEN)

    with pytest.raises(Exception, match="division by zero"):
        service.migrate()

    assert await service.pending() == ["0003"]
    for table, is_there in (("half", False), ("box", True)):
        found = await admin.fetchval("SELECT to_regclass($1)", f"{service.name}.{table}")
        assert (found is not None) == is_there


async def test_a_login_without_superuser_rights_may_migrate_and_use_the_role(
    service: Service, admin: Any
) -> None:
    login = f"login_{service.name}"
    await admin.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'x' CREATEROLE")
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"GRANT CREATE ON DATABASE {name} TO {login}")
    address = urlsplit(service.database)
    netloc = f"{login}:x@{address.netloc.rpartition('@')[2]}"
    own = replace(service, database=address._replace(netloc=netloc).geturl())

    own.migrate()

    async with own.pool() as pool:
        assert await pool.fetchval("SELECT current_user") == service.role
        assert await pool.fetchval("SELECT count(*) FROM box") == 0
        for tenant in ("flora", "other"):
            async with tenant_transaction(pool, tenant) as connection:
                await connection.execute("INSERT INTO box VALUES ($1, $1, 1)", tenant)
        # Fences hold for an owner too, and a migration still moves the rows of all.
        service.write(moving=MOVING)
        own.migrate()
        async with tenant_transaction(pool, "other") as connection:
            assert await connection.fetchval("SELECT items FROM box") == 7
            assert await connection.fetch("SELECT * FROM seen") == []
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute("INSERT INTO seen VALUES ('x')")
    async with own.pool(tenant_scope=SYSTEM) as pool:
        assert await pool.fetchval("SELECT count(*) FROM seen") == 2
    await admin.execute(f"DROP OWNED BY {login} CASCADE")
    await admin.execute(f"DROP ROLE {service.role}")
    await admin.execute(f"DROP OWNED BY {login}; DROP ROLE {login}")


def test_an_unreachable_database_is_a_clear_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.postgres.migrate.WAIT_SECONDS", 0.3)

    with pytest.raises(MigrationFault, match="no database"):
        migrate("ingest", "postgresql://nobody@/x?host=/nowhere", migrations=tmp_path)


def test_an_unknown_service_is_a_clear_fault() -> None:
    with pytest.raises(MigrationFault, match="no service florist"):
        migrate("florist", "postgresql://x@/x")
