"""Which key is this, and what may it do? Asked of a real Postgres, with the service's rights."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.envelope import Envelope
from contracts.gateway import GatewayEvent, KeyEvent, KeyId, KeyIssued, KeyRevoked
from libs.postgres.pool import Pool
from libs.testing.clock import NOON
from libs.testing.pools import tenant_pool
from libs.testing.read_models import apply, assert_tenants_are_isolated
from services.gateway.api_keys import read_models as api_key
from services.gateway.api_keys.read_models import caller_of, key_of, keys_of

ID, OTHER_ID = KeyId(UUID(int=1)), KeyId(UUID(int=2))


@pytest.fixture
def pool(own_pool: Pool) -> Pool:
    return own_pool


def issued(
    key_id: KeyId = ID, hash: str = "h1", *, scopes: str = "a b", hours: int = 0, **limits: Any
) -> KeyIssued:
    return KeyIssued(
        key_id=key_id,
        name="n",
        prefix="p",
        hash=hash,
        scopes=tuple(scopes.split()),
        issued_at=NOON + timedelta(hours=hours),
        **limits,
    )


def revoked(key_id: KeyId = ID) -> KeyRevoked:
    return KeyRevoked(key_id=key_id, reason="lost", revoked_at=NOON)


async def happened(pool: Pool, *events: KeyEvent, tenant: str = "demo") -> None:
    batch: list[Envelope[GatewayEvent]] = [
        Envelope(
            event_id=uuid4(),
            tenant=tenant,
            stream=f"key-{event.key_id}",
            version=1,
            occurred_at=NOON,
            recorded_at=NOON,
            correlation_id=None,
            causation_id=None,
            actor=None,
            traceparent=None,
            event=event,
        )
        for event in events
    ]
    await apply(pool, "gateway", [api_key.projection()], batch)


async def test_a_key_is_found_by_its_hash_and_determines_the_tenant(pool: Pool) -> None:
    await happened(pool, issued(), issued(OTHER_ID, "h2", scopes="c"), tenant="shop-1")

    caller = await caller_of(pool, "h2")

    assert caller is not None
    assert (caller.tenant, caller.subject) == ("shop-1", OTHER_ID)
    assert caller.scopes == {"c"}
    assert await caller_of(pool, "h3") is None


async def test_a_key_revoked_in_its_own_tenant_has_no_caller(pool: Pool) -> None:
    await happened(pool, issued())
    await happened(pool, revoked(), tenant="other")
    assert await caller_of(pool, "h1") is not None

    await happened(pool, revoked())
    assert await caller_of(pool, "h1") is None


async def test_a_configured_key_belongs_where_it_was_issued_last(pool: Pool) -> None:
    await happened(pool, issued(hours=1), tenant="new")
    await happened(pool, issued(hours=0), tenant="old")

    caller = await caller_of(pool, "h1")
    assert caller is not None
    assert caller.tenant == "new"

    await happened(pool, revoked(), tenant="new")
    assert await caller_of(pool, "h1") is None


async def test_administrators_see_only_keys_of_their_tenant(pool: Pool, database: str) -> None:
    await happened(pool, issued(), revoked(), issued(OTHER_ID, "h2", hours=1))
    await happened(pool, issued(KeyId(UUID(int=3)), "h3"), tenant="other")

    seen = await keys_of(pool, "demo")

    assert [key.key_id for key in seen] == [ID, OTHER_ID]
    assert (seen[0].revoked_at, seen[0].revoked_because) == (NOON, "lost")
    assert (seen[1].revoked_at, seen[1].scopes) == (None, ("a", "b"))
    async with tenant_pool(database, "gateway") as tenants:
        await assert_tenants_are_isolated(tenants, ["api_key"])


async def test_a_key_says_until_when_it_opens_and_how_often(pool: Pool) -> None:
    until = NOON + timedelta(days=1)
    limited = issued(expires_at=until, requests_per_minute=5)
    await happened(pool, limited, issued(OTHER_ID, "h2"))

    caller, other = [await caller_of(pool, hashed) for hashed in ("h1", "h2")]
    one, unknown = [await key_of(pool, "demo", key) for key in (ID, UUID(int=9))]
    foreign = await key_of(pool, "other", ID)

    assert caller is not None
    assert other is not None
    assert (caller.expires_at, caller.requests_per_minute) == (until, 5)
    assert (other.expires_at, other.requests_per_minute) == (None, None)
    assert [caller.is_over(until), caller.is_over(NOON), other.is_over(until)] == [
        True,
        False,
        False,
    ]
    assert one is not None
    assert (one.opens(NOON), one.opens(until)) == (True, False)
    assert unknown is foreign is None
