"""Login, refresh and logout of the kiosks' staff (spec kiosk §3.1)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from libs.errors import Unauthenticated
from libs.http.auth import Principal, public
from services.gateway.accounts.domain.realm import Realm
from services.gateway.administration.handlers.member import load_member
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.realms.kiosk.api.cookie import (
    delete_cookie,
    refuse_foreign_page,
    set_cookie,
    token_in,
)
from services.gateway.realms.kiosk.api.route import KioskRoute, refusal
from services.gateway.realms.kiosk.api.shapes import (
    STAFF_ROLES,
    Given,
    Username,
    brief,
    parse_username,
    user,
)
from services.gateway.sessions.api.login import access_of, attempts_of, device_of
from services.gateway.sessions.api.realm_permission import (
    account_of,
    session_of,
    staff,
    workspace_of,
)
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers import session
from services.gateway.sessions.handlers.login import log_in
from services.gateway.sessions.handlers.session import LoggedIn
from services.gateway.sessions.read_models import last_logins

router = APIRouter(
    prefix="/api/v1/auth", tags=["kiosk"], route_class=KioskRoute, dependencies=[SESSIONS]
)


class StaffLogin(BaseModel):
    """A login of a member of staff."""

    username: Username
    password: Given


@router.post("/login/", include_in_schema=False, dependencies=[Depends(public)])
@router.post("/login", dependencies=[Depends(public)])
async def login(body: StaffLogin, request: Request, gateway: Gateway) -> Response:
    """A LoginResponse and the refresh cookie; 401 whatever is wrong, for a kiosk as well."""
    logged_in = await log_in(
        gateway.identity,
        realm=Realm.KIOSK,
        tenant=gateway.settings.people_tenant,
        address=parse_username(body.username),
        password=body.password,
        device=device_of(request),
        roles=STAFF_ROLES,
        attempts=attempts_of(gateway, request),
    )
    return welcome(request, gateway, logged_in)


@router.get("/me/", include_in_schema=False)
@router.get("/me")
async def me(caller: Annotated[Principal, Depends(staff())], gateway: Gateway) -> dict[str, Any]:
    """The caller as a UserResponse."""
    account_id, workspace = account_of(caller), workspace_of(caller)
    member = await load_member(gateway.identity, account_id, workspace)
    logins = await last_logins(gateway.system, [account_id], workspace=workspace)
    return user(member, logins.get(account_id))


async def refresh(request: Request, gateway: Deps) -> Response:
    """The next pair for the cookie's token: see `realms.api`.

    401 without a valid cookie, which is then deleted; 403 for a page that is not allowed.
    """
    refuse_foreign_page(request, gateway)
    token = token_in(request)
    if token is None:
        raise Unauthenticated
    try:
        logged_in = await session.refresh(
            gateway.identity, token, realm=Realm.KIOSK, roles=STAFF_ROLES
        )
    except SessionOver as error:
        answer = refusal(request, error)
        delete_cookie(answer, request, gateway)
        return answer
    return welcome(request, gateway, logged_in)


async def logout(request: Request, gateway: Deps) -> Response:
    """End the session of the caller's access token; 401 without a valid one: see `realms.api`."""
    caller = await staff()(request)
    account_id, session_id = account_of(caller), session_of(caller)
    await session.revoke(
        gateway.identity,
        session_id,
        reason="logout",
        actor=caller.subject,
        account_id=account_id,
    )
    answer = JSONResponse({"message": "Logged out successfully"})
    delete_cookie(answer, request, gateway)
    return answer


def welcome(request: Request, gateway: Deps, logged_in: LoggedIn) -> Response:
    """A LoginResponse with the cookie."""
    access = access_of(gateway, logged_in)
    fields = {
        "access_token": access.bearer,
        "token_type": "bearer",
        "expires_in": access.seconds,
        "user": brief(logged_in.account, logged_in.role),
    }
    answer = JSONResponse(fields, headers={"Cache-Control": "no-store"})
    set_cookie(answer, request, gateway, logged_in)
    return answer
