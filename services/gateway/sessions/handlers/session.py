"""Opening, refreshing and revoking sessions."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.gateway import AccountId, SessionId, SessionRevoked
from libs.errors import Unauthenticated
from libs.eventsourcing.execute import execute
from libs.eventsourcing.log import Metadata
from libs.eventsourcing.store import new_event_id
from libs.security import refresh as refresh_tokens
from libs.security.tokens import TokenInvalid
from services.gateway.accounts.domain.account import Account
from services.gateway.accounts.domain.realm import PLATFORM, Place, scopes_of
from services.gateway.accounts.handlers.identity import (
    Identity,
    Loaded,
    Profile,
    has_changed,
    load,
    profile_of,
)
from services.gateway.sessions import read_models as sessions
from services.gateway.sessions.domain.session import (
    SESSION,
    OpenSession,
    RefreshSession,
    RevokeSession,
    Session,
    SessionOver,
    SessionUnknown,
    ended_by,
)
from services.gateway.sessions.stores import begun as begun_sessions


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
    """The same for an account that was read after `now`: what happens to it later ends it.

    Who ends sessions changes the account first and then looks for them; here the session is written
    first and then the account is read again. So one of the two sees the other.
    """
    account, session_id = loaded.account, SessionId(new_event_id())
    if not account.active or place not in account.roles:
        raise NotAdmitted
    await begun_sessions.begin(identity.pool, loaded.account_id, session_id, now)
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
    # Its id was made just now: there is no history to be read.
    events = SESSION.decide(SESSION.state_after(()), command)
    await identity.store.append(
        SESSION.stream(session_id), events, expected=0, metadata=_by(str(loaded.account_id))
    )
    if await has_changed(identity, loaded) and (
        _basis(await load(identity, loaded.account_id), place) != _basis(loaded, place)
    ):
        await revoke(identity, session_id, reason="revoked", actor="login")
        raise NotAdmitted
    return _logged_in(identity, loaded, SESSION.state_after(events))


def _basis(loaded: Loaded, place: Place) -> tuple[object, ...]:
    """What a session rests on: a change of any of it ends those that were opened before."""
    account = loaded.account
    moments = account.password_at, account.deactivated_at
    return account.active, account.roles.get(place), *moments


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
    metadata = _by(str(session.account_id))
    done = await execute(identity.store, SESSION, session_id, command, metadata=metadata)
    if any(isinstance(event, SessionRevoked) for event in done.events):
        await identity.on_revoked(str(session_id), now)
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
    await execute(identity.store, SESSION, session_id, command, metadata=_by(actor))
    await identity.on_revoked(str(session_id), command.now)


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

    Those too that no read model shows yet: which there are, and whether they are over, is known
    from what was written before each and from the log.
    """
    now = identity.clock()
    shown = await sessions.live_sessions(identity.pool, account_id, now, place=place)
    begun = await begun_sessions.of_account(identity.pool, account_id)
    ended = 0
    for session_id in dict.fromkeys([*begun, *(one.session_id for one in shown)]):
        session = await _load(identity, session_id)
        meant = place in (None, session.place) and device in (None, session.device)
        if session_id != keep and meant and not session.is_over(now):
            await revoke(identity, session_id, reason=reason, actor=actor, account_id=account_id)
            ended += 1
    return ended


async def is_live(identity: Identity, session_id: str) -> bool:
    """Whether a session goes on, by the log; an unknown one does not. Raises LogUnavailable."""
    try:
        session = await _load(identity, UUID(session_id))
    except ValueError:
        return False
    return session.account_id is not None and not session.is_over(identity.clock())


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


def _by(actor: str) -> Metadata:
    return Metadata(tenant=PLATFORM, actor=actor)
