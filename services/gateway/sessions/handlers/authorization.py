"""Current authorisation: the role that an account has now, by the log."""

from contracts.gateway import AccountId, SessionId
from services.gateway.accounts.domain.realm import PLATFORM, Place
from services.gateway.accounts.handlers.identity import Identity, load
from services.gateway.sessions.domain.session import SESSION, SessionOver, ended_by


async def current_role(
    identity: Identity, account_id: AccountId, session_id: SessionId, place: Place
) -> str:
    """The role the account has in `place` now.

    Raises LogUnavailable, and SessionOver if the session or the account ended.
    """
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    session = SESSION.state_after(history.events)
    if (session.account_id, session.place) != (account_id, place):
        raise SessionOver
    account = (await load(identity, account_id)).account
    if session.is_over(identity.clock()) or ended_by(account, session) is not None:
        raise SessionOver
    return account.roles[place]


async def device_of(identity: Identity, session_id: SessionId) -> str:
    """The device on which the session was opened, as the client named it.

    Raises SessionOver, LogUnavailable.
    """
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    device = SESSION.state_after(history.events).device
    if device is None:
        raise SessionOver
    return device
