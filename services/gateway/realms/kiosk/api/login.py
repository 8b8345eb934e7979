"""Login, refresh and logout of the kiosks' staff (spec kiosk §2.1, §3.1).

The refresh token is in a cookie. Old browsers are protected by `SameSite=Lax`; newer ones also send
`Sec-Fetch-Site` and `Origin`.
"""

from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from libs.errors import Unauthenticated
from libs.http.auth import public
from libs.http.shapes import answer
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, Realm, roles_of
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.peer import peer_of
from services.gateway.doors.domain.doors import KIOSK
from services.gateway.realms.kiosk.api.route import SHAPE, Coded, KioskRoute
from services.gateway.realms.kiosk.api.users import FACE, Given, Username, brief, parse_username
from services.gateway.sessions.api.login import Logins, log_out, token_answer
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers.session import LoggedIn

COOKIE: Final = "refresh_token"
REFRESH: Final = "/api/v1/auth/refresh"
OWN_PAGES: Final = frozenset({"same-origin", "none"})
LOGIN: Final = Logins(
    realm=Realm.KIOSK, parse=parse_username, roles=roles_of(Realm.KIOSK) - {KIOSK_ITSELF}
)
router = APIRouter(
    prefix="/api/v1/auth", tags=["kiosk"], route_class=KioskRoute, dependencies=[SESSIONS]
)


class StaffLogin(BaseModel):
    """A login of a member of staff."""

    username: Username
    password: Given


@router.post("/login", dependencies=[Depends(public)])
async def login(body: StaffLogin, request: Request, gateway: Gateway) -> Response:
    """Log in as staff: an access token and the refresh cookie; 401 whatever is wrong."""
    logged_in = await LOGIN.enter(gateway, request, body.username, body.password)
    return welcome(request, gateway, logged_in)


async def refresh(request: Request, gateway: Deps) -> Response:
    """The next pair for the cookie's token: see `realms.api`.

    401 without a valid cookie, which is then deleted; 403 for a page that is not allowed.
    """
    _refuse_foreign_page(request, gateway)
    token = token_in(request)
    if token is None:
        raise Unauthenticated
    try:
        return welcome(request, gateway, await LOGIN.refresh(gateway, token))
    except SessionOver as error:
        refusal = answer(SHAPE, error, request.scope)
        _delete_cookie(refusal, request, gateway)
        return refusal


async def logout(request: Request, gateway: Deps) -> Response:
    """End the session of the caller's access token; 401 without a valid one: see `realms.api`."""
    await log_out(gateway, await FACE.permission()(request))
    response = JSONResponse({"message": "Logged out successfully"})
    _delete_cookie(response, request, gateway)
    return response


def welcome(request: Request, gateway: Deps, logged_in: LoggedIn) -> Response:
    """A LoginResponse with the cookie."""
    user = brief(logged_in.account, logged_in.role)
    names = ("access_token", "token_type", "expires_in")
    response = token_answer(gateway, logged_in, *names, user=user)
    _set_cookie(response, request, gateway, logged_in)
    return response


def _set_cookie(response: Response, request: Request, gateway: Deps, logged_in: LoggedIn) -> None:
    """Set the cookie with the refresh token, for the path of the refresh route only."""
    term = gateway.settings.term_of(logged_in.workspace, logged_in.role)
    response.set_cookie(
        COOKIE,
        logged_in.refresh_token,
        max_age=int(term.lifetime.total_seconds()),
        path=_path(request),
        secure=_is_secure(gateway),
        httponly=True,
        samesite="lax",
    )


def _delete_cookie(response: Response, request: Request, gateway: Deps) -> None:
    """Delete the cookie."""
    response.delete_cookie(
        COOKIE, path=_path(request), secure=_is_secure(gateway), httponly=True, samesite="lax"
    )


def token_in(request: Request) -> str | None:
    """The refresh token in the request's cookie."""
    return request.cookies.get(COOKIE)


def _refuse_foreign_page(request: Request, gateway: Deps) -> None:
    """Raise Coded 403 for a page of another origin that is not allowed; `*` does not count.

    Programs other than browsers send neither header, and have no cookie that a page could abuse.
    """
    if request.headers.get("sec-fetch-site") in OWN_PAGES:
        return
    origin = request.headers.get("origin")
    if origin is None and "sec-fetch-site" not in request.headers:
        return
    settings = gateway.settings
    headers = dict(request.scope["headers"])
    peer = peer_of(request.scope, headers, settings.trusted_proxies)
    allowed = settings.pages_at([KIOSK])
    if origin not in {*allowed, f"{peer.proto}://{peer.host}"}:
        raise Coded(403, "FORBIDDEN", "Pages of this origin may not refresh")


def _path(request: Request) -> str:
    # With the prefix of the door, if the browser uses it.
    return f"{request.scope.get('root_path', '')}{REFRESH}"


def _is_secure(gateway: Deps) -> bool:
    return gateway.settings.profile != "demo"
