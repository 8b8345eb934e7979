"""The routes of all realms, and refresh and logout at the paths that crm and kiosks share.

There the realm is that of the request's door. At the root a refresh token in the body means the
crm, one in the cookie the kiosks; without either, the access token decides.
"""

from importlib import import_module

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from libs.http.auth import public
from services.gateway.accounts.domain.realm import Realm
from services.gateway.context import Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.local_routes import door_of
from services.gateway.realms.crm import api as crm
from services.gateway.realms.kiosk.api import login as kiosk_login
from services.gateway.realms.kiosk.api.login import token_in
from services.gateway.realms.kiosk.api.route import KioskRoute
from services.gateway.sessions.api.realm_route import claimed_realm

# Public, since the handlers check the refresh or access token. The crm's handlers answer in the
# crm's shape, all other refusals have the kiosks' shape.
router = APIRouter(
    prefix="/api/v1/auth",
    tags=["crm", "kiosk"],
    route_class=KioskRoute,
    dependencies=[Depends(public), SESSIONS],
)


class RefreshTokenBody(BaseModel):
    """The refresh token of a client that stores it itself."""

    refresh_token: str | None = Field(default=None, max_length=8192)


@router.post("/refresh")
async def refresh(
    request: Request, gateway: Gateway, body: RefreshTokenBody | None = None
) -> Response:
    """Exchange the refresh token for the next pair of tokens."""
    token = body.refresh_token if body is not None else None
    door = door_of(request.scope)
    if door != Realm.KIOSK and token is not None:
        return await crm.refresh(gateway, token)
    # A body without a token is a 422 of the crm, unless there is a cookie.
    if door == Realm.CRM or (body is not None and token_in(request) is None and not door):
        missing = {"type": "missing", "loc": ("body", "refresh_token"), "msg": "Field required"}
        raise RequestValidationError([{**missing, "input": None}])
    return await kiosk_login.refresh(request, gateway)


@router.post("/logout")
async def logout(
    request: Request, gateway: Gateway, body: RefreshTokenBody | None = None
) -> Response:
    """End the session: at the kiosks with a valid token only, at the crm always 200.

    A request without a kiosk's cookie or token counts as the crm's, whose clients get 200 for any
    token (spec crm §3).
    """
    token = body.refresh_token if body is not None else None
    realm = claimed_realm(request.scope)
    if realm == Realm.CRM or (realm is None and (token is not None or token_in(request) is None)):
        return await crm.logout(request, gateway, token)
    return await kiosk_login.logout(request, gateway)


def routers() -> list[APIRouter]:
    """The routes of all realms, in the order of the table: `ROUTERS` of each one's room `api`."""
    rooms = [import_module(f"{__package__}.{realm}.api") for realm in Realm]
    return [*(one for room in rooms for one in room.ROUTERS), router]
