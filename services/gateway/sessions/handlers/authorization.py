"""Current authorisation: the role that an account has now, by the log."""

from contracts.gateway import AccountId, SessionId
from services.gateway.accounts.domain.realm import PLATFORM, Workspace
from services.gateway.accounts.handlers.identity import Identity, load
from services.gateway.sessions.domain.session import SESSION, SessionOver, ended_by


async def current_role(
    identity: Identity, account_id: AccountId, session_id: SessionId, workspace: Workspace
) -> str:
    """The account's present role in the workspace.

    Raises LogUnavailable, SessionOver if the session is over.
    """
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    session = SESSION.state_after(history.events)
    if (session.account_id, session.workspace) != (account_id, workspace):
        raise SessionOver
    account = (await load(identity, account_id)).account
    if session.is_over(identity.clock()) or ended_by(account, session) is not None:
        raise SessionOver
    return account.roles[workspace]


async def device_of(identity: Identity, session_id: SessionId) -> str:
    """The device on which the session was opened, as the client named it.

    Raises SessionOver, LogUnavailable.
    """
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    device = SESSION.state_after(history.events).device
    if device is None:
        raise SessionOver
    return device
