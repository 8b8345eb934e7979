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
    """A kiosk that wants in."""

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
    """The next KioskTokens; 401 for a token that is over, and the end of all if it was used."""
    logged_in = await session.refresh(
        gateway.identity, body.refresh_token, realm=Realm.KIOSK, roles=DEVICE_ROLES
    )
    device = body.device_id or await device_of(gateway.identity, logged_in.session_id)
    return _tokens(gateway, logged_in, device)


@kiosk.post("/logout")
async def logout(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """End the session: both tokens are worthless."""
    found = await _itself(gateway, caller)
    await session.revoke(
        gateway.identity,
        session_of(caller),
        reason="logout",
        actor=caller.subject,
        account_id=account_of(caller),
    )
    return {"message": "Logged out successfully", "kiosk_username": name_of(found.person)}


@kiosk.get("/session/validate")
async def validate(caller: Kiosk, request: Request, gateway: Gateway) -> dict[str, Any]:
    """That the token is good, and until when."""
    found = await _itself(gateway, caller)
    expires = claims_in(request.headers.get("authorization"))["exp"]
    return {
        "valid": True,
        "kiosk_username": name_of(found.person),
        "user_id": found.number,
        "device_id": await _device(gateway, caller),
        "expires_at": timestamp(datetime.fromtimestamp(expires, UTC)),
    }


@kiosk.get("/context/payment")
async def payment_context(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """Which kiosk asks to be paid."""
    found = await _itself(gateway, caller)
    context = {
        "kiosk_username": name_of(found.person),
        "kiosk_user_id": found.number,
        "device_id": await _device(gateway, caller),
        "is_active": found.active,
        "role": found.role,
    }
    return {"success": True, "kiosk_context": context, "message": "Payment context"}


@kiosk.get("/status")
async def status(caller: Kiosk, gateway: Gateway) -> dict[str, Any]:
    """What the kiosk is logged in as."""
    found = await _itself(gateway, caller)
    return {
        "kiosk_username": name_of(found.person),
        "user_id": found.number,
        "device_id": await _device(gateway, caller),
        "is_active": found.active,
        "role": found.role,
        "last_login_at": await _last_login(gateway, caller),
        "status": "authenticated",
        "token_type": STATELESS,
    }


@kiosk.get("/health", dependencies=[Depends(public)])
async def health() -> dict[str, Any]:
    """That kiosks can log in here."""
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
    found = await _itself(gateway, caller)
    told = {
        "kiosk_username": name_of(found.person),
        "user_id": found.number,
        "is_active": found.active,
        "last_login_at": await _last_login(gateway, caller),
        "created_at": timestamp(found.opened_at),
        "session_type": STATELESS,
    }
    return {"success": True, "analytics": told, "message": "Kiosk analytics"}


@kiosk.post("/token/prepare-deny-list")
async def prepare_deny_list(caller: Kiosk, request: Request) -> dict[str, Any]:
    """What the token is called; it is denied by its session, which a logout ends."""
    message = "Log out to end the session"
    jti = claims_in(request.headers.get("authorization")).get("jti", caller.session)
    told = {"jti": jti, "deny_list_ready": False, "message": message}
    return {"success": True, "deny_list_preparation": told, "message": message}


router = APIRouter(tags=["kiosk"])
for _prefix in ("/api/v1/kiosk", "/api/v1/api/kiosk"):
    router.include_router(kiosk, prefix=_prefix)


def _tokens(gateway: Deps, logged_in: LoggedIn, device: str | None) -> Response:
    access = access_of(gateway, logged_in, device=device)
    term = gateway.settings.term_of(logged_in.workspace, logged_in.role)
    told = {
        "access_token": access.bearer,
        "refresh_token": logged_in.refresh_token,
        "token_type": "bearer",
        "expires_in": access.seconds,
        "refresh_expires_in": int(term.lifetime.total_seconds()),
        "user": on_device(logged_in, device),
    }
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


async def _itself(gateway: Deps, caller: Principal) -> Member:
    return await load_member(gateway.identity, account_of(caller), workspace_of(caller))


async def _device(gateway: Deps, caller: Principal) -> str | None:
    return await device_of(gateway.identity, session_of(caller)) or None


async def _last_login(gateway: Deps, caller: Principal) -> str | None:
    account_id = account_of(caller)
    logins = await last_logins(gateway.pool, [account_id], workspace=workspace_of(caller))
    return timestamp(logins.get(account_id))
