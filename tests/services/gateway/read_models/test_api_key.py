"""Which key is this, and what may it do? Asked of a real Postgres, with the service's rights."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from contracts.envelope import Envelope
from contracts.gateway import KeyEvent, KeyId, KeyIssued, KeyRevoked
from libs.postgres.pool import SYSTEM, Pool, acquired, open_pool, tenant_transaction
from libs.postgres.rls import application_role
from services.gateway.read_models import api_key

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ID, OTHER_ID = KeyId(UUID(int=1)), KeyId(UUID(int=2))


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    made = await open_pool(
        database,
        role=application_role("gateway"),
        schema="gateway",
        size=3,
        application_name="test",
        tenant_scope=SYSTEM,
    )
    yield made
    await made.close()


def issued(
    key_id: KeyId = ID, hash: str = "h1", scopes: tuple[str, ...] = ("a", "b"), hours: int = 0
) -> KeyIssued:
    at = NOW + timedelta(hours=hours)
    return KeyIssued(key_id=key_id, name="n", prefix="p", hash=hash, scopes=scopes, issued_at=at)


def revoked(key_id: KeyId = ID) -> KeyRevoked:
    return KeyRevoked(key_id=key_id, reason="lost", revoked_at=NOW)


async def happened(pool: Pool, *events: KeyEvent, tenant: str = "demo") -> None:
    batch = [
        Envelope(
            event_id=uuid4(),
            tenant=tenant,
            stream=f"key-{event.key_id}",
            version=1,
            occurred_at=NOW,
            recorded_at=NOW,
            correlation_id=None,
            causation_id=None,
            actor=None,
            traceparent=None,
            event=event,
        )
        for event in events
    ]
    async with acquired(pool) as connection, connection.transaction():
        await api_key.project(connection, batch)


async def test_a_key_is_found_by_its_hash_and_decides_the_tenant(pool: Pool) -> None:
    await happened(pool, issued(), issued(OTHER_ID, "h2", ("c",)), tenant="shop-1")

    caller = await api_key.caller_of(pool, "h2")

    assert caller is not None
    assert caller.tenant == "shop-1"
    assert caller.subject == OTHER_ID
    assert caller.scopes == {"c"}


async def test_an_unknown_hash_is_nobody(pool: Pool) -> None:
    await happened(pool, issued())

    assert await api_key.caller_of(pool, "h2") is None


async def test_a_revoked_key_is_nobody(pool: Pool) -> None:
    await happened(pool, issued(), revoked())

    assert await api_key.caller_of(pool, "h1") is None


async def test_revoking_in_another_tenant_changes_nothing_here(pool: Pool) -> None:
    await happened(pool, issued(), tenant="demo")
    await happened(pool, revoked(), tenant="other")

    assert await api_key.caller_of(pool, "h1") is not None


async def test_a_configured_key_belongs_where_it_was_issued_last(pool: Pool) -> None:
    await happened(pool, issued(hours=1), tenant="new")
    await happened(pool, issued(hours=0), tenant="old")

    caller = await api_key.caller_of(pool, "h1")
    assert caller is not None
    assert caller.tenant == "new"

    await happened(pool, revoked(), tenant="new")
    assert await api_key.caller_of(pool, "h1") is None


async def test_an_administrator_sees_only_the_keys_of_the_own_tenant(pool: Pool) -> None:
    await happened(pool, issued(), revoked(), issued(OTHER_ID, "h2", hours=1), tenant="demo")
    await happened(pool, issued(KeyId(UUID(int=3)), "h3"), tenant="other")

    seen = await api_key.keys_of(pool, "demo")

    assert [key.key_id for key in seen] == [ID, OTHER_ID]
    assert (seen[0].revoked_at, seen[0].revoked_because) == (NOW, "lost")
    assert (seen[1].revoked_at, seen[1].scopes) == (None, ("a", "b"))


async def test_a_key_says_until_when_it_opens_and_how_often(pool: Pool) -> None:
    until = NOW + timedelta(days=1)
    await happened(
        pool, replace(issued(), expires_at=until, requests_per_minute=5), issued(OTHER_ID, "h2")
    )

    caller, other = [await api_key.caller_of(pool, hashed) for hashed in ("h1", "h2")]
    one, unknown = [await api_key.key_of(pool, "demo", key) for key in (ID, UUID(int=9))]
    foreign = await api_key.key_of(pool, "other", ID)

    assert caller is not None
    assert other is not None
    assert (caller.expires_at, caller.requests_per_minute) == (until, 5)
    assert (other.expires_at, other.requests_per_minute) == (None, None)
    assert caller.is_over(until)
    assert not caller.is_over(NOW)
    assert not other.is_over(until)
    assert one is not None
    assert (one.opens(NOW), one.opens(until)) == (True, False)
    assert unknown is foreign is None


async def test_rows_of_a_tenant_are_invisible_to_another(pool: Pool) -> None:
    await happened(pool, issued(), tenant="demo")

    async with tenant_transaction(pool, "other") as connection:
        assert await connection.fetchval("SELECT count(*) FROM api_key") == 0
