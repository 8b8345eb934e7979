"""Issuing and revoking API keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import structlog

from contracts.gateway import GatewayEvent, KeyId
from libs.clock import Clock, utc_now
from libs.errors import Refused
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import EventStore, new_event_id
from libs.security import api_keys
from services.gateway.api_keys.domain.key import KEY, IssueKey, RevokeKey
from services.gateway.settings import Settings

CLIENT_KEY: Final = "scan clients"
"""The name of the configured key."""

CONFIGURED_KEYS: Final = UUID("6f1c7b9e-54a8-5e0e-9d53-0a7e6a3c1f42")
"""The namespace of the ids of configured keys, which derive from the key's hash."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedKey:
    """An issued key. `key` is the secret itself: show it once and do not store it."""

    key_id: KeyId
    key: str
    token: str | None


async def issue(
    store: EventStore[GatewayEvent],
    *,
    tenant: str,
    name: str,
    scopes: Sequence[str],
    actor: str,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
    clock: Clock = utc_now,
) -> IssuedKey:
    """Issue a new random key for `tenant`. Raises KeyUseless, LogUnavailable."""
    key, key_id = api_keys.generate(), KeyId(new_event_id())
    command = replace(
        _issue(key_id, key, name, scopes, clock),
        expires_at=expires_at,
        requests_per_minute=requests_per_minute,
    )
    metadata = Metadata(tenant=tenant, actor=actor)
    done = await execute(store, KEY, key_id, command, metadata=metadata)
    return IssuedKey(key_id=key_id, key=key, token=done.token)


async def revoke(
    store: EventStore[GatewayEvent],
    *,
    tenant: str,
    key_id: KeyId,
    reason: str,
    actor: str,
    clock: Clock = utc_now,
) -> None:
    """Revoke the key. Safe to repeat. Raises KeyUnknown, LogUnavailable."""
    command = RevokeKey(key_id=key_id, reason=reason, now=clock())
    await execute(store, KEY, key_id, command, metadata=Metadata(tenant=tenant, actor=actor))


async def ensure_client_key(
    store: EventStore[GatewayEvent],
    *,
    tenant: str,
    key: str,
    name: str,
    scopes: Sequence[str],
    clock: Clock = utc_now,
) -> KeyId:
    """Issue a configured key unless it was issued. Safe to repeat, in several processes at once.

    Raises KeyIssuedOtherwise if it was issued with other scopes, KeyIsRevoked if it was revoked.
    """
    key_id = KeyId(uuid5(CONFIGURED_KEYS, api_keys.hash_key(key)))
    command = _issue(key_id, key, name, scopes, clock)
    metadata = Metadata(tenant=tenant, actor="configuration")
    await execute(store, KEY, key_id, command, metadata=metadata)
    return key_id


async def ensure_configured_key(settings: Settings, store: EventStore[GatewayEvent]) -> None:
    """Issue the key of the settings unless it was issued. Safe to repeat. Raises LogUnavailable."""
    if settings.scan_client_key is None:
        return
    try:
        await ensure_client_key(
            store,
            tenant=settings.scan_client_key_tenant,
            key=settings.scan_client_key.get_secret_value(),
            name=CLIENT_KEY,
            scopes=settings.scan_client_key_scopes,
        )
    except Refused as refused:
        # Clients in the field use the issued key: it stays as it is, whatever the setting says.
        log.warning("the configured client's entry stays as it was", reason=str(refused))


def _issue(key_id: KeyId, key: str, name: str, scopes: Sequence[str], clock: Clock) -> IssueKey:
    return IssueKey(
        key_id=key_id,
        name=name,
        prefix=api_keys.prefix(key),
        hash=api_keys.hash_key(key),
        scopes=tuple(sorted(set(scopes))),
        now=clock(),
    )
