"""Login, refresh and logout of the platform's administrators, at all doors."""

from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from libs.http.auth import public
from services.gateway.accounts.domain.account import MAX_PASSWORD
from services.gateway.accounts.domain.realm import PLATFORM, Realm
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.small_body import SmallBodyRoute
from services.gateway.sessions.api.login import access_of, attempts_of, device_of, parse_email
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers import session
from services.gateway.sessions.handlers.login import LoginFailed, log_in
from services.gateway.sessions.handlers.session import LoggedIn

router = APIRouter(
    prefix="/api/v1/platform",
    tags=["identity"],
    route_class=SmallBodyRoute,
    dependencies=[Depends(public), SESSIONS],
)

WRONG: Final = "Incorrect e-mail address or password"
WORTHLESS: Final = "Invalid refresh token"
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Login(BaseModel):
    """A login by e-mail address and password."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=MAX_PASSWORD)]


class RefreshToken(BaseModel):
    """The refresh token of a session."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(max_length=8192)


@router.post("/login")
async def login(
    body: Login, request: Request, response: Response, gateway: Gateway
) -> dict[str, Any]:
    """Log in as an administrator of the platform; 401 whatever is wrong, 429 after too many."""
    try:
        logged_in = await log_in(
            gateway.identity,
            realm=Realm.PLATFORM,
            tenant=PLATFORM,
            address=parse_email(body.email),
            password=body.password,
            device=device_of(request),
            attempts=attempts_of(gateway, request),
        )
    except LoginFailed:
        raise HTTPException(401, WRONG, headers=CHALLENGE) from None
    return _pair(gateway, logged_in, response)


@router.post("/refresh")
async def refresh(body: RefreshToken, response: Response, gateway: Gateway) -> dict[str, Any]:
    """Exchange a refresh token for the next pair; 401 for an invalid token.

    A token that was used before ends the session."""
    try:
        logged_in = await session.refresh(
            gateway.identity, body.refresh_token, realm=Realm.PLATFORM
        )
    except SessionOver:
        raise HTTPException(401, WORTHLESS, headers=CHALLENGE) from None
    return _pair(gateway, logged_in, response)


@router.post("/logout", status_code=204)
async def logout(body: RefreshToken, gateway: Gateway) -> None:
    """End the session of the refresh token: both tokens are worthless; 204 whatever it was."""
    with suppress(SessionOver):
        await session.log_out(gateway.identity, body.refresh_token)


def _pair(gateway: Deps, logged_in: LoggedIn, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    access = access_of(gateway, logged_in)
    return {
        "access_token": access.bearer,
        "refresh_token": logged_in.refresh_token,
        "token_type": "bearer",
        "expires_in": access.seconds,
    }
