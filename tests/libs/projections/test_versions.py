"""The tables of a read model in three versions, on a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.projections import versions
from libs.projections.versions import NoSuchVersion, ShapesDiffer, VersionSchemas

TABLES = ("shelf", "label")
SCHEMAS = VersionSchemas("public")
MADE = """
CREATE TABLE shelf (
    tenant text NOT NULL, dropped text, item integer NOT NULL, code text NOT NULL,
    stock integer NOT NULL DEFAULT 0 CHECK (stock >= 0), place int4range,
    CONSTRAINT shelf_by_item PRIMARY KEY (tenant, item),
    CONSTRAINT one_code UNIQUE (tenant, code),
    CONSTRAINT apart EXCLUDE USING gist (place WITH &&)
) WITH (fillfactor = 70);
ALTER TABLE shelf DROP COLUMN dropped;
CREATE UNIQUE INDEX "one Label" ON shelf (tenant, lower(code)) WHERE stock > 0;
CREATE INDEX shelf_full ON shelf (tenant, stock DESC NULLS LAST) INCLUDE (code) WHERE stock > 9;
CREATE INDEX shelf_place ON shelf USING gist (place);
CREATE TABLE label (tenant text, name text, PRIMARY KEY (tenant, name))
"""
INDEXES = """
SELECT tablename, indexname, regexp_replace(indexdef, ' ON .*? USING ', ' USING ')
FROM pg_indexes WHERE schemaname = $1 ORDER BY 1, 2
"""
ADD = "INSERT INTO {}.shelf VALUES ('demo', $1, $2, $3, int4range($1, $1 + 1))"

Step = Callable[..., Awaitable[None]]


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    await connection.execute(MADE)
    yield connection
    await connection.close()


async def do(owner: Any, *steps: Step) -> None:
    for step in steps:
        async with owner.transaction():
            await step(owner, TABLES, SCHEMAS)


async def built(owner: Any) -> None:
    """A next version with one row."""
    await do(owner, versions.prepare)
    await owner.execute(ADD.format("public_next"), 1, "new", 20)
    await do(owner, versions.build_indexes)


async def codes(owner: Any) -> list[str]:
    return [row[0] for row in await owner.fetch("SELECT code FROM shelf ORDER BY item")]


async def test_while_it_is_loaded_a_version_has_its_keys_and_no_other_index(owner: Any) -> None:
    await do(owner, versions.prepare)

    indexes = {row["indexname"] for row in await owner.fetch(INDEXES, "public_next")}
    assert indexes == {"shelf_by_item", "one_code", "apart", "one Label", "label_pkey"}
    for refused in ((1, "b", 1), (2, "a", 1), (2, "A", 1)):
        async with owner.transaction():
            await owner.execute(ADD.format("public_next"), 1, "a", 1)
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                async with owner.transaction():
                    await owner.execute(ADD.format("public_next"), *refused)
            await owner.execute("DELETE FROM public_next.shelf")


async def test_names_and_definitions_are_the_same_through_switch_and_roll_back(owner: Any) -> None:
    before = await owner.fetch(INDEXES, "public")
    options = "SELECT reloptions FROM pg_class WHERE oid = 'shelf'::regclass"
    constraints = "SELECT conname FROM pg_constraint WHERE conrelid = 'shelf'::regclass ORDER BY 1"
    named = await owner.fetch(constraints)
    await owner.execute(ADD.format("public"), 1, "old", 1)

    for step, shows in (
        (versions.switch, "new"),
        (versions.roll_back, "old"),
        (versions.switch, "new"),
    ):
        if shows == "new":
            await built(owner)
        await do(owner, step)
        assert await codes(owner) == [shows]
        assert await owner.fetch(INDEXES, "public") == before
        assert await owner.fetchval(options) == ["fillfactor=70"]
        assert await owner.fetch(constraints) == named

    await owner.execute(
        'DROP INDEX shelf_full, "one Label"; ALTER TABLE shelf DROP CONSTRAINT apart'
    )


async def test_indexes_that_are_there_are_not_built_again(owner: Any) -> None:
    await do(owner, versions.prepare, versions.build_indexes)
    query = (
        "SELECT oid FROM pg_class WHERE relname = 'shelf_full' AND relnamespace::regnamespace::text"
    )
    first = await owner.fetchval(f"{query} = 'public_next'")
    await owner.execute("DROP INDEX public_next.shelf_place")

    await do(owner, versions.build_indexes)

    assert await owner.fetchval(f"{query} = 'public_next'") == first
    assert await owner.fetch(INDEXES, "public_next") == await owner.fetch(INDEXES, "public")


@pytest.mark.parametrize(
    "migration",
    [
        "ALTER TABLE shelf ADD COLUMN colour text",
        "ALTER TABLE shelf DROP COLUMN place",
        "ALTER TABLE shelf ALTER COLUMN item TYPE bigint",
        "ALTER TABLE shelf ALTER COLUMN code DROP NOT NULL",
        "ALTER TABLE shelf ALTER COLUMN stock SET DEFAULT 1",
        "ALTER TABLE shelf RENAME COLUMN code TO mark",
        "ALTER TABLE label DROP CONSTRAINT label_pkey",
        "DROP INDEX shelf_full",
    ],
)
async def test_a_version_from_before_a_migration_is_refused_and_nothing_changes(
    owner: Any, migration: str
) -> None:
    await built(owner)
    await do(owner, versions.switch)
    await built(owner)
    await owner.execute(migration)

    for step, other in ((versions.roll_back, "previous"), (versions.switch, "next")):
        with pytest.raises(ShapesDiffer, match=f"public_{other}"):
            await do(owner, step)

    await do(owner, versions.prepare, versions.build_indexes, versions.switch)
    assert await owner.fetchval("SELECT count(*) FROM shelf") == 0


async def test_without_another_version_there_is_nothing_to_switch_to(owner: Any) -> None:
    for step in (versions.switch, versions.roll_back):
        with pytest.raises(NoSuchVersion):
            await do(owner, step)


async def test_a_version_left_over_is_replaced(owner: Any) -> None:
    await built(owner)
    await do(owner, versions.prepare)

    assert not await owner.fetchval("SELECT count(*) FROM public_next.shelf")


async def test_tables_in_use_are_not_waited_for_long(owner: Any, database: str) -> None:
    await built(owner)
    reader = await asyncpg.connect(database)
    async with reader.transaction():
        await reader.fetch("SELECT FROM label")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await do(owner, versions.switch)
    await reader.close()

    await do(owner, versions.switch)
    assert await codes(owner) == ["new"]


async def test_rights_and_row_level_security_survive_a_switch(owner: Any) -> None:
    role = f"app_{uuid4().hex[:8]}"
    await owner.execute(
        f"""CREATE ROLE {role}; GRANT USAGE ON SCHEMA public TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON shelf, label TO {role};
        ALTER TABLE shelf ENABLE ROW LEVEL SECURITY; ALTER TABLE shelf FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON shelf USING (tenant = current_setting('lab.tenant', true))
            WITH CHECK (tenant = current_setting('lab.tenant', true));
        CREATE POLICY short ON shelf AS RESTRICTIVE FOR SELECT TO {role}
            USING (length(code) < 50)"""
    )
    before = await security(owner)

    for step in (versions.prepare, versions.build_indexes, versions.switch):
        async with owner.transaction():
            await step(owner, TABLES, VersionSchemas("public", role))

    assert await security(owner) == before
    async with owner.transaction():
        await owner.execute(f"SET LOCAL ROLE {role}; SET LOCAL lab.tenant = 'demo'")
        await owner.execute(ADD.format("public"), 1, "a", 1)
        assert await codes(owner) == ["a"]
        await owner.execute("SET LOCAL lab.tenant = 'other'")
        assert await codes(owner) == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute(ADD.format("public"), 2, "b", 1)


async def security(owner: Any) -> list[Any]:
    """What protects the live table."""
    policies = """SELECT policyname, permissive, roles, cmd, qual, with_check FROM pg_policies
        WHERE schemaname = 'public' AND tablename = 'shelf' ORDER BY 1"""
    secured = """SELECT relrowsecurity, relforcerowsecurity FROM pg_class
        WHERE oid = 'public.shelf'::regclass"""
    rights = """SELECT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = 'public' AND table_name = 'shelf' ORDER BY 1, 2"""
    return [await owner.fetch(query) for query in (policies, secured, rights)]
