"""Login, refresh and logout of the kiosks' staff (spec kiosk §3.1)."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from libs.errors import Unauthenticated
from libs.http.auth import Principal, public
from services.gateway.accounts.domain.realm import DEVICE, Realm, roles_of
from services.gateway.administration.api.users import Call, Shown
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.realms.kiosk.api.cookie import (
    delete_cookie,
    refuse_foreign_page,
    set_cookie,
    token_in,
)
from services.gateway.realms.kiosk.api.route import KioskRoute, refusal
from services.gateway.realms.kiosk.api.users import FACE, Given, Username, brief, parse_username
from services.gateway.sessions.api.login import Logins, log_out, token_answer
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers.session import LoggedIn

LOGIN: Final = Logins(
    realm=Realm.KIOSK, parse=parse_username, roles=roles_of(Realm.KIOSK) - {DEVICE}
)
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
    logged_in = await LOGIN.enter(gateway, request, body.username, body.password)
    return welcome(request, gateway, logged_in)


@router.get("/me/", include_in_schema=False)
@router.get("/me")
async def me(caller: Annotated[Principal, Depends(FACE.permission())], gateway: Gateway) -> Shown:
    """The caller as a UserResponse."""
    return await FACE.present_caller(Call(gateway, caller))


async def refresh(request: Request, gateway: Deps) -> Response:
    """The next pair for the cookie's token: see `realms.api`.

    401 without a valid cookie, which is then deleted; 403 for a page that is not allowed.
    """
    refuse_foreign_page(request, gateway)
    token = token_in(request)
    if token is None:
        raise Unauthenticated
    try:
        return welcome(request, gateway, await LOGIN.refresh(gateway, token))
    except SessionOver as error:
        answer = refusal(request, error)
        delete_cookie(answer, request, gateway)
        return answer


async def logout(request: Request, gateway: Deps) -> Response:
    """End the session of the caller's access token; 401 without a valid one: see `realms.api`."""
    await log_out(gateway, await FACE.permission()(request))
    answer = JSONResponse({"message": "Logged out successfully"})
    delete_cookie(answer, request, gateway)
    return answer


def welcome(request: Request, gateway: Deps, logged_in: LoggedIn) -> Response:
    """A LoginResponse with the cookie."""
    user = brief(logged_in.account, logged_in.role)
    names = ("access_token", "token_type", "expires_in")
    answer = token_answer(gateway, logged_in, *names, user=user)
    set_cookie(answer, request, gateway, logged_in)
    return answer
