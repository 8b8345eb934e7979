"""The refresh cookie of the kiosks' staff (spec kiosk §2.1), and the pages that may use it.

Old browsers are protected by `SameSite=Lax`; newer ones also send `Sec-Fetch-Site` and `Origin`.
"""

from typing import Final

from fastapi import Request, Response

from services.gateway.context import Deps
from services.gateway.doors.api.peer import peer_of
from services.gateway.doors.domain.doors import KIOSK
from services.gateway.realms.kiosk.api.route import Coded
from services.gateway.sessions.handlers.session import LoggedIn

COOKIE: Final = "refresh_token"
REFRESH: Final = "/api/v1/auth/refresh"
OWN_PAGES: Final = frozenset({"same-origin", "none"})


def set_cookie(response: Response, request: Request, gateway: Deps, logged_in: LoggedIn) -> None:
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


def delete_cookie(response: Response, request: Request, gateway: Deps) -> None:
    """Delete the cookie."""
    response.delete_cookie(
        COOKIE, path=_path(request), secure=_is_secure(gateway), httponly=True, samesite="lax"
    )


def token_in(request: Request) -> str | None:
    """The refresh token in the request's cookie."""
    return request.cookies.get(COOKIE)


def refuse_foreign_page(request: Request, gateway: Deps) -> None:
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
