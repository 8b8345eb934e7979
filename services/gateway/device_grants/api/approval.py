"""The page that approves a device (RFC 8628 §3.3): user code, login, allow or deny.

Its forms are protected from CSRF: the page sets a random cookie and contains a keyed digest of it,
and a form must send both. Other sites can neither read the page nor make browsers send the cookie
(`SameSite=Strict`).
"""

import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from libs.errors import TooManyRequests
from libs.http.auth import public
from libs.http.rate_limits import too_many_headers
from libs.security.sealing import Seal
from services.gateway.api_keys.api import TENANT
from services.gateway.context import Deps, Gateway
from services.gateway.device_grants.api.oauth import APPROVAL
from services.gateway.device_grants.api.page import (
    POLICY,
    Approval,
    answer_page,
    code_page,
    done_page,
)
from services.gateway.device_grants.domain.grant import (
    LIFETIME,
    AlreadyAnswered,
    display_code,
    read_code,
)
from services.gateway.device_grants.handlers.answer import Approver, TenantAmbiguous, answer_grant
from services.gateway.device_grants.handlers.grant import PendingDevice, find_by_user_code
from services.gateway.doors.api.awaited import NEWCOMERS
from services.gateway.doors.api.form import BadForm, form_of
from services.gateway.doors.api.public_url import base_of, host_of
from services.gateway.sessions.api.login import attempts_of, parse_email
from services.gateway.sessions.handlers.login import LoginFailed
from services.gateway.telegram.api.one_time_code import address_of

router = APIRouter(tags=["oauth"], dependencies=[Depends(public), NEWCOMERS])

STALE: Final = "This page was open for too long. Please try again."
UNKNOWN: Final = "No device shows this code. It may have taken too long: let it ask anew."
TOO_MANY: Final = "Too many tries. Please wait a few minutes."
WRONG: Final = "This login is wrong, or may not manage such devices."
WHICH: Final = "You look after several. Choose for which one, and log in once more."
ALLOW: Final = "allow"
ANSWERS: Final = frozenset({ALLOW, "refuse"})
INVALID: Final = HTTPStatus.UNPROCESSABLE_ENTITY

COOKIE: Final = "tillstream_page"
NONCE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    # With less, browsers would not say where a form comes from.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class _PageRequest:
    """One request for the page. `base` is the public URL of the gateway."""

    gateway: Deps
    request: Request
    nonce: str
    base: str

    @property
    def csrf(self) -> str:
        return _csrf_of(self.gateway.identity.seal, self.nonce)

    def page(self, html: str, status: int = 200) -> Response:
        parts = urlsplit(self.base + APPROVAL)
        secure = parts.scheme == "https"
        return _protected_page(html, self.nonce, path=parts.path, secure=secure, status=status)

    def code_again(self, wrong: str, status: int) -> Response:
        return self.page(code_page(self.csrf, wrong=wrong), status)


@router.get(APPROVAL)
async def ask_for_code(
    request: Request,
    gateway: Gateway,
    user_code: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """The page that asks for the user code; a `user_code` in the address is filled in."""
    page_request = _page_request(gateway, request)
    code = read_code(user_code)
    return page_request.page(code_page(page_request.csrf, code=display_code(code) if code else ""))


@router.post(APPROVAL)
async def take_answer(request: Request, gateway: Gateway) -> Response:
    """Approve or deny a device; with a user code alone, the page that asks for the answer.

    403 for a form of another page or browser, 422 for wrong input, 429 after too many attempts.
    """
    page_request = _page_request(gateway, request)
    try:
        form = await form_of(request)
    except BadForm:
        return page_request.code_again(STALE, INVALID)
    hosts = {urlsplit(page_request.base).netloc, host_of(gateway, request)}
    if not _is_own_form(request, gateway.identity.seal, form, hosts):
        return page_request.code_again(STALE, HTTPStatus.FORBIDDEN)
    try:
        code = read_code(form.get("user_code", ""))
        address = address_of(request, gateway)
        device = await find_by_user_code(
            gateway.identity, code, address=address, browser=page_request.nonce
        )
    except TooManyRequests as error:
        return _later(page_request, error)
    if device is None or code is None:
        return page_request.code_again(UNKNOWN, INVALID)
    approval = _approval_of(device, code)
    if form.get("answer") not in ANSWERS:
        return page_request.page(answer_page(page_request.csrf, approval))
    return await _answered(page_request, device, approval, form)


async def _answered(
    page_request: _PageRequest, device: PendingDevice, approval: Approval, form: Mapping[str, str]
) -> Response:
    login, allow = form.get("email", ""), form["answer"] == ALLOW
    try:
        tenant = await answer_grant(
            page_request.gateway.identity, device, _approver(page_request, form), allow=allow
        )
    except TooManyRequests as error:
        return _later(page_request, error)
    except LoginFailed:
        return _again(page_request, approval, login, WRONG)
    except TenantAmbiguous as error:
        return _again(page_request, approval, login, WHICH, error.tenants)
    except AlreadyAnswered:
        return page_request.code_again(UNKNOWN, INVALID)
    if not allow:
        return page_request.page(
            done_page("Refused", "The device was told that it may not come in.")
        )
    text = f"The device is let in for {tenant}, and goes on by itself within a few seconds."
    return page_request.page(done_page("Let in", text))


def _page_request(gateway: Deps, request: Request) -> _PageRequest:
    return _PageRequest(gateway, request, _nonce_of(request), base_of(gateway, request))


def _approver(page_request: _PageRequest, form: Mapping[str, str]) -> Approver:
    """The approver of a form. Raises LoginFailed for a malformed tenant."""
    tenant = form.get("tenant")
    if tenant is not None and not TENANT.fullmatch(tenant):
        raise LoginFailed
    return Approver(
        address=parse_email(form.get("email", "")),
        password=form.get("password", ""),
        tenant=tenant,
        default=page_request.gateway.settings.people_tenant,
        attempts=attempts_of(page_request.gateway, page_request.request),
    )


def _approval_of(device: PendingDevice, code: str) -> Approval:
    info, began = device.info, device.grant.expires_at - LIFETIME
    return Approval(
        code=display_code(code),
        kind=device.client.title,
        label=info.label,
        address=info.address,
        agent=info.agent,
        since=f"{began:%Y-%m-%d %H:%M} UTC",
    )


def _again(
    page_request: _PageRequest,
    approval: Approval,
    login: str,
    wrong: str,
    tenants: Iterable[str] = (),
) -> Response:
    html = answer_page(page_request.csrf, approval, login=login, tenants=tenants, wrong=wrong)
    return page_request.page(html, INVALID)


def _later(page_request: _PageRequest, error: TooManyRequests) -> Response:
    response = page_request.code_again(TOO_MANY, HTTPStatus.TOO_MANY_REQUESTS)
    response.headers.update(too_many_headers(error.retry_after_seconds, error.limit))
    return response


def _nonce_of(request: Request) -> str:
    """The nonce in the browser's cookie, or a new one."""
    nonce = request.cookies.get(COOKIE, "")
    return nonce if NONCE.fullmatch(nonce) else secrets.token_urlsafe(32)


def _csrf_of(seal: Seal, nonce: str) -> str:
    """The CSRF token of the page."""
    return seal.digest("page", nonce)


def _is_own_form(
    request: Request, seal: Seal, form: Mapping[str, str], hosts: Collection[str]
) -> bool:
    """Whether a form was sent from this page in the same browser.

    `hosts` are the gateway's own; an `Origin`, if the browser sends one, must be one of them.
    """
    nonce, origin = request.cookies.get(COOKIE, ""), request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] not in hosts:
        return False
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    csrf = form.get("csrf", "").encode()
    return bool(NONCE.fullmatch(nonce)) and hmac.compare_digest(
        _csrf_of(seal, nonce).encode(), csrf
    )


def _protected_page(
    html: str, nonce: str, *, path: str, secure: bool, status: int = 200
) -> HTMLResponse:
    """A page with the headers and the cookie that protect its forms; `path` is the cookie's."""
    response = HTMLResponse(html, status, headers=dict(HEADERS))
    response.set_cookie(
        COOKIE, nonce, path=path, secure=secure, httponly=True, samesite="strict", max_age=3600
    )
    return response
