"""Migrations: who may run them, how often, and at once."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from libs.postgres.migrate import migrate, pending
from libs.postgres.pool import open_pool, tenant_transaction
from libs.postgres.revisions import MigrationFault, unapplied
from libs.postgres.rls import application_role

FIRST = '''
"""A box."""
import sqlalchemy as sa
from alembic import op
from libs.postgres import rls

revision, down_revision = "0001", None

def upgrade():
    op.create_table(
        "box", sa.Column("tenant", sa.Text, nullable=False), sa.Column("code", sa.Text)
    )
    rls.enable_tenant_rls(op, "box")
    rls.grant(op, "box", "SELECT", "INSERT")
'''
SECOND = '''
"""A count."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

def upgrade():
    op.add_column("box", sa.Column("items", sa.Integer))
'''
BROKEN = """
from alembic import op

revision, down_revision = "0003", "0002"

def upgrade():
    op.execute("CREATE TABLE half ()")
    op.execute("SELECT 1 / 0")
"""


@pytest.fixture
async def service(database: str) -> AsyncIterator[str]:
    """A name nobody else uses; its role belongs to the whole server and is dropped at the end."""
    name = f"s{uuid4().hex[:12]}"
    yield name
    role = application_role(name)
    connection = await asyncpg.connect(database)
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
    await connection.close()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    write(tmp_path, first=FIRST, second=SECOND)
    return tmp_path


def write(folder: Path, **revisions: str) -> None:
    (folder / "versions").mkdir(exist_ok=True)
    for name, text in revisions.items():
        (folder / "versions" / f"{name}.py").write_text(text, encoding="utf-8")


def as_login(database: str, login: str) -> str:
    """The same database for another login; its password is x."""
    parts = urlsplit(database)
    return parts._replace(netloc=f"{login}:x@{parts.netloc.rpartition('@')[2]}").geturl()


async def in_processes_of_their_own(service: str, urls: list[str], migrations: Path) -> None:
    code = "import sys, pathlib; from libs.postgres.migrate import migrate; "
    code += "migrate(sys.argv[1], sys.argv[2], migrations=pathlib.Path(sys.argv[3]))"
    runs = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, service, url, str(migrations)
        )
        for url in urls
    ]
    assert await asyncio.gather(*(run.wait() for run in runs)) == [0] * len(urls)


async def test_migrations_in_threads_of_one_process_do_not_mix(
    database: str, service: str, migrations: Path
) -> None:
    others = [f"{service}{letter}" for letter in "abc"]

    await asyncio.gather(
        *(asyncio.to_thread(migrate, name, database, migrations=migrations) for name in others)
    )

    assert [pending(name, database, migrations=migrations) for name in others] == [[]] * 3
    connection = await asyncpg.connect(database)
    for role in map(application_role, others):
        await connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
    await connection.close()


async def test_a_migrated_service_reads_and_writes_as_its_role_only(
    database: str, service: str, migrations: Path
) -> None:
    migrate(service, database, migrations=migrations)

    role = application_role(service)
    pool = await open_pool(database, role=role, schema=service, size=1, application_name="test")
    async with tenant_transaction(pool, "flora") as connection:
        await connection.execute("INSERT INTO box VALUES ('flora', 'a', 1)")
        assert await connection.fetchval("SELECT items FROM box") == 1
    for forbidden in ("DELETE FROM box", "CREATE TABLE x ()", "DELETE FROM schema_version"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(forbidden)
    rights = await pool.fetchrow(
        """SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole
        FROM pg_roles WHERE rolname = $1""",
        role,
    )
    assert rights is not None
    assert tuple(rights) == (False, False, False, False)
    await pool.close()


async def test_what_is_not_applied_yet_is_told_oldest_first(
    database: str, service: str, migrations: Path
) -> None:
    assert pending(service, database, migrations=migrations) == ["0001", "0002"]
    (migrations / "versions" / "second.py").unlink()

    migrate(service, database, migrations=migrations)

    assert pending(service, database, migrations=migrations) == []
    write(migrations, second=SECOND)
    assert pending(service, database, migrations=migrations) == ["0002"]
    pool = await open_pool(
        database,
        role=application_role(service),
        schema=service,
        size=1,
        application_name="test",
    )
    assert await unapplied(service, pool, migrations=migrations) == ["0002"]
    await pool.close()


async def test_an_older_release_is_at_peace_with_a_newer_schema(
    database: str, service: str, migrations: Path
) -> None:
    migrate(service, database, migrations=migrations)

    (migrations / "versions" / "second.py").unlink()

    assert pending(service, database, migrations=migrations) == []


async def test_migrating_again_changes_nothing(
    database: str, service: str, migrations: Path
) -> None:
    for _ in range(2):
        migrate(service, database, migrations=migrations)

    assert pending(service, database, migrations=migrations) == []


async def test_migrations_of_one_service_at_once_wait_for_each_other(
    database: str, service: str, migrations: Path
) -> None:
    await in_processes_of_their_own(service, [database] * 3, migrations)

    assert pending(service, database, migrations=migrations) == []


async def test_migrations_in_several_databases_at_once_share_their_role(
    postgres_url: str, service: str, migrations: Path
) -> None:
    names = [f"t{uuid4().hex}" for _ in range(3)]
    admin = await asyncpg.connect(postgres_url)
    for name in names:
        await admin.execute(f"CREATE DATABASE {name}")
    urls = [urlsplit(postgres_url)._replace(path=f"/{name}").geturl() for name in names]

    await in_processes_of_their_own(service, urls, migrations)

    assert [pending(service, url, migrations=migrations) for url in urls] == [[]] * 3
    for name in names:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_a_broken_revision_leaves_nothing_behind_but_keeps_those_before_it(
    database: str, service: str, migrations: Path
) -> None:
    write(migrations, broken=BROKEN)

    with pytest.raises(Exception, match="division by zero"):
        migrate(service, database, migrations=migrations)

    assert pending(service, database, migrations=migrations) == ["0003"]
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT to_regclass($1)", f"{service}.half") is None
    assert await connection.fetchval("SELECT to_regclass($1)", f"{service}.box") is not None
    await connection.close()


async def test_a_login_that_is_no_superuser_may_migrate_and_become_the_role(
    database: str, service: str, migrations: Path
) -> None:
    login, role = f"login_{service}", application_role(service)
    admin = await asyncpg.connect(database)
    await admin.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'x' CREATEROLE")
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"GRANT CREATE ON DATABASE {name} TO {login}")
    own = as_login(database, login)

    migrate(service, own, migrations=migrations)

    pool = await open_pool(own, role=role, schema=service, size=1, application_name="test")
    assert await pool.fetchval("SELECT current_user") == role
    assert await pool.fetchval("SELECT count(*) FROM box") == 0
    await pool.close()
    await admin.execute(f"DROP OWNED BY {login} CASCADE")
    await admin.execute(f"DROP ROLE {role}")
    await admin.execute(f"DROP OWNED BY {login}; DROP ROLE {login}")
    await admin.close()


def test_a_database_that_never_comes_is_a_clear_fault(
    migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.postgres.migrate.WAIT_SECONDS", 0.3)

    with pytest.raises(MigrationFault, match="no database"):
        migrate("ingest", "postgresql://nobody@/x?host=/nowhere", migrations=migrations)


def test_an_unknown_service_is_a_clear_fault() -> None:
    with pytest.raises(MigrationFault, match="no service florist"):
        migrate("florist", "postgresql://x@/x")
