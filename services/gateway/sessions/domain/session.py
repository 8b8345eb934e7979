"""A session: a login, exchanges of its refresh token, and its end.

`rotation` numbers the refresh tokens of a session, from 1 at the login. The current token gives the
next. The previous one gives the current one again within a grace, since an answer may get lost.
Any older token was copied, so the session ends for all holders.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

from contracts.gateway import (
    AccountId,
    GatewayEvent,
    SessionId,
    SessionOpened,
    SessionRefreshed,
    SessionRevoked,
)
from libs.errors import NotFound, Refused, Unauthenticated
from libs.eventsourcing.decider import Decider
from services.gateway.accounts.domain.account import Account
from services.gateway.accounts.domain.realm import Workspace

MAX_DEVICE: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSession:
    """Open a session. `device` is its name in lists; it is cut to MAX_DEVICE characters."""

    session_id: SessionId
    account_id: AccountId
    workspace: Workspace
    device: str
    now: datetime
    lifetime: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshSession:
    """Exchange the token of `rotation`. `ended` is why the account ends the session, if it does."""

    rotation: int
    ended: str | None
    grace: timedelta
    now: datetime
    lifetime: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokeSession:
    """Revoke the session. With `account_id` it must be a session of that account."""

    account_id: AccountId | None
    reason: str
    now: datetime


SessionCommand: TypeAlias = OpenSession | RefreshSession | RevokeSession


class SessionExists(Refused):
    """There is a session with this id."""


class SessionUnknown(NotFound):
    """There is no such session."""


class SessionOver(Unauthenticated):
    """The session is over, log in again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """The state of a session."""

    session_id: SessionId | None = None
    account_id: AccountId | None = None
    workspace: Workspace = Workspace("", "")  # noqa: RUF009 -- frozen
    opened_at: datetime | None = None
    rotated_at: datetime | None = None
    expires_at: datetime | None = None
    rotation: int = 0
    revoked: bool = False
    device: str | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether the session is revoked, expired or was never opened."""
        return self.revoked or self.expires_at is None or now >= self.expires_at


def ended_by(account: Account, session: Session) -> str | None:
    """Why the account's history ends the session, as a reason of `SessionRevoked`; None if not.

    So a session ends even if its revocation was never written.
    """
    opened_at = session.opened_at
    if account.removed:
        return "removed"
    if not account.active or _since(account.deactivated_at, opened_at):
        return "deactivated"
    if _since(account.password_at, opened_at):
        return "password"
    return None if session.workspace in account.roles else "revoked"


def _since(moment: datetime | None, opened_at: datetime | None) -> bool:
    return moment is not None and (opened_at is None or opened_at < moment)


def decide(session: Session, command: SessionCommand) -> list[GatewayEvent]:
    """See `Decider`. A refresh that decides `SessionRevoked` must be refused by the handler."""
    match command:
        case OpenSession() if session.account_id is not None:
            raise SessionExists
        case OpenSession():
            return [_session_opened(command)]
        case RefreshSession() if session.is_over(command.now):
            raise SessionOver
        case RefreshSession():
            return _refreshed(session, command)
        case RevokeSession(account_id=of) if of not in (None, session.account_id):
            raise SessionUnknown
        case RevokeSession():
            return _revoked(session, command.reason, command.now)
        case _:
            assert_never(command)


def _session_opened(command: OpenSession) -> SessionOpened:
    return SessionOpened(
        session_id=command.session_id,
        account_id=command.account_id,
        realm=command.workspace.realm,
        tenant=command.workspace.tenant,
        device=command.device[:MAX_DEVICE],
        opened_at=command.now,
        expires_at=command.now + command.lifetime,
    )


def _refreshed(session: Session, command: RefreshSession) -> list[GatewayEvent]:
    if command.ended is not None:
        return _revoked(session, command.ended, command.now)
    match session.rotation - command.rotation:
        case 0:
            return [_next(session, command)]
        case 1 if _is_within_grace(session, command):
            return []
        case older if older > 0:
            return _revoked(session, "reuse", command.now)
        case _:
            # A token newer than the history, for example after restoring a backup.
            raise SessionOver


def _is_within_grace(session: Session, command: RefreshSession) -> bool:
    return session.rotated_at is not None and command.now - session.rotated_at <= command.grace


def _next(session: Session, command: RefreshSession) -> SessionRefreshed:
    if session.session_id is None:
        raise SessionOver
    return SessionRefreshed(
        session_id=session.session_id,
        generation=session.rotation + 1,
        refreshed_at=command.now,
        expires_at=command.now + command.lifetime,
    )


def _revoked(session: Session, reason: str, now: datetime) -> list[GatewayEvent]:
    if session.session_id is None or session.account_id is None:
        raise SessionUnknown
    if session.revoked:
        return []
    return [
        SessionRevoked(
            session_id=session.session_id,
            account_id=session.account_id,
            reason=reason,
            revoked_at=now,
        )
    ]


def evolve(session: Session, event: GatewayEvent) -> Session:
    """See `Decider`."""
    match event:
        case SessionOpened():
            return Session(
                session_id=event.session_id,
                account_id=event.account_id,
                workspace=Workspace(event.realm, event.tenant),
                opened_at=event.opened_at,
                expires_at=event.expires_at,
                rotation=1,
                device=event.device,
            )
        case SessionRefreshed(generation=rotation, refreshed_at=at, expires_at=expires):
            return replace(session, rotation=rotation, rotated_at=at, expires_at=expires)
        case SessionRevoked():
            return replace(session, revoked=True)
        case _:
            # Accounts, addresses and keys have streams of their own.
            return session


SESSION: Final = Decider(category="session", initial=Session(), decide=decide, evolve=evolve)
