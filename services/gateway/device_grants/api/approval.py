"""The page that approves a device (RFC 8628 §3.3): code, login, allow or deny."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query, Request, Response

from libs.errors import TooManyRequests
from libs.http.auth import public
from libs.http.rate_limits import too_many_headers
from services.gateway.api_keys.api import TENANT
from services.gateway.context import Deps, Gateway
from services.gateway.device_grants.api.oauth import APPROVAL
from services.gateway.device_grants.api.page import Approval, answer_page, code_page, done_page
from services.gateway.device_grants.api.page_guard import csrf_of, guarded, is_ours, nonce_of
from services.gateway.device_grants.domain.grant import (
    LIFETIME,
    AnsweredAlready,
    display_code,
    read_code,
)
from services.gateway.device_grants.handlers.answer import Manager, WhichTenant, answer
from services.gateway.device_grants.handlers.grant import Waiting, find
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


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request for the page. `base` is where the gateway is found."""

    gateway: Deps
    request: Request
    nonce: str
    base: str

    @property
    def csrf(self) -> str:
        return csrf_of(self.gateway.identity.seal, self.nonce)

    def page(self, html: str, status: int = 200) -> Response:
        parts = urlsplit(self.base + APPROVAL)
        secure = parts.scheme == "https"
        return guarded(html, self.nonce, path=parts.path, secure=secure, status=status)

    def code_again(self, wrong: str, status: int) -> Response:
        return self.page(code_page(self.csrf, wrong=wrong), status)


@router.get(APPROVAL)
async def ask_for_code(
    request: Request,
    gateway: Gateway,
    user_code: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """The page that asks for the code; one that comes along is filled in, and not tried yet."""
    visit = _visit(gateway, request)
    code = read_code(user_code)
    return visit.page(code_page(visit.csrf, code=display_code(code) if code else ""))


@router.post(APPROVAL)
async def take_answer(request: Request, gateway: Gateway) -> Response:
    """With a code alone: who asks. With a login and an answer too: what became of it.

    403 for a form that is not of this browser's page, 422 for what is wrong, 429 for too much.
    """
    visit = _visit(gateway, request)
    try:
        form = await form_of(request)
    except BadForm:
        return visit.code_again(STALE, INVALID)
    hosts = {urlsplit(visit.base).netloc, host_of(gateway, request)}
    if not is_ours(request, gateway.identity.seal, form, hosts):
        return visit.code_again(STALE, HTTPStatus.FORBIDDEN)
    try:
        code = read_code(form.get("user_code", ""))
        address = address_of(request, gateway)
        waiting = await find(gateway.identity, code, address=address, browser=visit.nonce)
    except TooManyRequests as no:
        return _later(visit, no)
    if waiting is None or code is None:
        return visit.code_again(UNKNOWN, INVALID)
    asks = _asks(waiting, code)
    if form.get("answer") not in ANSWERS:
        return visit.page(answer_page(visit.csrf, asks))
    return await _answered(visit, waiting, asks, form)


async def _answered(
    visit: _Visit, waiting: Waiting, asks: Approval, form: Mapping[str, str]
) -> Response:
    login, allow = form.get("email", ""), form["answer"] == ALLOW
    try:
        tenant = await answer(visit.gateway.identity, waiting, _manager(visit, form), allow=allow)
    except TooManyRequests as no:
        return _later(visit, no)
    except LoginFailed:
        return _again(visit, asks, login, WRONG)
    except WhichTenant as no:
        return _again(visit, asks, login, WHICH, no.tenants)
    except AnsweredAlready:
        return visit.code_again(UNKNOWN, INVALID)
    if not allow:
        return visit.page(done_page("Refused", "The device was told that it may not come in."))
    text = f"The device is let in for {tenant}, and goes on by itself within a few seconds."
    return visit.page(done_page("Let in", text))


def _visit(gateway: Deps, request: Request) -> _Visit:
    return _Visit(gateway, request, nonce_of(request), base_of(gateway, request))


def _manager(visit: _Visit, form: Mapping[str, str]) -> Manager:
    """Raises LoginFailed for a tenant that cannot be one."""
    tenant = form.get("tenant")
    if tenant is not None and not TENANT.fullmatch(tenant):
        raise LoginFailed
    return Manager(
        address=parse_email(form.get("email", "")),
        password=form.get("password", ""),
        tenant=tenant,
        default=visit.gateway.settings.people_tenant,
        attempts=attempts_of(visit.gateway, visit.request),
    )


def _asks(waiting: Waiting, code: str) -> Approval:
    about, began = waiting.about, waiting.grant.expires_at - LIFETIME
    return Approval(
        code=display_code(code),
        kind=waiting.client.title,
        label=about.label,
        address=about.address,
        agent=about.agent,
        since=f"{began:%Y-%m-%d %H:%M} UTC",
    )


def _again(
    visit: _Visit, asks: Approval, login: str, wrong: str, tenants: Iterable[str] = ()
) -> Response:
    html = answer_page(visit.csrf, asks, login=login, tenants=tenants, wrong=wrong)
    return visit.page(html, INVALID)


def _later(visit: _Visit, no: TooManyRequests) -> Response:
    response = visit.code_again(TOO_MANY, HTTPStatus.TOO_MANY_REQUESTS)
    response.headers.update(too_many_headers(no.retry_after_seconds, no.limit))
    return response
