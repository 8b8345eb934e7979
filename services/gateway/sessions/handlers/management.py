"""Listing and revoking one's own sessions, and those of managed devices."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from contracts.gateway import AccountId, SessionId
from services.gateway.accounts.domain.device_client import CLIENTS, DeviceClient
from services.gateway.accounts.domain.realm import PLATFORM, Place
from services.gateway.accounts.handlers.enrollment import enrollers
from services.gateway.accounts.handlers.identity import Identity, load
from services.gateway.accounts.read_models.account import of_place
from services.gateway.sessions.domain.session import SESSION, SessionUnknown
from services.gateway.sessions.handlers.session import revoke
from services.gateway.sessions.read_models import SessionRow, live_sessions

MOST_DEVICES: Final = 1000


def managed(place: Place, scopes: frozenset[str], tenant: str) -> Sequence[DeviceClient]:
    """The kinds of devices of `tenant` that somebody with these scopes in `place` looks after."""
    return [one for one in CLIENTS.values() if one.is_managed_in(place, scopes, tenant)]


async def device_sessions(
    identity: Identity,
    kinds: Sequence[DeviceClient],
    tenant: str,
    *,
    actor: AccountId,
    place: Place,
) -> Sequence[SessionRow]:
    """Where the devices of a tenant are in that `actor` looks after from `place`, as far as the
    read models know. Raises Unavailable."""
    now = identity.clock()
    found: list[SessionRow] = []
    for kind in kinds:
        at = kind.place(tenant)
        page = await of_place(identity.pool, at, roles=[kind.role], limit=MOST_DEVICES)
        devices = [account.account_id for account in page.accounts]
        if not kind.is_anybodys_in(place):
            devices = await _let_in_by(identity, devices, actor)
        for device in devices:
            found += await live_sessions(identity.pool, device, now, place=at)
    return found


async def revoke_one(
    identity: Identity,
    session_id: SessionId,
    *,
    actor: AccountId,
    place: Place,
    scopes: frozenset[str],
) -> None:
    """End a session of one's own, or of a device that one looks after.

    Raises SessionUnknown for anybody else's, as if there were none; again changes nothing.
    """
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    session = SESSION.state_after(history.events)
    if session.account_id is None:
        raise SessionUnknown
    if session.account_id != actor:
        role = (await load(identity, session.account_id)).account.roles.get(session.place)
        kinds = [
            one
            for one in managed(place, scopes, session.place.tenant)
            if one.realm == session.place.realm and one.role == role
        ]
        mine = await _let_in_by(identity, [session.account_id], actor)
        if not any(mine or one.is_anybodys_in(place) for one in kinds):
            raise SessionUnknown
    await revoke(identity, session_id, reason="revoked", actor=str(actor))


async def _let_in_by(
    identity: Identity, devices: Sequence[AccountId], actor: AccountId
) -> list[AccountId]:
    by = await enrollers(identity, devices) if devices else {}
    return [device for device in devices if by.get(device) == actor]


def session_of(text: str) -> SessionId | None:
    """The session that a token says it comes from."""
    return SessionId(UUID(text)) if text else None
