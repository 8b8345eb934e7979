"""Login, refresh and logout of the crm's clients (spec crm §2, §3.1, §10)."""

from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import JSONResponse

from libs.errors import Unauthenticated
from libs.http.auth import public
from services.gateway.accounts.domain.realm import Realm
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.small_body import MAX_BODY_BYTES
from services.gateway.sessions.api.login import access_of, attempts_of, device_of, parse_email
from services.gateway.sessions.api.realm_permission import account_of, in_crm, session_of
from services.gateway.sessions.domain.session import SessionOver, SessionUnknown
from services.gateway.sessions.handlers import session
from services.gateway.sessions.handlers.login import LoginFailed, log_in
from services.gateway.sessions.handlers.session import LoggedIn

router = APIRouter(
    prefix="/api/v1/auth",
    tags=["crm"],
    dependencies=[Depends(public), SESSIONS],
    max_body_size=MAX_BODY_BYTES,
)

WRONG: Final = "Invalid email or password"
WORTHLESS: Final = "Invalid refresh token"
OUT: Final = "Logged out successfully"


@router.post("/token")
async def token(
    request: Request,
    gateway: Gateway,
    username: Annotated[str, Form()],
    password: Annotated[str, Form()],
    grant_type: Annotated[str | None, Form(pattern="^password$")] = None,
) -> Response:
    """Log in with an e-mail address and its password: an access and a refresh token."""
    try:
        logged_in = await log_in(
            gateway.identity,
            realm=Realm.CRM,
            tenant=gateway.settings.people_tenant,
            address=parse_email(username),
            password=password,
            device=device_of(request),
            attempts=attempts_of(gateway, request),
        )
    except LoginFailed:
        return _unauthorized(WRONG)
    return _pair(gateway, logged_in)


async def refresh(token: str, gateway: Deps) -> Response:
    """The next pair for a refresh token; 401 for an invalid one: see `realms.api`."""
    try:
        logged_in = await session.refresh(gateway.identity, token, realm=Realm.CRM)
    except SessionOver:
        return _unauthorized(WORTHLESS)
    return _pair(gateway, logged_in)


async def logout(request: Request, gateway: Deps, token: str | None) -> Response:
    """End the session of the refresh token, and of the caller's access token; always 200."""
    # A session that is over or unknown needs no logout.
    with suppress(SessionOver, SessionUnknown):
        if token is not None:
            await session.log_out(gateway.identity, token)
    with suppress(Unauthenticated, SessionOver, SessionUnknown):
        caller = await in_crm()(request)
        await session.revoke(
            gateway.identity,
            session_of(caller),
            reason="logout",
            actor=caller.subject,
            account_id=account_of(caller),
        )
    return _json({"message": OUT})


def _pair(gateway: Deps, logged_in: LoggedIn) -> Response:
    access = access_of(gateway, logged_in)
    return _json(
        {
            "access_token": access.bearer,
            "refresh_token": logged_in.refresh_token,
            "token_type": "bearer",
            "expires_in": access.seconds,
        }
    )


def _unauthorized(message: str) -> Response:
    """The crm's envelope; no `detail`, or its site would not show the login page."""
    error = {"code": "UNAUTHORIZED", "message": message, "details": {}}
    return _json({"error": error}, 401)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse(body, status, headers={"Cache-Control": "no-store"})
