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
from services.gateway.accounts.domain.realm import PLATFORM, Workspace, scopes_of
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
    """The result of a login or refresh. `expires_at` is when the session ends without a refresh.

    `refresh_token` is the secret itself; doors without refresh do not send it.
    """

    account: Profile
    session_id: SessionId
    workspace: Workspace
    role: str
    scopes: frozenset[str]
    refresh_token: str
    expires_at: datetime


async def open_session(
    identity: Identity, account_id: AccountId, workspace: Workspace, *, device: str
) -> LoggedIn:
    """Open a session for an account whose identity is proven, for example by a code.

    Raises NotAdmitted if the account is not active or has no role in the workspace.
    """
    return await admit(
        identity, await load(identity, account_id), workspace, device, identity.clock()
    )


async def admit(
    identity: Identity, loaded: Loaded, workspace: Workspace, device: str, now: datetime
) -> LoggedIn:
    """Open a session for an account that was loaded after `now`. Raises NotAdmitted, Unavailable.

    Ending sessions changes the account first and then lists its sessions. Here the session is
    written first and then the account is loaded again: so one of the two sees the other.
    """
    account, session_id = loaded.account, SessionId(new_event_id())
    if not account.active or workspace not in account.roles:
        raise NotAdmitted
    await begun_sessions.begin(identity.pool, loaded.account_id, session_id, now)
    # The clock of the process that set the password may have been ahead.
    past = [at for at in (account.password_at, account.deactivated_at) if at is not None]
    command = OpenSession(
        session_id=session_id,
        account_id=loaded.account_id,
        workspace=workspace,
        device=device,
        now=max([now, *past]),
        lifetime=identity.term_of(workspace, account.roles[workspace]).lifetime,
    )
    # The id is new, so there is no history to load.
    events = SESSION.decide(SESSION.state_after(()), command)
    await identity.store.append(
        SESSION.stream(session_id), events, expected=0, metadata=_by(str(loaded.account_id))
    )
    if await has_changed(identity, loaded) and (
        _basis(await load(identity, loaded.account_id), workspace) != _basis(loaded, workspace)
    ):
        await revoke(identity, session_id, reason="revoked", actor="login")
        raise NotAdmitted
    return _logged_in(identity, loaded, SESSION.state_after(events))


def _basis(loaded: Loaded, workspace: Workspace) -> tuple[object, ...]:
    """The parts of the account that a session depends on: a change ends older sessions."""
    account = loaded.account
    moments = account.password_at, account.deactivated_at
    return account.active, account.roles.get(workspace), *moments


async def refresh(
    identity: Identity,
    token: str,
    *,
    realm: str | None = None,
    roles: Collection[str] | None = None,
) -> LoggedIn:
    """Exchange a refresh token for the next; a repeat within the grace gets the same successor.

    With `realm` the token must be of that realm, with `roles` the account must have one of them
    there. Raises SessionOver; a reused token also revokes its session.
    """
    session_id, rotation = _read(identity, token)
    now, session = identity.clock(), await _load(identity, session_id)
    if session.account_id is None or realm not in (None, session.workspace.realm):
        raise SessionOver
    loaded = await load(identity, session.account_id)
    if roles is not None and loaded.account.roles.get(session.workspace) not in roles:
        raise SessionOver
    term = identity.term_of(session.workspace, loaded.account.roles.get(session.workspace, ""))
    command = RefreshSession(
        rotation=rotation,
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
    """Revoke the session of a refresh token. Raises SessionOver if the token is invalid."""
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
    """Revoke a session; with `account_id` only one of that account. Safe to repeat.

    Its tokens are invalid here at once, and in other services once they read the event. Raises
    SessionUnknown.
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
    workspace: Workspace | None = None,
    device: str | None = None,
    except_session: SessionId | None = None,
) -> int:
    """Revoke the sessions of an account, all or in a workspace or on a device; how many.

    Includes sessions that no read model shows yet: they are listed by `begun_session` and checked
    by the log. `except_session` stays.
    """
    now = identity.clock()
    live = await sessions.live_sessions(identity.pool, account_id, now, workspace=workspace)
    begun = await begun_sessions.of_account(identity.pool, account_id)
    ended = 0
    for session_id in dict.fromkeys([*begun, *(one.session_id for one in live)]):
        session = await _load(identity, session_id)
        meant = workspace in (None, session.workspace) and device in (None, session.device)
        if session_id != except_session and meant and not session.is_over(now):
            await revoke(identity, session_id, reason=reason, actor=actor, account_id=account_id)
            ended += 1
    return ended


async def is_live(identity: Identity, session_id: str) -> bool:
    """Whether a session is live, by the log; False for an unknown one. Raises LogUnavailable."""
    try:
        session = await _load(identity, UUID(session_id))
    except ValueError:
        return False
    return session.account_id is not None and not session.is_over(identity.clock())


def _logged_in(identity: Identity, loaded: Loaded, session: Session) -> LoggedIn:
    if session.session_id is None or session.expires_at is None:
        raise SessionUnknown
    role = _role(loaded.account, session.workspace)
    return LoggedIn(
        account=profile_of(identity, loaded.account_id, loaded.account),
        session_id=session.session_id,
        workspace=session.workspace,
        role=role,
        scopes=scopes_of(session.workspace.realm, role),
        refresh_token=refresh_tokens.issue(
            identity.refresh_key, session.session_id, session.rotation
        ),
        expires_at=session.expires_at,
    )


def _role(account: Account, workspace: Workspace) -> str:
    return account.roles.get(workspace, "")


def _read(identity: Identity, token: str) -> tuple[SessionId, int]:
    try:
        session_id, rotation = refresh_tokens.read(identity.refresh_key, token)
    except TokenInvalid as error:
        raise SessionOver from error
    return SessionId(session_id), rotation


async def _load(identity: Identity, session_id: UUID) -> Session:
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    return SESSION.state_after(history.events)


def _by(actor: str) -> Metadata:
    return Metadata(tenant=PLATFORM, actor=actor)
