"""Listing and revoking one's own sessions, and those of managed devices."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from contracts.gateway import AccountId, SessionId
from services.gateway.accounts.domain.device_client import CLIENTS, DeviceClient
from services.gateway.accounts.domain.realm import PLATFORM, Workspace
from services.gateway.accounts.handlers.enrollment import enrollers
from services.gateway.accounts.handlers.identity import Identity, load
from services.gateway.accounts.read_models.account import in_workspace
from services.gateway.sessions.domain.session import SESSION, SessionUnknown
from services.gateway.sessions.handlers.session import revoke
from services.gateway.sessions.read_models import SessionRow, live_sessions

MOST_DEVICES: Final = 1000


def managed(workspace: Workspace, scopes: frozenset[str], tenant: str) -> Sequence[DeviceClient]:
    """The kinds of devices of `tenant` that the scopes, held in `workspace`, may manage."""
    return [one for one in CLIENTS.values() if one.is_managed_in(workspace, scopes, tenant)]


async def device_sessions(
    identity: Identity,
    kinds: Sequence[DeviceClient],
    tenant: str,
    *,
    actor: AccountId,
    workspace: Workspace,
) -> Sequence[SessionRow]:
    """The live sessions of the devices of a tenant that `actor` manages from `workspace`.

    By the read models, for MOST_DEVICES of a kind at most. Raises Unavailable.
    """
    now = identity.clock()
    found: list[SessionRow] = []
    for kind in kinds:
        at = kind.workspace(tenant)
        page = await in_workspace(identity.pool, at, roles=[kind.role], limit=MOST_DEVICES)
        devices = [account.account_id for account in page.accounts]
        if not kind.is_shared_in(workspace):
            devices = await _enrolled_by(identity, devices, actor)
        for device in devices:
            found += await live_sessions(identity.pool, device, now, workspace=at)
    return found


async def revoke_one(
    identity: Identity,
    session_id: SessionId,
    *,
    actor: AccountId,
    workspace: Workspace,
    scopes: frozenset[str],
) -> None:
    """Revoke a session of the actor, or of a device that the actor manages. Safe to repeat.

    Raises SessionUnknown for any other session, whether it exists or not.
    """
    history = await identity.store.read(PLATFORM, SESSION.stream(session_id))
    session = SESSION.state_after(history.events)
    if session.account_id is None:
        raise SessionUnknown
    if session.account_id != actor:
        role = (await load(identity, session.account_id)).account.roles.get(session.workspace)
        kinds = [
            one
            for one in managed(workspace, scopes, session.workspace.tenant)
            if one.realm == session.workspace.realm and one.role == role
        ]
        mine = await _enrolled_by(identity, [session.account_id], actor)
        if not any(mine or one.is_shared_in(workspace) for one in kinds):
            raise SessionUnknown
    await revoke(identity, session_id, reason="revoked", actor=str(actor))


async def _enrolled_by(
    identity: Identity, devices: Sequence[AccountId], actor: AccountId
) -> list[AccountId]:
    by = await enrollers(identity, devices) if devices else {}
    return [device for device in devices if by.get(device) == actor]


def session_of(text: str) -> SessionId | None:
    """The id of the session that a token names; None if it names none."""
    return SessionId(UUID(text)) if text else None
