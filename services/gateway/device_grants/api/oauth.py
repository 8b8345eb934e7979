"""OAuth 2 for the programs on devices: tokens (RFC 6749), device grants (RFC 8628), discovery.

Clients are public and known by their id. There is no password grant: people log in at their door,
and devices are approved on the approval page.
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
from services.gateway.device_grants.handlers.grant import DeviceInfo
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


class OAuthError(Exception):
    """An error response of RFC 6749 §5.2, with the code `error`."""

    def __init__(
        self, error: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.headers = headers or {}


@router.post("/oauth/token")
async def token(request: Request, gateway: Gateway) -> Response:
    """Exchange a refresh token or the code of an approved device for tokens; else an `error`."""
    try:
        form = await _form(request, gateway)
        client = _client(request, form)
        logged_in = await _granted(gateway, client, form)
    except OAuthError as error:
        return _refused(await _counted_failure(gateway, request, error))
    return _tokens(gateway, logged_in)


@router.post("/oauth/device_authorization")
async def device_authorization(request: Request, gateway: Gateway) -> Response:
    """Request two codes to have a device approved; the approver sees the `device_name`."""
    try:
        await _counted(gateway, request, "device authorization")
        form = await _form(request, gateway)
        client = _client(request, form)
        _check_scope(client, form)
    except OAuthError as error:
        return _refused(error)
    info = DeviceInfo(
        label=form.get("device_name", ""),
        address=address_of(request, gateway),
        agent=request.headers.get("user-agent", "")[:MAX_AGENT],
    )
    codes = await device_grant.request_codes(gateway.identity, client, info)
    token, page = display_code(codes.user_code), f"{base_of(gateway, request)}{APPROVAL}"
    return _json(
        {
            "device_code": codes.device_code,
            "user_code": token,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={token}",
            "expires_in": int(codes.lifetime.total_seconds()),
            "interval": codes.pause,
        }
    )


@router.get("/.well-known/oauth-authorization-server")
async def discovery(request: Request, gateway: Gateway, response: Response) -> dict[str, Any]:
    """The metadata of the authorization server (RFC 8414)."""
    if gateway.settings.public_url is not None:
        response.headers["Cache-Control"] = f"public, max-age={DISCOVERY_SECONDS}"
    base = base_of(gateway, request)
    return {
        "issuer": gateway.settings.token_issuer,
        "token_endpoint": f"{base}/oauth/token",
        "device_authorization_endpoint": f"{base}/oauth/device_authorization",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "scopes_supported": sorted(scope for one in CLIENTS.values() for scope in one.scopes),
        # There is no authorization endpoint, but the list may not be empty (RFC 8414 §2).
        "response_types_supported": ["none"],
        "grant_types_supported": [REFRESH, DEVICE],
        "token_endpoint_auth_methods_supported": ["none"],
    }


async def _form(request: Request, gateway: Deps) -> Mapping[str, str]:
    try:
        return await form_of(request)
    except BadForm:
        raise OAuthError(INVALID) from None


def _client(request: Request, form: Mapping[str, str]) -> DeviceClient:
    if "authorization" in request.headers:
        # Clients have no secret, so one that sends a secret is unknown.
        raise OAuthError(UNKNOWN_CLIENT, 401, {"WWW-Authenticate": 'Basic realm="tillstream"'})
    if "client_id" not in form:
        raise OAuthError(INVALID)
    client = CLIENTS.get(form["client_id"])
    if client is None:
        raise OAuthError(UNKNOWN_CLIENT)
    return client


async def _granted(gateway: Deps, client: DeviceClient, form: Mapping[str, str]) -> LoggedIn:
    """Raises OAuthError, Unavailable."""
    if "grant_type" not in form:
        raise OAuthError(INVALID)
    _check_scope(client, form)
    if form["grant_type"] == REFRESH:
        return await _refreshed(gateway, client, _field(form, "refresh_token"))
    if form["grant_type"] == DEVICE:
        return await _redeemed(gateway, client, _field(form, "device_code"))
    raise OAuthError(UNSUPPORTED)


async def _refreshed(gateway: Deps, client: DeviceClient, token: str) -> LoggedIn:
    try:
        # A token is bound to its client (RFC 6749 §6), which has this role.
        return await session.refresh(
            gateway.identity, token, realm=client.realm, roles=[client.role]
        )
    except SessionOver:
        raise OAuthError(WORTHLESS) from None


async def _redeemed(gateway: Deps, client: DeviceClient, device_code: str) -> LoggedIn:
    try:
        return await device_grant.redeem(gateway.identity, device_code, client)
    except GrantRefused as error:
        raise OAuthError(error.verdict) from None


def _field(form: Mapping[str, str], name: str) -> str:
    if name not in form:
        raise OAuthError(INVALID)
    return form[name]


def _check_scope(client: DeviceClient, form: Mapping[str, str]) -> None:
    """Raises OAuthError if the requested scope exceeds that of the client."""
    if not client.scopes.issuperset(form.get("scope", "").split()):
        raise OAuthError(BAD_SCOPE)


async def _counted_failure(gateway: Deps, request: Request, error: OAuthError) -> OAuthError:
    """Count an invalid grant; after too many the error is `temporarily_unavailable`."""
    if error.error != WORTHLESS:
        return error
    try:
        await _counted(gateway, request, "worthless grant")
    except OAuthError as limited:
        return limited
    return error


async def _counted(gateway: Deps, request: Request, what: str) -> None:
    address = address_of(request, gateway)
    if over := await gateway.limits.hit(Limit.LOGIN, key=what, address=address):
        raise OAuthError(LATER, 429, too_many_headers(over.retry_after, over.limit))


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


def _refused(error: OAuthError) -> Response:
    return _json({"error": error.error}, error.status, error.headers)


def _json(
    body: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return JSONResponse(body, status, headers={**NOT_KEPT, **(headers or {})})
