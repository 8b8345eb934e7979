"""The vault's table: tenants apart, tombstones for good, and projections that open texts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import asyncpg
import pytest

from libs.postgres.pool import SYSTEM, Connection, Pool, open_pool, tenant_transaction
from libs.postgres.vault_keys import VaultKeys
from libs.security.data_keys import Erased, ServiceKeys, Subject, text_of
from libs.security.sealing import generate_key
from libs.security.vault import Vault, VaultReader
from libs.testing.polling import eventually
from libs.testing.pools import tenant_pool
from tests.libs.guests import STAY

NOON: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANNA, BORIS = Subject("demo", uuid4()), Subject("demo", uuid4())
WAITING: Final = """
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND datname = current_database() AND query LIKE $1)
"""
KEYS: Final = ServiceKeys([generate_key()])
READER: Final = VaultReader(KEYS)


@pytest.fixture
def vault(vault_pool: Pool) -> Vault:
    """A vault whose `forget` erases the table of stays."""
    return Vault(VaultKeys(vault_pool, [STAY]), KEYS)


@pytest.fixture
async def superuser(vault_database: str) -> AsyncIterator[Pool]:
    """Connections of a superuser."""
    async with await open_pool(
        vault_database,
        role=None,
        schema="inn",
        size=2,
        application_name="test",
        tenant_scope=SYSTEM,
    ) as pool:
        yield pool


async def test_a_tenant_sees_its_own_keys_only(vault_database: str, vault: Vault) -> None:
    await vault.keys_for([ANNA, Subject("other", ANNA.id)])

    async with (
        tenant_pool(vault_database, "inn") as pool,
        tenant_transaction(pool, "demo") as connection,
    ):
        rows = await connection.fetch("SELECT tenant FROM vault_key")
        assert [row["tenant"] for row in rows] == ["demo"]


async def test_the_service_itself_cannot_delete_keys_or_revive_a_forgotten_person(
    vault: Vault, vault_pool: Pool
) -> None:
    await vault.forget(ANNA, by="admin", at=NOON)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await vault_pool.execute("DELETE FROM vault_key")
    with pytest.raises(asyncpg.CheckViolationError):
        await vault_pool.execute("UPDATE vault_key SET wrapped_key = 'key'")


async def project(connection: Connection, number: int, sealed: str) -> str | None:
    """What a projection of stays does with one event; returns what it wrote."""
    [name] = await READER.open_many(connection, [(ANNA, sealed)])
    await connection.execute(
        "INSERT INTO stay (tenant, number, guest_id, name) VALUES ($1, $2, $3, $4)",
        *(ANNA.tenant, number, ANNA.id, text_of(name)),
    )
    return text_of(name)


async def names(pool: Pool) -> list[str | None]:
    return [row["name"] for row in await pool.fetch("SELECT name FROM stay ORDER BY number")]


async def test_a_projection_opens_the_texts_of_a_page_in_its_own_transaction(
    vault: Vault, vault_pool: Pool
) -> None:
    sealed = await vault.seal_many([(ANNA, "Anna"), (BORIS, "Boris")])
    await vault.forget(BORIS, by="admin", at=NOON)

    async with vault_pool.acquire() as connection, connection.transaction():
        pairs = [(ANNA, sealed[0]), (BORIS, sealed[1]), (BORIS, None)]
        assert await READER.open_many(connection, pairs) == ["Anna", Erased(NOON), None]
        assert await READER.open_many(connection, []) == []


async def test_forget_waits_for_a_projection_and_erases_what_it_wrote(
    vault: Vault, vault_pool: Pool, superuser: Pool
) -> None:
    sealed = await vault.seal(ANNA, "Anna")
    async with vault_pool.acquire() as connection:
        async with connection.transaction():
            assert await project(connection, 1, sealed) == "Anna"
            forgetting = asyncio.ensure_future(vault.forget(ANNA, by="admin", at=NOON))
            await eventually(lambda: superuser.fetchval(WAITING, "LOCK TABLE%"))
        await forgetting

    assert await names(vault_pool) == [None]


async def test_a_projection_waits_for_forget_and_writes_no_text(
    vault: Vault, vault_pool: Pool, superuser: Pool
) -> None:
    sealed = await vault.seal(ANNA, "Anna")
    async with vault_pool.acquire() as user, vault_pool.acquire() as connection:
        async with user.transaction():
            await user.execute(
                "INSERT INTO stay (tenant, number, guest_id) VALUES ($1, 1, $2)",
                *(ANNA.tenant, ANNA.id),
            )
            await user.execute("LOCK TABLE stay IN SHARE MODE")
            # Its key is destroyed, and it waits for the table.
            forgetting = asyncio.ensure_future(vault.forget(ANNA, by="admin", at=NOON))
            await eventually(lambda: superuser.fetchval(WAITING, "%UPDATE inn.stay%"))
            projecting = asyncio.ensure_future(_project_in_transaction(connection, 2, sealed))
            await eventually(lambda: superuser.fetchval(WAITING, "LOCK TABLE%"))
        await forgetting
        assert await projecting is None

    assert await names(vault_pool) == [None, None]


async def _project_in_transaction(connection: Connection, number: int, sealed: str) -> str | None:
    async with connection.transaction():
        return await project(connection, number, sealed)


async def test_forget_is_repeated_after_a_deadlock_with_a_projection(
    vault: Vault, vault_pool: Pool, superuser: Pool
) -> None:
    sealed = await vault.seal(ANNA, "Anna")
    async with vault_pool.acquire() as other:
        await _project_in_transaction(other, 1, sealed)
    async with superuser.acquire() as connection, connection.transaction():
        # This transaction never detects the deadlock, so `forget` does, or gives up the lock.
        await connection.execute("SET LOCAL deadlock_timeout = '1min'")
        await connection.execute("UPDATE stay SET room = 'blue'")
        forgetting = asyncio.ensure_future(vault.forget(ANNA, by="admin", at=NOON))
        await eventually(lambda: superuser.fetchval(WAITING, "%UPDATE inn.stay%"))
        assert await project(connection, 2, sealed) == "Anna"
    await forgetting

    assert await names(vault_pool) == [None, None]
