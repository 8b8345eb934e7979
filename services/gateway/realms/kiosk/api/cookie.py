"""The refresh cookie of the kiosks' staff (spec kiosk §2.1), and which pages may use it.

`SameSite=Lax` is what old browsers have; newer ones also say which page asks.
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


def give(response: Response, request: Request, gateway: Deps, logged_in: LoggedIn) -> None:
    """Let the client keep its next refresh token, for the route that takes it and no other."""
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


def take_back(response: Response, request: Request, gateway: Deps) -> None:
    """Let the client forget it."""
    response.delete_cookie(
        COOKIE, path=_path(request), secure=_is_secure(gateway), httponly=True, samesite="lax"
    )


def token_in(request: Request) -> str | None:
    """The refresh token the client kept."""
    return request.cookies.get(COOKIE)


def refuse_foreign_page(request: Request, gateway: Deps) -> None:
    """Raise Coded 403 if a page that is neither ours nor allowed asks in its visitor's name.

    `*` allows nobody here. Programs that are no browsers say nothing of pages, and hold no cookie
    that a page could abuse.
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
    # At a door's prefix the browser knows the route by that.
    return f"{request.scope.get('root_path', '')}{REFRESH}"


def _is_secure(gateway: Deps) -> bool:
    return gateway.settings.profile != "demo"
