"""The vault: one contract for the one in Postgres and the one in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from uuid import uuid4

import pytest

from libs.postgres.vault_keys import VaultKeys
from libs.security.data_keys import Erased, Forgotten, Receipt, ServiceKeys, Subject, Tombstone
from libs.security.sealing import SealBroken, generate_key
from libs.security.vault import KeyStore, Vault
from libs.testing.vault import MemoryKeys

OLD, NEW, OTHER = generate_key(), generate_key(), generate_key()
NOON: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
ANNA, BORIS = Subject("demo", uuid4()), Subject("demo", uuid4())


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> KeyStore:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryKeys()
    return VaultKeys(request.getfixturevalue("vault_pool"))


@pytest.fixture
def vault(store: KeyStore) -> Vault:
    """A vault with one service key."""
    return Vault(store, ServiceKeys([OLD]))


async def test_a_sealed_text_opens_for_its_person(vault: Vault) -> None:
    sealed = await vault.seal(ANNA, "Анна")

    assert await vault.open(ANNA, sealed) == "Анна"


async def test_a_key_is_created_once_and_then_read(store: KeyStore) -> None:
    one, another = (Vault(store, ServiceKeys([OLD])) for _ in range(2))
    sealed = (await one.key_for(ANNA)).seal("Anna")

    assert (await another.key_for(ANNA)).open(sealed) == "Anna"


async def test_two_processes_that_create_a_key_at_once_get_the_same_one(store: KeyStore) -> None:
    vaults = [Vault(store, ServiceKeys([OLD])) for _ in range(8)]
    keys = await asyncio.gather(*(one.keys_for([ANNA, BORIS]) for one in vaults))
    sealed = [one[subject].seal("text") for one in keys for subject in (ANNA, BORIS)]

    assert await vaults[0].open_many(zip([ANNA, BORIS] * 8, sealed, strict=True)) == ["text"] * 16


async def test_a_person_taken_for_new_has_one_key_all_the_same(store: KeyStore) -> None:
    one, another = (Vault(store, ServiceKeys([OLD])) for _ in range(2))
    sealed = [await each.seal(ANNA, "Anna", is_new=True) for each in (one, another)]

    assert await another.open_many((ANNA, text) for text in sealed) == ["Anna", "Anna"]


async def test_a_text_sealed_for_one_person_does_not_open_for_another(vault: Vault) -> None:
    sealed = await vault.seal(ANNA, "Anna")
    await vault.key_for(BORIS)

    with pytest.raises(SealBroken):
        await vault.open(BORIS, sealed)


async def test_the_same_id_in_another_tenant_is_another_person(vault: Vault) -> None:
    elsewhere = Subject("other", ANNA.id)
    sealed = await vault.seal(ANNA, "Anna")
    theirs = await vault.seal(elsewhere, "Anne")
    await vault.forget(ANNA, by="admin", at=NOON)

    assert await vault.open(elsewhere, theirs) == "Anne"
    with pytest.raises(SealBroken):
        await vault.open(elsewhere, sealed)


async def test_a_text_of_a_person_without_a_key_does_not_open_and_creates_none(
    vault: Vault, store: KeyStore
) -> None:
    with pytest.raises(SealBroken):
        await vault.open(BORIS, await vault.seal(ANNA, "Anna"))

    assert set(await store.read([ANNA, BORIS])) == {ANNA}


async def test_many_texts_are_sealed_and_opened_in_their_order(vault: Vault) -> None:
    pairs = [(ANNA, "Anna"), (BORIS, "Boris"), (ANNA, "+77010000001")]
    sealed = await vault.seal_many(pairs)

    subjects = [subject for subject, _ in pairs]
    opened = await vault.open_many([*zip(subjects, sealed, strict=True), (BORIS, None)])

    assert opened == ["Anna", "Boris", "+77010000001", None]


async def test_texts_of_a_forgotten_person_open_as_erased(vault: Vault) -> None:
    sealed = await vault.seal_many([(ANNA, "Anna"), (BORIS, "Boris")])
    await vault.forget(ANNA, by="admin", at=NOON)

    assert await vault.open(ANNA, sealed[0]) == Erased(NOON)
    assert await vault.open_many(zip([ANNA, BORIS], sealed, strict=True)) == [
        Erased(NOON),
        "Boris",
    ]


async def test_a_forgotten_person_gets_no_new_key(vault: Vault) -> None:
    await vault.forget(ANNA, by="admin", at=NOON)

    for is_new in (False, True):
        with pytest.raises(Forgotten):
            await vault.seal(ANNA, "Anna", is_new=is_new)


async def test_a_person_without_a_key_can_be_forgotten(vault: Vault, store: KeyStore) -> None:
    await vault.forget(BORIS, by="admin", at=NOON)

    assert (await store.read([BORIS]))[BORIS].forgotten_at == NOON


async def test_the_first_of_repeated_forgets_decides_time_and_actor(vault: Vault) -> None:
    first = await vault.forget(ANNA, by="admin", at=NOON)
    second = await vault.forget(ANNA, by="other", at=NOON + timedelta(days=1))

    assert second == first
    assert first.tombstone == Tombstone(ANNA, NOON, "admin")


async def test_a_receipt_is_valid_until_it_is_changed(vault: Vault) -> None:
    receipt = await vault.forget(ANNA, by="admin", at=NOON)

    assert vault.is_valid(receipt)
    for change in _changes(receipt):
        assert not vault.is_valid(change)


def _changes(receipt: Receipt) -> Sequence[Receipt]:
    tombstone = receipt.tombstone
    return [
        replace(receipt, signature=receipt.signature[:-1]),
        replace(receipt, signature="подпись"),
        replace(receipt, tombstone=replace(tombstone, subject=BORIS)),
        replace(receipt, tombstone=replace(tombstone, by="other")),
        replace(receipt, tombstone=replace(tombstone, at=NOON + timedelta(seconds=1))),
    ]


async def test_a_receipt_is_valid_in_every_time_zone_and_after_a_rotation(
    vault: Vault, store: KeyStore
) -> None:
    almaty = NOON.astimezone(timezone(timedelta(hours=5)))
    receipt = await vault.forget(ANNA, by="admin", at=almaty)

    for keys, valid in (([NEW, OLD], True), ([OTHER], False)):
        assert Vault(store, ServiceKeys(keys)).is_valid(receipt) is valid


async def test_the_forgotten_are_listed_from_a_moment_on(vault: Vault) -> None:
    receipts = [
        await vault.forget(Subject("demo", uuid4()), by="admin", at=NOON + timedelta(hours=n))
        for n in range(3)
    ]

    assert await vault.forgotten_since(NOON) == receipts
    assert await vault.forgotten_since(NOON + timedelta(hours=1)) == receipts[1:]


async def test_the_list_of_the_forgotten_is_replayed_onto_a_restored_vault(
    vault: Vault, store: KeyStore
) -> None:
    sealed = await vault.seal(ANNA, "Anna")
    backup = await store.read([ANNA])
    forgotten = [await vault.forget(one, by="admin", at=NOON) for one in (ANNA, BORIS)]

    restored_store = MemoryKeys()
    await restored_store.add({ANNA: backup[ANNA].wrapped or b""})
    restored = Vault(restored_store, ServiceKeys([OLD]))
    assert await restored.open(ANNA, sealed) == "Anna"

    for _ in range(2):
        assert await restored.replay(forgotten) == 2
        assert await restored.open(ANNA, sealed) == Erased(NOON)
        with pytest.raises(Forgotten):
            await restored.seal(BORIS, "x")


async def test_a_list_with_a_foreign_receipt_is_not_replayed(vault: Vault, store: KeyStore) -> None:
    sealed = await vault.seal(ANNA, "Anna")
    foreign = ServiceKeys([OTHER]).receipt(Tombstone(ANNA, NOON, "admin"))

    with pytest.raises(SealBroken):
        await vault.replay([foreign])
    assert await vault.open(ANNA, sealed) == "Anna"


async def test_keys_wrapped_anew_need_the_old_service_key_no_more(store: KeyStore) -> None:
    people = [Subject("demo", uuid4()) for _ in range(3)]
    sealed = await Vault(store, ServiceKeys([OLD])).seal_many([(one, "text") for one in people])
    rotated = Vault(store, ServiceKeys([NEW, OLD]))
    await rotated.forget(people[0], by="admin", at=NOON)

    assert await rotated.rewrap() == 2
    assert await rotated.rewrap() == 0
    opened = await Vault(store, ServiceKeys([NEW])).open_many(zip(people, sealed, strict=True))
    assert opened == [Erased(NOON), "text", "text"]
    with pytest.raises(SealBroken):
        await Vault(store, ServiceKeys([OLD])).open(people[1], sealed[1])
