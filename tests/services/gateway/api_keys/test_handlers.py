"""Issuing and revoking keys, up to the log."""

import pytest

from contracts.gateway import EVENTS, GatewayEvent, KeyId, KeyIssued
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.store import EventStore
from libs.security import api_keys
from libs.testing.clock import NOON, Clock
from services.gateway.api_keys import handlers as keys
from services.gateway.api_keys.domain.key import KEY, KeyIssuedOtherwise
from tests.libs.eventsourcing.memory_log import MemoryLog

SHARED = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def store() -> EventStore[GatewayEvent]:
    return EventStore(MemoryLog(), Codec(EVENTS))


async def events_of(store: EventStore[GatewayEvent], key_id: object) -> list[GatewayEvent]:
    return list((await store.read("demo", KEY.stream(key_id))).events)


async def ensure(store: EventStore[GatewayEvent], *scopes: str) -> KeyId:
    return await keys.ensure_client_key(
        store, tenant="demo", key=SHARED, name="old scanners", scopes=scopes, clock=Clock()
    )


async def test_a_new_key_is_recorded_by_its_hash_alone(store: EventStore[GatewayEvent]) -> None:
    made, other = [
        await keys.issue(
            store, tenant="demo", name="a", scopes=["scan:read"], actor="anna", clock=Clock()
        )
        for _ in range(2)
    ]

    (event,) = await events_of(store, made.key_id)
    assert isinstance(event, KeyIssued)
    assert api_keys.hash_key(made.key) == event.hash
    assert made.key.startswith(event.prefix)
    assert made.key not in str(event)
    assert event.issued_at == NOON
    assert made.key != other.key
    assert made.key_id != other.key_id


async def test_a_configured_key_is_issued_only_once(store: EventStore[GatewayEvent]) -> None:
    first = await ensure(store, "scan:write", "scan:read")
    second = await ensure(store, "scan:read", "scan:write")
    with pytest.raises(KeyIssuedOtherwise):
        await ensure(store, "scan:write", "scan:remove")

    assert first == second
    (event,) = await events_of(store, first)
    assert isinstance(event, KeyIssued)
    assert event.scopes == ("scan:read", "scan:write")
    assert event.prefix == SHARED[:8]
    assert SHARED not in str(event)
