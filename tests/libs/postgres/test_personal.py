"""Personal columns are erased in every version of a table, and purged from every file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from deploy.local.postgres import binaries_folder
from libs.postgres.personal import Postponed, erase, personal, personal_columns, purge
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.vault_keys import VaultKeys
from libs.projections.versions import VersionSchemas, prepare, switch
from libs.security.data_keys import ServiceKeys, Subject, Tombstone
from libs.security.sealing import generate_key
from libs.security.vault import Vault
from tests.libs.guests import STAY

NOON: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANNA, BORIS = Subject("demo", uuid4()), Subject("demo", uuid4())
ADD: Final = """
INSERT INTO {schema}.stay (tenant, number, guest_id, name, note, host_number, host, room)
VALUES ($1, $2, $3, $4, $5, 7, 'Helga', 'blue')
"""
ROWS: Final = "SELECT name, note, host, room FROM {schema}.stay ORDER BY tenant, number"

FILES: Final = """
SELECT relname, pg_read_binary_file(pg_relation_filepath(oid)) AS content FROM pg_class
WHERE relkind IN ('r', 'i', 't') AND NOT relisshared AND pg_relation_filepath(oid) IS NOT NULL
"""


@pytest.fixture
async def owner(vault_database: str) -> AsyncIterator[Pool]:
    """Connections of the tables' owner."""
    async with await open_pool(
        vault_database,
        role=None,
        schema="inn",
        size=2,
        application_name="test",
        tenant_scope=SYSTEM,
    ) as pool:
        yield pool


async def add(pool: Pool, number: int, guest: Subject, name: str, schema: str = "inn") -> None:
    await pool.execute(
        ADD.format(schema=schema), guest.tenant, number, guest.id, name, f"{name} snores"
    )


async def rows(pool: Pool, schema: str = "inn") -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await pool.fetch(ROWS.format(schema=schema))]


async def test_texts_about_a_person_are_erased_and_other_columns_and_persons_stay(
    vault_pool: Pool,
) -> None:
    await add(vault_pool, 1, ANNA, "Anna")
    await add(vault_pool, 2, BORIS, "Boris")
    await add(vault_pool, 3, Subject("other", ANNA.id), "Anne")
    async with vault_pool.acquire() as connection:
        for _ in range(2):
            await erase(connection, [STAY], [ANNA])

    assert await rows(vault_pool) == [
        (None, "", "Helga", "blue"),
        ("Boris", "Boris snores", "Helga", "blue"),
        ("Anne", "Anne snores", "Helga", "blue"),
    ]


async def test_persons_with_ids_of_another_kind_are_erased_by_their_own_column(
    vault_pool: Pool,
) -> None:
    await add(vault_pool, 1, ANNA, "Anna")
    async with vault_pool.acquire() as connection:
        await erase(connection, [STAY], [Subject("demo", "7"), Subject("demo", "no id at all")])

    assert await rows(vault_pool) == [("Anna", "Anna snores", None, "blue")]


async def test_the_next_and_the_previous_version_of_a_table_are_erased_too(
    owner: Pool, vault_pool: Pool
) -> None:
    schemas = VersionSchemas("inn", "tillstream_inn")
    async with owner.acquire() as connection:
        await prepare(connection, ["stay"], schemas)
        await add(owner, 1, ANNA, "Anna")
        async with connection.transaction():
            await switch(connection, ["stay"], schemas)
        await prepare(connection, ["stay"], schemas)
        # A migration after the previous version was built.
        await connection.execute("ALTER TABLE inn_previous.stay DROP COLUMN note")
    for schema in ("inn", "inn_next"):
        await add(owner, 1, ANNA, "Anna", schema)
    await VaultKeys(vault_pool, [STAY]).forget([Tombstone(ANNA, NOON, "admin")])

    for schema in ("inn", "inn_next"):
        assert await rows(owner, schema) == [(None, "", "Helga", "blue")]
    assert await owner.fetchval("SELECT name FROM inn_previous.stay") is None


@pytest.mark.parametrize(
    "columns",
    [
        [Column("tenant", Text), Column("name", Text, info=personal(of="guest_id"))],
        [Column("guest_id", Text), Column("name", Text, info=personal(of="guest_id"))],
        [
            *(Column("tenant", Text), Column("guest_id", Text)),
            Column("age", Integer, nullable=False, info=personal(of="guest_id")),
        ],
    ],
    ids=["no person", "no tenant", "no empty value"],
)
def test_a_column_that_cannot_be_erased_is_refused(columns: Sequence[Column[Any]]) -> None:
    with pytest.raises(ValueError, match=r"\.(name|age) "):
        personal_columns(Table("stay", MetaData(), *columns))


async def files_with(database: str, text: bytes) -> set[str]:
    """The tables and indexes of a database whose files contain `text`."""
    admin = await asyncpg.connect(database)
    try:
        await admin.execute("CHECKPOINT")
        return {row["relname"] for row in await admin.fetch(FILES) if text in row["content"]}
    finally:
        await admin.close()


async def dump(database: str) -> str:
    """What `pg_dump` writes."""
    program = await asyncio.create_subprocess_exec(
        binaries_folder() / "pg_dump", f"--dbname={database}", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await program.communicate()
    assert program.returncode == 0
    return output.decode()


async def test_after_a_purge_no_file_and_no_dump_holds_the_key_or_texts_of_the_forgotten(
    vault_database: str, vault_pool: Pool, owner: Pool
) -> None:
    store = VaultKeys(vault_pool, [STAY])
    vault = Vault(store, ServiceKeys([generate_key()]))
    await vault.keys_for([ANNA, BORIS])
    key = (await store.read([ANNA]))[ANNA].wrapped or b"none"
    await add(vault_pool, 1, ANNA, "Annabella")
    await add(vault_pool, 2, BORIS, "Boris")
    await owner.execute("ANALYZE stay")
    assert key.hex() in await dump(vault_database)

    await vault.forget(ANNA, by="admin", at=NOON)
    left = await dump(vault_database)
    assert key.hex() not in left
    assert "Annabella" not in left
    assert "Boris snores" in left
    # The old versions of the rows, and the planner's samples.
    assert await files_with(vault_database, key) == {"vault_key"}
    assert await files_with(vault_database, b"Annabella") == {"stay", "pg_statistic"}

    done = await purge(owner, [STAY])

    assert (done.persons, done.tables) == (1, ["inn.stay", "vault_key"])
    assert await files_with(vault_database, key) == set()
    assert await files_with(vault_database, b"Annabella") == set()
    assert "stay" in await files_with(vault_database, b"Boris snores")
    assert await purge(owner, [STAY]) == type(done)(0, [])


async def test_a_purge_is_postponed_while_a_transaction_may_see_the_erased_rows(
    vault_database: str, vault_pool: Pool, owner: Pool
) -> None:
    vault = Vault(VaultKeys(vault_pool, [STAY]), ServiceKeys([generate_key()]))
    await add(vault_pool, 1, ANNA, "Annabella")
    async with owner.acquire() as reader, reader.transaction(isolation="repeatable_read"):
        await reader.fetch("SELECT FROM stay")
        await vault.forget(ANNA, by="admin", at=NOON)
        with pytest.raises(Postponed):
            await purge(owner, [STAY], old_snapshot_seconds=0)

    assert (await purge(owner, [STAY])).persons == 1
    assert await files_with(vault_database, b"Annabella") == set()


async def test_a_purge_is_postponed_while_a_table_is_in_use(vault_pool: Pool, owner: Pool) -> None:
    vault = Vault(VaultKeys(vault_pool, [STAY]), ServiceKeys([generate_key()]))
    await vault.forget(ANNA, by="admin", at=NOON)
    async with vault_pool.acquire() as user, user.transaction():
        await user.execute("LOCK TABLE stay IN ACCESS SHARE MODE")
        with pytest.raises(Postponed):
            await purge(owner, [STAY], lock_seconds=0)

    assert (await purge(owner, [STAY])).persons == 1


WAITING = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE NOT granted AND relation = 'inn.stay'::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
"""


async def started(owner: Pool, reader: Any) -> "asyncio.Task[object]":
    """A purge that waits for the table, which `reader` uses."""
    while True:
        purging = asyncio.create_task(purge(owner, [STAY], old_snapshot_seconds=1))
        while not purging.done():
            if await reader.fetchval(WAITING):
                return purging
            await asyncio.sleep(0.01)
        # A transaction of another test's database was in the way.
        with suppress(Postponed):
            await purging


async def test_a_transaction_that_begins_during_a_purge_keeps_no_sample_of_an_erased_text(
    vault_database: str, vault_pool: Pool, owner: Pool
) -> None:
    vault = Vault(VaultKeys(vault_pool, [STAY]), ServiceKeys([generate_key()]))
    await add(vault_pool, 1, ANNA, "Annabella")
    await owner.execute("ANALYZE stay")
    await vault.forget(ANNA, by="admin", at=NOON)
    async with vault_pool.acquire() as writer, writer.transaction():
        async with vault_pool.acquire() as reader, reader.transaction():
            await reader.execute("LOCK TABLE stay IN ACCESS SHARE MODE")
            purging = await started(owner, reader)
            await writer.fetchval("SELECT pg_current_xact_id()")
        with pytest.raises(Postponed):
            await purging

    assert (await purge(owner, [STAY])).persons == 1
    assert await files_with(vault_database, b"Annabella") == set()
