"""OAuth 2 for the programs on devices: tokens (RFC 6749), device grants (RFC 8628), discovery.

Clients are public and known by name. Nobody's password is taken here: people log in at their door,
devices are let in by somebody on the approval page.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from libs.http.auth import public
from libs.http.rate_limits import too_many_headers
from services.gateway.accounts.domain.device_client import CLIENTS, DeviceClient
from services.gateway.context import Deps, Gateway
from services.gateway.device_grants.domain.grant import GrantRefused, display_code
from services.gateway.device_grants.handlers import grant as device_grant
from services.gateway.device_grants.handlers.grant import About
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.form import BadForm, form_of
from services.gateway.doors.api.public_url import base_of
from services.gateway.doors.domain.door import Limit
from services.gateway.sessions.api.login import access_of
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.handlers import session
from services.gateway.sessions.handlers.session import LoggedIn
from services.gateway.telegram.api.one_time_code import address_of

router = APIRouter(tags=["oauth"], dependencies=[Depends(public), SESSIONS])

REFRESH: Final = "refresh_token"
DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
APPROVAL: Final = "/oauth/device"
NOT_KEPT: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
MAX_AGENT: Final = 200
DISCOVERY_SECONDS: Final = 300

INVALID: Final = "invalid_request"
UNKNOWN_CLIENT: Final = "invalid_client"
WORTHLESS: Final = "invalid_grant"
UNSUPPORTED: Final = "unsupported_grant_type"
BAD_SCOPE: Final = "invalid_scope"
LATER: Final = "temporarily_unavailable"


class No(Exception):
    """An answer of RFC 6749 §5.2: `error` is the code, and nothing of the request is repeated."""

    def __init__(
        self, error: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.headers = headers or {}


@router.post("/oauth/token")
async def token(request: Request, gateway: Gateway) -> Response:
    """Tokens for a refresh token or a device code that somebody said yes to; else an `error`."""
    try:
        form = await _form(request, gateway)
        client = _client(request, form)
        logged_in = await _granted(gateway, client, form)
    except No as no:
        return _refused(await _spared(gateway, request, no))
    return _tokens(gateway, logged_in)


@router.post("/oauth/device_authorization")
async def device_authorization(request: Request, gateway: Gateway) -> Response:
    """The two codes of a device that wants to be let in; `device_name` is what it calls itself."""
    try:
        await _counted(gateway, request, "device authorization")
        form = await _form(request, gateway)
        client = _client(request, form)
        _check_scope(client, form)
    except No as no:
        return _refused(no)
    about = About(
        label=form.get("device_name", ""),
        address=address_of(request, gateway),
        agent=request.headers.get("user-agent", "")[:MAX_AGENT],
    )
    codes = await device_grant.ask(gateway.identity, client, about)
    shown, page = display_code(codes.user_code), f"{base_of(gateway, request)}{APPROVAL}"
    return _json(
        {
            "device_code": codes.device_code,
            "user_code": shown,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={shown}",
            "expires_in": int(codes.lifetime.total_seconds()),
            "interval": codes.pause,
        }
    )


@router.get("/.well-known/oauth-authorization-server")
async def discovery(request: Request, gateway: Gateway, response: Response) -> dict[str, Any]:
    """What clients may ask for, and where (RFC 8414)."""
    if gateway.settings.public_url is not None:
        response.headers["Cache-Control"] = f"public, max-age={DISCOVERY_SECONDS}"
    base = base_of(gateway, request)
    return {
        "issuer": gateway.settings.token_issuer,
        "token_endpoint": f"{base}/oauth/token",
        "device_authorization_endpoint": f"{base}/oauth/device_authorization",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "scopes_supported": sorted(scope for one in CLIENTS.values() for scope in one.scopes),
        # Nothing is answered to a browser here; the list may not be empty (RFC 8414 §2).
        "response_types_supported": ["none"],
        "grant_types_supported": [REFRESH, DEVICE],
        "token_endpoint_auth_methods_supported": ["none"],
    }


async def _form(request: Request, gateway: Deps) -> Mapping[str, str]:
    try:
        return await form_of(request)
    except BadForm:
        raise No(INVALID) from None


def _client(request: Request, form: Mapping[str, str]) -> DeviceClient:
    if "authorization" in request.headers:
        # Ours have no secret, so whoever shows one is not one of them.
        raise No(UNKNOWN_CLIENT, 401, {"WWW-Authenticate": 'Basic realm="tillstream"'})
    if "client_id" not in form:
        raise No(INVALID)
    client = CLIENTS.get(form["client_id"])
    if client is None:
        raise No(UNKNOWN_CLIENT)
    return client


async def _granted(gateway: Deps, client: DeviceClient, form: Mapping[str, str]) -> LoggedIn:
    """Raises No, Unavailable."""
    if "grant_type" not in form:
        raise No(INVALID)
    _check_scope(client, form)
    if form["grant_type"] == REFRESH:
        return await _refreshed(gateway, client, _field(form, "refresh_token"))
    if form["grant_type"] == DEVICE:
        return await _collected(gateway, client, _field(form, "device_code"))
    raise No(UNSUPPORTED)


async def _refreshed(gateway: Deps, client: DeviceClient, shown: str) -> LoggedIn:
    try:
        # A token counts for the client that it was given to (RFC 6749 §6): it has that role.
        return await session.refresh(
            gateway.identity, shown, realm=client.realm, roles=[client.role]
        )
    except SessionOver:
        raise No(WORTHLESS) from None


async def _collected(gateway: Deps, client: DeviceClient, shown: str) -> LoggedIn:
    try:
        return await device_grant.collect(gateway.identity, shown, client)
    except GrantRefused as no:
        raise No(no.verdict) from None


def _field(form: Mapping[str, str], name: str) -> str:
    if name not in form:
        raise No(INVALID)
    return form[name]


def _check_scope(client: DeviceClient, form: Mapping[str, str]) -> None:
    """A device has what its kind has, or less is asked than it has; more there is not."""
    if not client.scopes.issuperset(form.get("scope", "").split()):
        raise No(BAD_SCOPE)


async def _spared(gateway: Deps, request: Request, no: No) -> No:
    """What was worth nothing is counted: whoever guesses is told to come back later."""
    if no.error != WORTHLESS:
        return no
    try:
        await _counted(gateway, request, "worthless grant")
    except No as later:
        return later
    return no


async def _counted(gateway: Deps, request: Request, what: str) -> None:
    address = address_of(request, gateway)
    if over := await gateway.limits.hit(Limit.LOGIN, key=what, address=address):
        raise No(LATER, 429, too_many_headers(over.retry_after, over.limit))


def _tokens(gateway: Deps, logged_in: LoggedIn) -> Response:
    access = access_of(gateway, logged_in)
    return _json(
        {
            "access_token": access.bearer,
            "token_type": "Bearer",
            "expires_in": access.seconds,
            "refresh_token": logged_in.refresh_token,
            "scope": " ".join(sorted(logged_in.scopes)),
        }
    )


def _refused(no: No) -> Response:
    return _json({"error": no.error}, no.status, no.headers)


def _json(
    body: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return JSONResponse(body, status, headers={**NOT_KEPT, **(headers or {})})
