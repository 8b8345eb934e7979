"""An API key: issued, perhaps revoked, never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from contracts.gateway import GatewayEvent, KeyId, KeyIssued, KeyRevoked
from libs.errors import NotFound, Refused
from libs.eventsourcing.decider import Decider


@dataclass(frozen=True, kw_only=True, slots=True)
class IssueKey:
    """Issue the key with this hash. The key itself is not part of the command."""

    key_id: KeyId
    name: str
    prefix: str
    hash: str
    scopes: tuple[str, ...]
    now: datetime
    expires_at: datetime | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokeKey:
    """Revoke the key for good."""

    key_id: KeyId
    reason: str
    now: datetime


KeyCommand: TypeAlias = IssueKey | RevokeKey


class KeyIssuedOtherwise(Refused):
    """This key was issued with another name, secret or scopes; a key is never changed."""


class KeyIsRevoked(Refused):
    """A revoked key cannot be issued again."""


class KeyUnknown(NotFound):
    """There is no such key."""


class KeyUseless(Refused):
    """A key must open something: expire later than now, and allow a request a minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """The content of an issued key."""

    name: str
    prefix: str
    hash: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """The state of a key."""

    issued: Issued | None = None
    revoked: bool = False


def decide(key: Key, command: KeyCommand) -> list[GatewayEvent]:
    """See `Decider`. Issuing the same key again and revoking twice give no events."""
    match command:
        case IssueKey() if key.issued is None:
            _check_use(command)
            return [_issued(command)]
        case IssueKey() if key.revoked:
            raise KeyIsRevoked
        case IssueKey() if key.issued == _content(command):
            return []
        case IssueKey():
            raise KeyIssuedOtherwise
        case RevokeKey() if key.issued is None:
            raise KeyUnknown
        case RevokeKey() if key.revoked:
            return []
        case RevokeKey(key_id=key_id, reason=reason, now=now):
            return [KeyRevoked(key_id=key_id, reason=reason, revoked_at=now)]
        case _:
            assert_never(command)


def evolve(key: Key, event: GatewayEvent) -> Key:
    """See `Decider`."""
    match event:
        case KeyIssued():
            return Key(issued=_content(event))
        case KeyRevoked():
            return Key(issued=key.issued, revoked=True)
        case _:
            # Accounts and sessions have streams of their own.
            return key


def _content(source: IssueKey | KeyIssued) -> Issued:
    return Issued(
        name=source.name,
        prefix=source.prefix,
        hash=source.hash,
        scopes=source.scopes,
        expires_at=source.expires_at,
        requests_per_minute=source.requests_per_minute,
    )


def _check_use(command: IssueKey) -> None:
    over = command.expires_at is not None and command.expires_at <= command.now
    if over or (command.requests_per_minute is not None and command.requests_per_minute < 1):
        raise KeyUseless


def _issued(command: IssueKey) -> KeyIssued:
    return KeyIssued(
        key_id=command.key_id,
        name=command.name,
        prefix=command.prefix,
        hash=command.hash,
        scopes=command.scopes,
        issued_at=command.now,
        expires_at=command.expires_at,
        requests_per_minute=command.requests_per_minute,
    )


KEY = Decider(category="key", initial=Key(), decide=decide, evolve=evolve)
