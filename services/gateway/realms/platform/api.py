"""Login, refresh and logout of the platform's administrators, at all doors."""

from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from libs.http.auth import public
from libs.http.shapes import ShapedRoute
from services.gateway.accounts.domain.account import MAX_PASSWORD
from services.gateway.accounts.domain.realm import Realm
from services.gateway.context import Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.sessions.api.login import Logins, token_answer
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers import session

router = APIRouter(
    prefix="/api/v1/platform",
    tags=["identity"],
    route_class=ShapedRoute,
    dependencies=[Depends(public), SESSIONS],
)

LOGIN: Final = Logins(
    realm=Realm.PLATFORM,
    login_failed="Incorrect e-mail address or password",
    session_over="Invalid refresh token",
)


class Login(BaseModel):
    """A login by e-mail address and password."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=MAX_PASSWORD)]


class RefreshToken(BaseModel):
    """The refresh token of a session."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(max_length=8192)


@router.post("/login", response_model=dict[str, Any])
async def login(body: Login, request: Request, gateway: Gateway) -> Response:
    """An access and a refresh token; 401 whatever is wrong, 429 after too many tries."""
    logged_in = await LOGIN.enter(gateway, request, body.email, body.password)
    return token_answer(gateway, logged_in)


@router.post("/refresh", response_model=dict[str, Any])
async def refresh(body: RefreshToken, gateway: Gateway) -> Response:
    """The next pair; 401 for an invalid token. A token that was used before ends the session."""
    return token_answer(gateway, await LOGIN.refresh(gateway, body.refresh_token))


@router.post("/logout", status_code=204)
async def logout(body: RefreshToken, gateway: Gateway) -> None:
    """End the session of the refresh token: both tokens are worthless; 204 whatever it was."""
    with suppress(SessionOver):
        await session.log_out(gateway.identity, body.refresh_token)


ROUTERS: Final = (router,)
