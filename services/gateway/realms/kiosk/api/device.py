"""Login, refresh and state of a kiosk itself (spec kiosk §3.4), by both old prefixes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from libs.http.auth import Principal, public
from services.gateway.accounts.domain.realm import KIOSK_ITSELF, Realm
from services.gateway.administration.handlers.member import load_member
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.timestamp import timestamp
from services.gateway.realms.kiosk.api.route import KioskRoute
from services.gateway.realms.kiosk.api.users import Given, Username, brief, name_of, parse_username
from services.gateway.sessions.api.login import Logins, log_out, token_answer
from services.gateway.sessions.api.realm_permission import (
    RealmPermission,
    account_of,
    session_of,
    workspace_of,
)
from services.gateway.sessions.api.realm_route import claims_in
from services.gateway.sessions.handlers.authorization import device_of
from services.gateway.sessions.handlers.session import LoggedIn
from services.gateway.sessions.read_models import last_logins

kiosk = APIRouter(route_class=KioskRoute, dependencies=[SESSIONS])

Kiosk = Annotated[Principal, Depends(RealmPermission(Realm.KIOSK, within="kiosk:device"))]
# Without control characters: the log cannot hold a NUL.
DeviceId = Annotated[str | None, Field(max_length=100, pattern=r"^[^\x00-\x1f]*$")]

LOGIN: Final = Logins(realm=Realm.KIOSK, parse=parse_username, roles={KIOSK_ITSELF})
STATELESS: Final = "stateless_jwt"


class KioskLogin(BaseModel):
    """A login of a kiosk itself."""

    username: Username
    password: Given
    device_id: DeviceId = None


class Refresh(BaseModel):
    """The token to exchange. A `device_id` is repeated in the answer; the session keeps its own."""

    refresh_token: str = Field(max_length=8192)
    device_id: DeviceId = None


@kiosk.post("/login", dependencies=[Depends(public)])
async def login(body: KioskLogin, request: Request, gateway: Gateway) -> Response:
    """Log in as a kiosk: a pair of tokens; 401 whatever is wrong, for staff as well."""
    device = body.device_id or ""
    logged_in = await LOGIN.enter(gateway, request, body.username, body.password, device)
    return _tokens(gateway, logged_in, body.device_id)


@kiosk.post("/refresh", dependencies=[Depends(public)])
async def refresh(body: Refresh, gateway: Gateway) -> Response:
    """Exchange the refresh token for the next pair; 401 for an invalid one.

    A reused token ends the session."""
    logged_in = await LOGIN.refresh(gateway, body.refresh_token)
    device = body.device_id or await device_of(gateway.identity, logged_in.session_id)
    return _tokens(gateway, logged_in, device)


@kiosk.post("/logout")
async def logout(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """End the session: both tokens are worthless."""
    itself = await _itself(gateway, caller, "kiosk_username")
    await log_out(gateway, caller)
    return {"message": "Logged out successfully", **itself}


@kiosk.get("/session/validate")
async def validate(caller: Kiosk, request: Request, gateway: Gateway) -> dict[str, Any]:
    """Whether the token is valid, and until when."""
    itself = await _itself(gateway, caller, "kiosk_username", "user_id", "device_id")
    expires = claims_in(request.headers.get("authorization"))["exp"]
    return {
        "valid": True,
        **itself,
        "expires_at": timestamp(datetime.fromtimestamp(expires, UTC)),
    }


@kiosk.get("/context/payment")
async def payment_context(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """Read the kiosk that requests a payment."""
    names = ("kiosk_username", "kiosk_user_id", "device_id", "is_active", "role")
    context = await _itself(gateway, caller, *names)
    return {"success": True, "kiosk_context": context, "message": "Payment context"}


@kiosk.get("/status")
async def status(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """The account and session of the kiosk."""
    names = ("kiosk_username", "user_id", "device_id", "is_active", "role", "last_login_at")
    itself = await _itself(gateway, caller, *names)
    return {**itself, "status": "authenticated", "token_type": STATELESS}


@kiosk.get("/health", dependencies=[Depends(public)])
async def health() -> dict[str, Any]:
    """Whether kiosks can log in."""
    features = {
        "extended_tokens": True,
        "device_tracking": True,
        "payment_context": True,
        "deny_list_ready": False,
    }
    return {
        "service": "kiosk_authentication",
        "status": "healthy",
        "version": "1.0.0",
        "token_type": STATELESS,
        "features": features,
    }


@kiosk.get("/analytics/basic")
async def analytics(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """Since when the kiosk is known, and when it logged in."""
    names = ("kiosk_username", "user_id", "is_active", "last_login_at", "created_at")
    fields = {**await _itself(gateway, caller, *names), "session_type": STATELESS}
    return {"success": True, "analytics": fields, "message": "Kiosk analytics"}


@kiosk.post("/token/prepare-deny-list")
async def prepare_deny_list(caller: Kiosk, request: Request) -> dict[str, Any]:
    """Read the id of the token. There is no deny list: a logout ends the token's session."""
    message = "Log out to end the session"
    jti = claims_in(request.headers.get("authorization")).get("jti", caller.session)
    fields = {"jti": jti, "deny_list_ready": False, "message": message}
    return {"success": True, "deny_list_preparation": fields, "message": message}


router = APIRouter(tags=["kiosk"])
for _prefix in ("/api/v1/kiosk", "/api/v1/api/kiosk"):
    router.include_router(kiosk, prefix=_prefix)


def _tokens(gateway: Deps, logged_in: LoggedIn, device: str | None) -> Response:
    term = gateway.settings.term_of(logged_in.workspace, logged_in.role)
    user = brief(logged_in.account, logged_in.role)
    del user["email"]
    return token_answer(
        gateway,
        logged_in,
        device=device,
        refresh_expires_in=int(term.lifetime.total_seconds()),
        user=user | {"device_id": device or None},
    )


async def _itself(gateway: Deps, caller: Principal, *names: str) -> Mapping[str, Any]:
    """These fields of the kiosk."""
    account_id, workspace = account_of(caller), workspace_of(caller)
    member = await load_member(gateway.identity, account_id, workspace)
    fields = {
        "kiosk_username": name_of(member.person),
        "user_id": member.number,
        "kiosk_user_id": member.number,
        "is_active": member.active,
        "role": member.role,
        "created_at": timestamp(member.opened_at),
    }
    if "device_id" in names:
        fields["device_id"] = await device_of(gateway.identity, session_of(caller)) or None
    if "last_login_at" in names:
        logins = await last_logins(gateway.system, [account_id], workspace=workspace)
        fields["last_login_at"] = timestamp(logins.get(account_id))
    return {name: fields[name] for name in names}
