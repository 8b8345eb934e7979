"""A session: from a login, through exchanges of its refresh token, to its end.

The rules of the exchange (`generation` counts the tokens, from 1 at login): the current one gives
the next; the one before it, within a grace, gives the current one again, because an answer may get
lost; anything else was copied by somebody, so the session ends for everybody who holds it.
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
from services.gateway.accounts.domain.realm import Place

MAX_DEVICE: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSession:
    """Let somebody in. `device` is what they recognise it by; what is too long is cut."""

    session_id: SessionId
    account_id: AccountId
    place: Place
    device: str
    now: datetime
    lifetime: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class RefreshSession:
    """Exchange the token of `generation`. `ended` says why the account itself ends the session."""

    generation: int
    ended: str | None
    grace: timedelta
    now: datetime
    lifetime: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokeSession:
    """End it. If `account_id` is given, the session must be one of that account's."""

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
    """A session as later decisions need it."""

    session_id: SessionId | None = None
    account_id: AccountId | None = None
    place: Place = Place("", "")  # noqa: RUF009 -- frozen
    opened_at: datetime | None = None
    rotated_at: datetime | None = None
    expires_at: datetime | None = None
    generation: int = 0
    revoked: bool = False
    device: str | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether it opens nothing, because it ended, ran out or never was."""
        return self.revoked or self.expires_at is None or now >= self.expires_at


def ended_by(account: Account, session: Session) -> str | None:
    """Why the account's own history ends the session, as a reason of `SessionRevoked`, or None.

    So a session ends even if the revocation that should have followed never came.
    """
    opened = session.opened_at
    if account.removed:
        return "removed"
    if not account.active or _since(account.deactivated_at, opened):
        return "deactivated"
    if _since(account.password_at, opened):
        return "password"
    return None if session.place in account.roles else "revoked"


def _since(moment: datetime | None, opened: datetime | None) -> bool:
    return moment is not None and (opened is None or opened < moment)


def decide(session: Session, command: SessionCommand) -> list[GatewayEvent]:
    """See `Decider`. A refresh may decide `SessionRevoked`: then it is to be refused as well."""
    match command:
        case OpenSession() if session.account_id is not None:
            raise SessionExists
        case OpenSession():
            return [_opened(command)]
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


def _opened(command: OpenSession) -> SessionOpened:
    return SessionOpened(
        session_id=command.session_id,
        account_id=command.account_id,
        realm=command.place.realm,
        tenant=command.place.tenant,
        device=command.device[:MAX_DEVICE],
        opened_at=command.now,
        expires_at=command.now + command.lifetime,
    )


def _refreshed(session: Session, command: RefreshSession) -> list[GatewayEvent]:
    if command.ended is not None:
        return _revoked(session, command.ended, command.now)
    match session.generation - command.generation:
        case 0:
            return [_next(session, command)]
        case 1 if _is_within_grace(session, command):
            return []
        case behind if behind > 0:
            return _revoked(session, "reuse", command.now)
        case _:
            # Of a history that was lost, say by restoring an older copy: nobody is to blame.
            raise SessionOver


def _is_within_grace(session: Session, command: RefreshSession) -> bool:
    return session.rotated_at is not None and command.now - session.rotated_at <= command.grace


def _next(session: Session, command: RefreshSession) -> SessionRefreshed:
    if session.session_id is None:
        raise SessionOver
    return SessionRefreshed(
        session_id=session.session_id,
        generation=session.generation + 1,
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
                place=Place(event.realm, event.tenant),
                opened_at=event.opened_at,
                expires_at=event.expires_at,
                generation=1,
                device=event.device,
            )
        case SessionRefreshed(generation=generation, refreshed_at=at, expires_at=expires):
            return replace(session, generation=generation, rotated_at=at, expires_at=expires)
        case SessionRevoked():
            return replace(session, revoked=True)
        case _:
            # Accounts, addresses and keys have streams of their own.
            return session


SESSION: Final = Decider(category="session", initial=Session(), decide=decide, evolve=evolve)
