"""Requests that are carried out once per key: claims, answers, and what is deleted when."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

import pytest

from libs.postgres.idempotency import (
    Claim,
    IdempotencyStore,
    InFlight,
    KeyedRequest,
    KeyReused,
    StoredAnswer,
)
from libs.postgres.pool import Pool
from libs.postgres.retention import PRUNED_AT_ONCE
from libs.testing.databases import migrated
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.pools import system_pool

REQUEST: Final = KeyedRequest(tenant="demo", caller="anna", key=b"k" * 32, fingerprint=b"f" * 32)
ANSWER: Final = StoredAnswer(
    status=201, headers=[(b"location", b"/1"), (b"x-\xe9", b"\xff")], body=b"\x00made"
)
EXPIRE_CLAIMS: Final = "UPDATE idempotency SET in_flight_until = now()"
EXPIRE: Final = "UPDATE idempotency SET kept_until = now()"


@pytest.fixture
def service_database(postgres_url: str) -> Iterator[str]:
    """A database of a service that has the table."""
    with migrated(postgres_url, "ingest") as url:
        yield url


@pytest.fixture
async def pool(service_database: str) -> AsyncIterator[Pool]:
    async with system_pool(service_database, "ingest") as pool:
        yield pool


@pytest.fixture
def store(pool: Pool) -> IdempotencyStore:
    return IdempotencyStore(pool)


async def claimed(store: IdempotencyStore, request: KeyedRequest = REQUEST) -> Claim:
    """The claim of a request, under a new command id if it has none yet."""
    claim = await store.claim(request, command_id=uuid4(), seconds=60)
    assert isinstance(claim, Claim)
    return claim


async def answer_of(store: IdempotencyStore, request: KeyedRequest = REQUEST) -> StoredAnswer:
    answer = await store.claim(request, command_id=uuid4(), seconds=60)
    assert isinstance(answer, StoredAnswer)
    return answer


async def test_an_answer_comes_back_as_it_was(store: IdempotencyStore) -> None:
    claim = await claimed(store)
    await store.finish(claim, ANSWER)
    assert await answer_of(store) == ANSWER

    for was_done in (True, False):
        await store.release(claim, was_done=was_done)

    assert await answer_of(store) == ANSWER


async def test_a_key_belongs_to_its_request_in_progress_and_afterwards(
    store: IdempotencyStore,
) -> None:
    other = replace(REQUEST, fingerprint=b"g" * 32)
    claim = await claimed(store)
    with pytest.raises(KeyReused):
        await claimed(store, other)
    with pytest.raises(InFlight) as in_flight:
        await claimed(store)

    await store.finish(claim, ANSWER)

    with pytest.raises(KeyReused):
        await claimed(store, other)
    assert 60 - PATIENCE_SECONDS < in_flight.value.retry_after_seconds <= 60


async def test_keys_of_callers_and_tenants_are_different(store: IdempotencyStore) -> None:
    await store.finish(await claimed(store), ANSWER)

    for other in (replace(REQUEST, caller="ben"), replace(REQUEST, tenant="other")):
        await claimed(store, other)


async def test_of_many_at_once_one_claims(store: IdempotencyStore) -> None:
    found = await asyncio.gather(*(claimed(store) for _ in range(20)), return_exceptions=True)

    assert sorted(type(one).__name__ for one in found) == ["Claim", *["InFlight"] * 19]


async def test_the_claim_of_a_crashed_process_expires_and_its_command_id_stays(
    store: IdempotencyStore, pool: Pool
) -> None:
    lost = await claimed(store)
    await pool.execute(EXPIRE_CLAIMS)

    with pytest.raises(KeyReused):
        await claimed(store, replace(REQUEST, fingerprint=b"g" * 32))
    again = await claimed(store)

    assert (again.command_id, again.claim == lost.claim) == (lost.command_id, False)


async def test_a_lost_claim_neither_finishes_nor_releases(
    store: IdempotencyStore, pool: Pool
) -> None:
    lost = await claimed(store)
    await pool.execute(EXPIRE_CLAIMS)
    mine = await claimed(store)

    await store.release(lost, was_done=False)
    await store.release(lost, was_done=True)
    await store.finish(lost, StoredAnswer(status=400, headers=[], body=b"late"))
    with pytest.raises(InFlight):
        await claimed(store)
    await store.finish(mine, ANSWER)

    assert await answer_of(store) == ANSWER


async def test_what_was_not_done_leaves_the_key_free(store: IdempotencyStore) -> None:
    first = await claimed(store)

    await store.release(first, was_done=False)
    other = await claimed(store, replace(REQUEST, fingerprint=b"g" * 32))

    assert other.command_id != first.command_id


async def test_what_may_have_been_done_is_repeated_under_the_same_id_at_once(
    store: IdempotencyStore,
) -> None:
    first = await claimed(store)

    await store.release(first, was_done=True)
    with pytest.raises(KeyReused):
        await claimed(store, replace(REQUEST, fingerprint=b"g" * 32))

    assert (await claimed(store)).command_id == first.command_id


async def test_after_a_day_a_key_is_free_for_another_command(
    store: IdempotencyStore, pool: Pool
) -> None:
    first = await claimed(store)
    await store.finish(first, ANSWER)
    kept = await pool.fetchval("SELECT kept_until - now() FROM idempotency")
    await pool.execute(EXPIRE)

    again = await claimed(store, replace(REQUEST, fingerprint=b"g" * 32))

    assert 86_400 - PATIENCE_SECONDS < kept.total_seconds() <= 86_400
    assert again.command_id != first.command_id
    with pytest.raises(InFlight):
        await claimed(store, replace(REQUEST, fingerprint=b"g" * 32))


async def test_expired_answers_of_all_tenants_are_deleted_a_few_at_a_time(
    store: IdempotencyStore, pool: Pool
) -> None:
    for number in range(PRUNED_AT_ONCE + 5):
        await claimed(store, replace(REQUEST, tenant=f"t{number}"))
    await pool.execute(EXPIRE)

    for left in (5 + 1, 2):
        await store.finish(await claimed(store, replace(REQUEST, key=bytes([left]))), ANSWER)
        assert await pool.fetchval("SELECT count(*) FROM idempotency") == left


async def test_a_tenant_sees_its_own_answers_only(
    store: IdempotencyStore, service_database: str
) -> None:
    await store.finish(await claimed(store), ANSWER)

    async with system_pool(service_database, "ingest") as pool, pool.acquire() as connection:
        for tenant, count in (("demo", 1), ("other", 0), ("", 0)):
            await connection.execute("SELECT set_config('tillstream.tenant', $1, false)", tenant)
            assert await connection.fetchval("SELECT count(*) FROM idempotency") == count


async def test_command_ids_are_those_of_the_first_claim(store: IdempotencyStore) -> None:
    command_id = UUID(int=7)

    claim = await store.claim(REQUEST, command_id=command_id, seconds=60)

    assert isinstance(claim, Claim)
    assert claim.command_id == command_id
