"""Issuing and revoking keys, up to the log."""

from datetime import UTC, datetime

import pytest

from contracts.gateway import EVENTS, GatewayEvent, KeyId, KeyIssued, KeyRevoked
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.memory import MemoryLog
from libs.eventsourcing.store import EventStore
from libs.security import api_keys
from services.gateway.domain.key import KEY, KeyIsRevoked, KeyIssuedOtherwise, KeyUnknown
from services.gateway.handlers import key as keys

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SHARED = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def store() -> EventStore[GatewayEvent]:
    return EventStore(MemoryLog(), Codec(EVENTS))


async def told(store: EventStore[GatewayEvent], key_id: object) -> list[GatewayEvent]:
    return list((await store.read("demo", KEY.stream(key_id))).events)


async def ensure(store: EventStore[GatewayEvent], *scopes: str) -> KeyId:
    return await keys.ensure_client_key(
        store, tenant="demo", key=SHARED, name="old scanners", scopes=scopes, clock=lambda: NOW
    )


async def test_the_key_is_shown_once_and_only_its_hash_is_told(
    store: EventStore[GatewayEvent],
) -> None:
    made = await keys.issue(
        store, tenant="demo", name="a", scopes=["scan:read"], actor="anna", clock=lambda: NOW
    )

    (event,) = await told(store, made.key_id)
    assert isinstance(event, KeyIssued)
    assert api_keys.matches(made.key, event.hash)
    assert made.key.startswith(event.prefix)
    assert made.key not in str(event)
    assert event.issued_at == NOW


async def test_two_keys_are_never_the_same(store: EventStore[GatewayEvent]) -> None:
    made = [
        await keys.issue(store, tenant="demo", name="a", scopes=[], actor="anna") for _ in range(2)
    ]

    assert made[0].key != made[1].key
    assert made[0].key_id != made[1].key_id


async def test_a_configured_key_is_issued_at_the_first_start_only(
    store: EventStore[GatewayEvent],
) -> None:
    first = await ensure(store, "scan:write", "scan:read")
    second = await ensure(store, "scan:read", "scan:write")

    assert first == second
    (event,) = await told(store, first)
    assert isinstance(event, KeyIssued)
    assert event.scopes == ("scan:read", "scan:write")
    assert event.prefix == SHARED[:8]
    assert SHARED not in str(event)


async def test_a_configured_key_does_not_silently_get_other_scopes(
    store: EventStore[GatewayEvent],
) -> None:
    key_id = await ensure(store, "scan:write")

    with pytest.raises(KeyIssuedOtherwise):
        await ensure(store, "scan:write", "scan:remove")

    assert len(await told(store, key_id)) == 1


async def test_a_configured_key_that_was_revoked_stays_revoked(
    store: EventStore[GatewayEvent],
) -> None:
    key_id = await ensure(store, "scan:write")
    await keys.revoke(store, tenant="demo", key_id=key_id, reason="leaked", actor="anna")

    with pytest.raises(KeyIsRevoked):
        await ensure(store, "scan:write")

    assert [type(event) for event in await told(store, key_id)] == [KeyIssued, KeyRevoked]


async def test_a_key_of_another_tenant_cannot_be_revoked(store: EventStore[GatewayEvent]) -> None:
    key_id = await ensure(store, "scan:write")

    with pytest.raises(KeyUnknown):
        await keys.revoke(store, tenant="other", key_id=key_id, reason="envy", actor="eve")

    assert len(await told(store, key_id)) == 1
