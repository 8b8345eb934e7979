"""Routes of one's own sessions, in any realm."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from contracts.gateway import AccountId, SessionId
from libs.http.auth import Principal, require_kind
from libs.http.shapes import ShapedRoute
from services.gateway.accounts.domain.realm import Realm, Workspace
from services.gateway.api_keys.api import TenantName
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.sessions.domain.session import MAX_DEVICE
from services.gateway.sessions.handlers.management import (
    device_sessions,
    managed,
    revoke_one,
    session_of,
)
from services.gateway.sessions.handlers.session import revoke_all
from services.gateway.sessions.read_models import SessionRow, live_sessions

router = APIRouter(
    prefix="/api/v1/sessions",
    tags=["identity"],
    route_class=ShapedRoute,
    dependencies=[SESSIONS],
)

EVERYBODY: Final = require_kind(*Realm)
CurrentUser = Annotated[Principal, Depends(EVERYBODY)]


@router.get("")
async def list_sessions(
    gateway: Gateway,
    caller: CurrentUser,
    of: Annotated[Literal["devices"] | None, Query()] = None,
    tenant: Annotated[TenantName | None, Query()] = None,
) -> dict[str, Any]:
    """List one's own sessions, the newest first; with `of=devices` those of the kiosks and
    scale bridges that one may manage. The platform's administrators choose the `tenant`.
    """
    if of == "devices":
        found = await _of_devices(gateway, caller, tenant)
    else:
        now = gateway.identity.clock()
        found = [*await live_sessions(gateway.system, UUID(caller.subject), now)]
    return {"sessions": [_present(one, caller.session) for one in found]}


@router.delete("/{session_id}", status_code=204)
async def end_session(session_id: UUID, gateway: Gateway, caller: CurrentUser) -> None:
    """End a session of one's own, the present one too, or of a device that one may manage.

    204 again for a session that is over; 404 for any other session.
    """
    await revoke_one(
        gateway.identity,
        SessionId(session_id),
        actor=AccountId(UUID(caller.subject)),
        workspace=Workspace(caller.kind, caller.tenant),
        scopes=caller.scopes,
    )


@router.delete("")
async def end_other_sessions(
    gateway: Gateway,
    caller: CurrentUser,
    device: Annotated[str | None, Query(max_length=MAX_DEVICE)] = None,
) -> dict[str, int]:
    """End all of one's own sessions but the present one; how many there were.

    With `device`, the name of a device in the list, only those on it."""
    ended = await revoke_all(
        gateway.identity,
        AccountId(UUID(caller.subject)),
        reason="revoked",
        actor=caller.subject,
        device=device,
        except_session=session_of(caller.session),
    )
    return {"revoked": ended}


async def _of_devices(gateway: Deps, caller: Principal, tenant: str | None) -> list[SessionRow]:
    platform = caller.kind == Realm.PLATFORM
    owner = (tenant or gateway.settings.people_tenant) if platform else caller.tenant
    workspace, actor = Workspace(caller.kind, caller.tenant), AccountId(UUID(caller.subject))
    kinds = managed(workspace, caller.scopes, owner)
    return [
        *await device_sessions(gateway.identity, kinds, owner, actor=actor, workspace=workspace)
    ]


def _present(one: SessionRow, present: str) -> dict[str, Any]:
    return {
        "session_id": str(one.session_id),
        "account_id": str(one.account_id),
        "realm": one.workspace.realm,
        "tenant": one.workspace.tenant,
        "device": one.device,
        "opened_at": one.opened_at,
        "refreshed_at": one.refreshed_at,
        "expires_at": one.expires_at,
        "present": str(one.session_id) == present,
    }
