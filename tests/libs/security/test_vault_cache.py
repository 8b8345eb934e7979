"""Opened keys are cached, and dropped in every process as soon as a person is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import pytest

from libs.postgres.doorbell import Doorbell
from libs.postgres.pool import Pool
from libs.postgres.vault_keys import StoredKey, VaultKeys
from libs.security import vault as vault_module
from libs.security.data_keys import Erased, Forgotten, ServiceKeys, Subject
from libs.security.sealing import generate_key
from libs.security.vault import Vault
from libs.testing.polling import eventually

NOON: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANNA: Final = Subject("demo", uuid4())
KEYS: Final = ServiceKeys([generate_key()])


class CountingKeys(VaultKeys):
    """Counts reads, and can hold one up after it has its rows."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.reads = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def read(self, subjects: Collection[Subject]) -> Mapping[Subject, StoredKey]:
        self.reads += 1
        rows = await super().read(subjects)
        await self.go_on.wait()
        return rows


@pytest.fixture
def store(vault_pool: Pool) -> CountingKeys:
    """The keys of the vault under test."""
    return CountingKeys(vault_pool)


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[Doorbell]:
    """The doorbell of a process of its own."""
    doorbell, stop = Doorbell(database, "inn"), asyncio.Event()
    running = asyncio.ensure_future(doorbell.run(stop))
    await eventually(lambda: doorbell.is_listening)
    yield doorbell
    stop.set()
    await running


async def test_a_key_that_was_used_is_not_read_again(
    vault_database: str, store: CountingKeys
) -> None:
    async with connected(vault_database) as doorbell:
        vault = Vault(store, KEYS, doorbell=doorbell)
        sealed = await vault.seal(ANNA, "Anna")
        reads = store.reads

        for _ in range(3):
            assert await vault.open(ANNA, sealed) == "Anna"
        assert store.reads == reads


async def test_another_process_drops_its_keys_when_a_person_is_forgotten(
    vault_database: str,
    vault_pool: Pool,
    store: CountingKeys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vault_module, "CACHE_SECONDS", 3600)
    async with connected(vault_database) as doorbell:
        vault = Vault(store, KEYS, doorbell=doorbell)
        sealed = await vault.seal(ANNA, "Anna")
        # The other process is not even connected to the doorbell, like a short command.
        await Vault(VaultKeys(vault_pool), KEYS).forget(ANNA, by="admin", at=NOON)

        async def is_erased() -> bool:
            return await vault.open(ANNA, sealed) == Erased(NOON)

        await eventually(is_erased)
        with pytest.raises(Forgotten):
            await vault.seal(ANNA, "Anna")


async def test_the_process_that_forgets_uses_no_old_key_afterwards(
    vault_database: str, store: CountingKeys
) -> None:
    async with connected(vault_database) as doorbell:
        vault = Vault(store, KEYS, doorbell=doorbell)
        sealed = await vault.seal(ANNA, "Anna")
        await vault.forget(ANNA, by="admin", at=NOON)

        assert await vault.open(ANNA, sealed) == Erased(NOON)


async def test_a_key_that_was_read_before_a_forget_is_not_cached_after_it(
    vault_database: str, store: CountingKeys
) -> None:
    async with connected(vault_database) as doorbell:
        sealed = await Vault(store, KEYS).seal(ANNA, "Anna")
        vault, reads = Vault(store, KEYS, doorbell=doorbell), store.reads
        store.go_on.clear()
        opening = asyncio.ensure_future(vault.open(ANNA, sealed))
        await eventually(lambda: store.reads > reads)
        await vault.forget(ANNA, by="admin", at=NOON)
        store.go_on.set()

        assert await opening == "Anna"
        assert await vault.open(ANNA, sealed) == Erased(NOON)


async def test_a_process_without_notifications_reads_every_key_again(
    vault_database: str, vault_pool: Pool, store: CountingKeys
) -> None:
    async with connected(vault_database) as doorbell:
        vault = Vault(store, KEYS, doorbell=doorbell)
        sealed = await vault.seal(ANNA, "Anna")
    assert not doorbell.is_listening
    await Vault(VaultKeys(vault_pool), KEYS).forget(ANNA, by="admin", at=NOON)

    assert await vault.open(ANNA, sealed) == Erased(NOON)


async def test_a_cached_key_expires_even_if_its_notification_was_lost(
    vault_database: str, vault_pool: Pool, store: CountingKeys
) -> None:
    now = 0.0
    async with connected(vault_database) as doorbell:
        vault = Vault(store, KEYS, doorbell=doorbell, clock=lambda: now)
        sealed = await vault.seal(ANNA, "Anna")
        lost = "UPDATE vault_key SET wrapped_key = NULL, forgotten_at = $1, forgotten_by = 'x'"
        await vault_pool.execute(lost, NOON)

        assert await vault.open(ANNA, sealed) == "Anna"
        now = vault_module.CACHE_SECONDS
        assert await vault.open(ANNA, sealed) == Erased(NOON)


async def test_the_cache_holds_the_keys_used_last(vault_database: str, store: CountingKeys) -> None:
    people = [Subject("demo", uuid4()) for _ in range(3)]
    async with connected(vault_database) as doorbell:
        vault = Vault(store, KEYS, doorbell=doorbell, cache_size=2)
        await vault.key_for(people[0])
        await vault.key_for(people[1])
        await vault.key_for(people[0])
        await vault.key_for(people[2])
        reads = store.reads

        await vault.keys_for([people[0], people[2]])
        assert store.reads == reads
        await vault.key_for(people[1])
        assert store.reads == reads + 1


async def test_a_closed_vault_hears_no_notifications(
    vault_database: str, store: CountingKeys
) -> None:
    async with connected(vault_database) as doorbell:
        vault = Vault(store, KEYS, doorbell=doorbell)
        listeners = len(doorbell._listeners["forgotten"])
        for _ in range(2):
            vault.close()

        assert len(doorbell._listeners["forgotten"]) == listeners - 1
