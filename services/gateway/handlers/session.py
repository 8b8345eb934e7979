"""What happens when a session is opened, refreshed or ended."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.gateway import AccountId, SessionId, SessionRevoked
from libs.errors import Unauthenticated
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Cause
from libs.eventsourcing.store import new_event_id
from libs.security import refresh as refresh_tokens
from libs.security.tokens import TokenInvalid
from services.gateway.domain.account import Account
from services.gateway.domain.realm import PLATFORM, Place, scopes_of
from services.gateway.domain.session import (
    SESSION,
    OpenSession,
    RefreshSession,
    RevokeSession,
    Session,
    SessionOver,
    SessionUnknown,
    ended_by,
)
from services.gateway.handlers.identity import Identity, Loaded, Profile, load, profile_of
from services.gateway.read_models import session as sessions


class NotAdmitted(Unauthenticated):
    """This account may not log in here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedIn:
    """Somebody who is in: who, where, as what, and until when without a refresh.

    `refresh_token` is the secret itself; doors that know no refresh keep it to themselves.
    """

    account: Profile
    session_id: SessionId
    place: Place
    role: str
    scopes: frozenset[str]
    refresh_token: str
    expires_at: datetime


async def open_session(
    identity: Identity, account_id: AccountId, place: Place, *, device: str
) -> LoggedIn:
    """Let somebody in whose identity is proven, by a code for example.

    Raises NotAdmitted if the account is not active or has no role there.
    """
    return await admit(identity, await load(identity, account_id), place, device, identity.clock())


async def admit(
    identity: Identity, loaded: Loaded, place: Place, device: str, now: datetime
) -> LoggedIn:
    """The same for an account that was read after `now`: what happens to it later ends it."""
    account, session_id = loaded.account, SessionId(new_event_id())
    if not account.active or place not in account.roles:
        raise NotAdmitted
    # Another process's clock may have been ahead when the password was set.
    past = [at for at in (account.password_at, account.deactivated_at) if at is not None]
    command = OpenSession(
        session_id=session_id,
        account_id=loaded.account_id,
        place=place,
        device=device,
        now=max([now, *past]),
        lifetime=identity.term_of(place, account.roles[place]).lifetime,
    )
    done = await execute(
        identity.store, SESSION, session_id, command, cause=_by(str(loaded.account_id))
    )
    return _logged_in(identity, loaded, SESSION.state_after(done.events))


async def refresh(
    identity: Identity,
    token: str,
    *,
    realm: str | None = None,
    roles: Collection[str] | None = None,
) -> LoggedIn:
    """Exchange a refresh token for the next; a repeat within the grace gets the same successor.

    With `realm` only tokens of that realm count, with `roles` only those of who is one of them
    there. Raises SessionOver; a token that was used before ends its session on the way.
    """
    session_id, generation = _read(identity, token)
    now, session = identity.clock(), await _load(identity, session_id)
    if session.account_id is None or realm not in (None, session.place.realm):
        raise SessionOver
    loaded = await load(identity, session.account_id)
    if roles is not None and loaded.account.roles.get(session.place) not in roles:
        raise SessionOver
    term = identity.term_of(session.place, loaded.account.roles.get(session.place, ""))
    command = RefreshSession(
        generation=generation,
        ended=ended_by(loaded.account, session),
        grace=term.grace,
        now=now,
        lifetime=term.lifetime,
    )
    cause = _by(str(session.account_id))
    done = await execute(identity.store, SESSION, session_id, command, cause=cause)
    if any(isinstance(event, SessionRevoked) for event in done.events):
        identity.revoked(str(session_id), now)
        raise SessionOver
    after = await _load(identity, session_id)
    if after.is_over(now):
        raise SessionOver
    return _logged_in(identity, loaded, after)


async def log_out(identity: Identity, token: str) -> None:
    """End the session of a refresh token. Raises SessionOver if it is none of ours."""
    session_id, _ = _read(identity, token)
    await revoke(identity, session_id, reason="logout", actor="its owner")


async def revoke(
    identity: Identity,
    session_id: SessionId,
    *,
    reason: str,
    actor: str,
    account_id: AccountId | None = None,
) -> None:
    """End a session; if `account_id` is given, only one of that account's.

    Its tokens are worthless here from now on, and elsewhere once that was heard of. Raises
    SessionUnknown; a second time changes nothing.
    """
    command = RevokeSession(account_id=account_id, reason=reason, now=identity.clock())
    await execute(identity.store, SESSION, session_id, command, cause=_by(actor))
    identity.revoked(str(session_id), command.now)


async def revoke_all(
    identity: Identity,
    account_id: AccountId,
    *,
    reason: str,
    actor: str,
    place: Place | None = None,
    device: str | None = None,
    keep: SessionId | None = None,
) -> int:
    """End an account's sessions (in a place, on a device), but for `keep`; how many there were.

    A session so new that the read model has not heard of it is not among them. It ends when it is
    refreshed, if the account has changed since.
    """
    found = await sessions.live_sessions(identity.pool, account_id, identity.clock(), place=place)
    ending = [
        one.session_id for one in found if one.session_id != keep and device in (None, one.device)
    ]
    for session_id in ending:
        await revoke(identity, session_id, reason=reason, actor=actor, account_id=account_id)
    return len(ending)


def _logged_in(identity: Identity, loaded: Loaded, session: Session) -> LoggedIn:
    if session.session_id is None or session.expires_at is None:
        raise SessionUnknown
    role = _role(loaded.account, session.place)
    return LoggedIn(
        account=profile_of(identity, loaded.account_id, loaded.account),
        session_id=session.session_id,
        place=session.place,
        role=role,
        scopes=scopes_of(session.place.realm, role),
        refresh_token=refresh_tokens.issue(
            identity.refresh_key, session.session_id, session.generation
        ),
        expires_at=session.expires_at,
    )


def _role(account: Account, place: Place) -> str:
    return account.roles.get(place, "")


def _read(identity: Identity, token: str) -> tuple[SessionId, int]:
    try:
        session_id, generation = refresh_tokens.read(identity.refresh_key, token)
    except TokenInvalid as error:
        raise SessionOver from error
    return SessionId(session_id), generation


async def _load(identity: Identity, session_id: UUID) -> Session:
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    return SESSION.state_after(history.events)


def _by(actor: str) -> Cause:
    return Cause(tenant=PLATFORM, actor=actor)
