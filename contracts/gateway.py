"""Facts the gateway announces: which keys open which doors."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType, TypeAlias
from uuid import UUID

KEYS: Final = "gateway.key"

KeyId = NewType("KeyId", UUID)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyIssued:
    """An API key was given out. Only its hash is told; `prefix` is what people recognise it by."""

    key_id: KeyId
    name: str
    prefix: str
    hash: str
    scopes: tuple[str, ...]
    issued_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRevoked:
    """An API key opens nothing any more."""

    key_id: KeyId
    reason: str
    revoked_at: datetime


GatewayEvent: TypeAlias = KeyIssued | KeyRevoked
EVENTS: Final = (KeyIssued, KeyRevoked)
