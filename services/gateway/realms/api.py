"""Refresh and logout at the paths that crm and kiosks share; the request says whose it is.

At a door of its own it is that door's. At the root a refresh token in the body is the crm's and one
in the cookie the kiosks'; without either, an access token says whose.
"""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from libs.http.auth import public
from services.gateway.accounts.domain.realm import Realm
from services.gateway.context import Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.local_routes import door_of
from services.gateway.realms.crm.api import login as crm_login
from services.gateway.realms.kiosk.api import login as kiosk_login
from services.gateway.realms.kiosk.api.cookie import token_in
from services.gateway.realms.kiosk.api.route import KioskRoute
from services.gateway.sessions.api.realm_route import claimed_realm

# Open to everybody by name: who asks is known by what they send, a refresh or an access token.
# The crm answers its own refusals; whatever else goes wrong is said in the kiosks' shape.
router = APIRouter(
    prefix="/api/v1/auth",
    tags=["crm", "kiosk"],
    route_class=KioskRoute,
    dependencies=[Depends(public), SESSIONS],
)


class RefreshTokenBody(BaseModel):
    """The refresh token of a client that keeps it by itself."""

    refresh_token: str | None = Field(default=None, max_length=8192)


@router.post("/refresh/", include_in_schema=False)
@router.post("/refresh")
async def refresh(
    request: Request, gateway: Gateway, body: RefreshTokenBody | None = None
) -> Response:
    """The next pair, in the form of whoever asks."""
    token = body.refresh_token if body is not None else None
    door = door_of(request.scope)
    if door != Realm.KIOSK and token is not None:
        return await crm_login.refresh(token, gateway)
    # A body without a token is a fault of the crm's clients, if there is no cookie either.
    if door == Realm.CRM or (body is not None and token_in(request) is None and not door):
        missing = {"type": "missing", "loc": ("body", "refresh_token"), "msg": "Field required"}
        raise RequestValidationError([{**missing, "input": None}])
    return await kiosk_login.refresh(request, gateway)


@router.post("/logout/", include_in_schema=False)
@router.post("/logout")
async def logout(
    request: Request, gateway: Gateway, body: RefreshTokenBody | None = None
) -> Response:
    """The end of a session: at the kiosks for a good token only, at the crm always 200.

    What shows neither a kiosk's cookie nor a kiosk's token is of the crm: its clients get 200
    whatever token they send (spec crm §3).
    """
    token = body.refresh_token if body is not None else None
    realm = claimed_realm(request.scope)
    if realm == Realm.CRM or (realm is None and (token is not None or token_in(request) is None)):
        return await crm_login.logout(request, gateway, token)
    return await kiosk_login.logout(request, gateway)
