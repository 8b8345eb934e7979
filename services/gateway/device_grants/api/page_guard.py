"""CSRF protection of the gateway's own pages.

A page gives its browser a random cookie and carries a keyed digest of it; a form must bring both.
Other sites can neither read the page nor make their browser send the cookie (`SameSite=Strict`).
"""

import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse

from libs.security.sealing import Seal
from services.gateway.device_grants.api.page import POLICY

COOKIE: Final = "tillstream_page"
NONCE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    # With less, browsers would not say where a form comes from.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def nonce_of(request: Request) -> str:
    """The random text that this browser has, or a new one."""
    given = request.cookies.get(COOKIE, "")
    return given if NONCE.fullmatch(given) else secrets.token_urlsafe(32)


def csrf_of(seal: Seal, nonce: str) -> str:
    """What the page carries."""
    return seal.digest("page", nonce)


def is_ours(request: Request, seal: Seal, form: Mapping[str, str], hosts: Collection[str]) -> bool:
    """Whether a form was sent from a page of ours in this browser.

    `hosts` are our own; a browser that says where the form comes from must name one of them.
    """
    nonce, said = request.cookies.get(COOKIE, ""), request.headers.get("origin")
    if said is not None and said.partition("://")[2] not in hosts:
        return False
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    carried = form.get("csrf", "").encode()
    return bool(NONCE.fullmatch(nonce)) and hmac.compare_digest(
        csrf_of(seal, nonce).encode(), carried
    )


def guarded(html: str, nonce: str, *, path: str, secure: bool, status: int = 200) -> HTMLResponse:
    """A page that may hold a form; its cookie goes back to `path` only."""
    response = HTMLResponse(html, status, headers=dict(HEADERS))
    response.set_cookie(
        COOKIE, nonce, path=path, secure=secure, httponly=True, samesite="strict", max_age=3600
    )
    return response
