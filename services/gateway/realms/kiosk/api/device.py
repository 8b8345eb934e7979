"""Login, refresh and state of a kiosk itself (spec kiosk §3.4), by both old prefixes."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from libs.http.auth import Principal, public
from services.gateway.accounts.domain.realm import Realm
from services.gateway.administration.handlers.member import Member, load_member
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.timestamp import timestamp
from services.gateway.realms.kiosk.api.route import KioskRoute
from services.gateway.realms.kiosk.api.shapes import (
    DEVICE_ROLES,
    Given,
    Username,
    name_of,
    on_device,
    parse_username,
)
from services.gateway.sessions.api.login import access_of, attempts_of
from services.gateway.sessions.api.realm_permission import (
    account_of,
    on_kiosk,
    session_of,
    workspace_of,
)
from services.gateway.sessions.api.realm_route import claims_in
from services.gateway.sessions.handlers import session
from services.gateway.sessions.handlers.authorization import device_of
from services.gateway.sessions.handlers.login import log_in
from services.gateway.sessions.handlers.session import LoggedIn
from services.gateway.sessions.read_models import last_logins

kiosk = APIRouter(route_class=KioskRoute, dependencies=[SESSIONS])

Kiosk = Annotated[Principal, Depends(on_kiosk())]
# Without control characters: the log cannot hold a NUL.
DeviceId = Annotated[str | None, Field(max_length=100, pattern=r"^[^\x00-\x1f]*$")]

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
    """KioskTokens; 401 whatever is wrong, for a member of staff as well."""
    logged_in = await log_in(
        gateway.identity,
        realm=Realm.KIOSK,
        tenant=gateway.settings.people_tenant,
        address=parse_username(body.username),
        password=body.password,
        device=body.device_id or "",
        roles=DEVICE_ROLES,
        attempts=attempts_of(gateway, request),
    )
    return _tokens(gateway, logged_in, body.device_id)


@kiosk.post("/refresh", dependencies=[Depends(public)])
async def refresh(body: Refresh, gateway: Gateway) -> Response:
    """The next KioskTokens; 401 for an invalid token. A reused token ends the session."""
    logged_in = await session.refresh(
        gateway.identity, body.refresh_token, realm=Realm.KIOSK, roles=DEVICE_ROLES
    )
    device = body.device_id or await device_of(gateway.identity, logged_in.session_id)
    return _tokens(gateway, logged_in, device)


@kiosk.post("/logout")
async def logout(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """End the session: both tokens are worthless."""
    member = await _itself(gateway, caller)
    await session.revoke(
        gateway.identity,
        session_of(caller),
        reason="logout",
        actor=caller.subject,
        account_id=account_of(caller),
    )
    return {"message": "Logged out successfully", "kiosk_username": name_of(member.person)}


@kiosk.get("/session/validate")
async def validate(caller: Kiosk, request: Request, gateway: Gateway) -> dict[str, Any]:
    """Whether the token is valid, and until when."""
    member = await _itself(gateway, caller)
    expires = claims_in(request.headers.get("authorization"))["exp"]
    return {
        "valid": True,
        "kiosk_username": name_of(member.person),
        "user_id": member.number,
        "device_id": await _device(gateway, caller),
        "expires_at": timestamp(datetime.fromtimestamp(expires, UTC)),
    }


@kiosk.get("/context/payment")
async def payment_context(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """The kiosk that asks for a payment."""
    member = await _itself(gateway, caller)
    context = {
        "kiosk_username": name_of(member.person),
        "kiosk_user_id": member.number,
        "device_id": await _device(gateway, caller),
        "is_active": member.active,
        "role": member.role,
    }
    return {"success": True, "kiosk_context": context, "message": "Payment context"}


@kiosk.get("/status")
async def status(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """The account and session of the kiosk."""
    member = await _itself(gateway, caller)
    return {
        "kiosk_username": name_of(member.person),
        "user_id": member.number,
        "device_id": await _device(gateway, caller),
        "is_active": member.active,
        "role": member.role,
        "last_login_at": await _last_login(gateway, caller),
        "status": "authenticated",
        "token_type": STATELESS,
    }


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
    member = await _itself(gateway, caller)
    fields = {
        "kiosk_username": name_of(member.person),
        "user_id": member.number,
        "is_active": member.active,
        "last_login_at": await _last_login(gateway, caller),
        "created_at": timestamp(member.opened_at),
        "session_type": STATELESS,
    }
    return {"success": True, "analytics": fields, "message": "Kiosk analytics"}


@kiosk.post("/token/prepare-deny-list")
async def prepare_deny_list(caller: Kiosk, request: Request) -> dict[str, Any]:
    """The id of the token. There is no deny list: a logout ends the token's session."""
    message = "Log out to end the session"
    jti = claims_in(request.headers.get("authorization")).get("jti", caller.session)
    fields = {"jti": jti, "deny_list_ready": False, "message": message}
    return {"success": True, "deny_list_preparation": fields, "message": message}


router = APIRouter(tags=["kiosk"])
for _prefix in ("/api/v1/kiosk", "/api/v1/api/kiosk"):
    router.include_router(kiosk, prefix=_prefix)


def _tokens(gateway: Deps, logged_in: LoggedIn, device: str | None) -> Response:
    access = access_of(gateway, logged_in, device=device)
    term = gateway.settings.term_of(logged_in.workspace, logged_in.role)
    fields = {
        "access_token": access.bearer,
        "refresh_token": logged_in.refresh_token,
        "token_type": "bearer",
        "expires_in": access.seconds,
        "refresh_expires_in": int(term.lifetime.total_seconds()),
        "user": on_device(logged_in, device),
    }
    return JSONResponse(fields, headers={"Cache-Control": "no-store"})


async def _itself(gateway: Deps, caller: Principal) -> Member:
    return await load_member(gateway.identity, account_of(caller), workspace_of(caller))


async def _device(gateway: Deps, caller: Principal) -> str | None:
    return await device_of(gateway.identity, session_of(caller)) or None


async def _last_login(gateway: Deps, caller: Principal) -> str | None:
    account_id = account_of(caller)
    logins = await last_logins(gateway.system, [account_id], workspace=workspace_of(caller))
    return timestamp(logins.get(account_id))
