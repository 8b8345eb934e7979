"""The first superadmin of the kiosks (spec kiosk §3.1)."""

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, EmailStr, StringConstraints

from libs.http.auth import public
from services.gateway.accounts.domain.account import AlreadySetUp
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import PLATFORM_WORKSPACE, Realm, Workspace
from services.gateway.administration.api.users import YES
from services.gateway.administration.handlers.account import is_set_up, set_up
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import NEWCOMERS
from services.gateway.realms.kiosk.api.login import welcome
from services.gateway.realms.kiosk.api.route import Coded, KioskRoute
from services.gateway.realms.kiosk.api.users import (
    FACE,
    MAX_PASSWORD_BYTES,
    TRAITS,
    Phone,
    Username,
    check_password,
)
from services.gateway.sessions.api.login import attempts_of, device_of
from services.gateway.sessions.handlers.attempts import Attempts
from services.gateway.sessions.handlers.session import open_session

router = APIRouter(
    prefix="/api/v1/setup",
    tags=["kiosk"],
    route_class=KioskRoute,
    dependencies=[Depends(public), NEWCOMERS],
)


class FirstSuperadmin(BaseModel):
    """The first superadmin."""

    username: Username
    password: Annotated[str, StringConstraints(min_length=8, max_length=MAX_PASSWORD_BYTES)]
    email: EmailStr | None = None
    phone: Phone | None = None


@router.get("/status")
async def status(gateway: Gateway) -> dict[str, Any]:
    """Whether the first superadmin has to be created, and the endpoint to continue."""
    done = await _is_done(gateway)
    return {
        "setup_required": not done,
        "has_superadmin": done,
        "message": "Log in" if done else "Create the first superadmin",
        "endpoint": "/api/v1/auth/login" if done else "/api/v1/setup/superadmin",
    }


@router.post("/superadmin")
async def superadmin(
    body: FirstSuperadmin,
    request: Request,
    gateway: Gateway,
    x_setup_code: Annotated[str, Header(max_length=1000)] = "",
) -> Response:
    """Create the first superadmin, and log in; 409 if there is one, 401 without the setup code if
    one is configured."""
    if await _is_done(gateway):
        raise AlreadySetUp
    attempts = attempts_of(gateway, request)
    await _check_code(gateway, x_setup_code, attempts)
    check_password(body.password)
    workspace = Workspace(Realm.KIOSK, gateway.settings.people_tenant)
    verified = Person(traits={TRAITS["is_verified"]: YES})
    # Serialised: all but the first are refused before the work of hashing.
    async with gateway.identity.locks.hold("set-up"):
        if await _is_done(gateway):
            raise AlreadySetUp
        account = await set_up(
            gateway.identity,
            FACE.person(verified, body),
            password=body.password,
            workspace=workspace,
            source=attempts.newcomer(),
        )
    logged_in = await open_session(
        gateway.identity, account.account_id, workspace, device=device_of(request)
    )
    return welcome(request, gateway, logged_in)


async def _is_done(gateway: Deps) -> bool:
    """Whether the kiosks have a superadmin, or the platform has, by the command line."""
    here = Workspace(Realm.KIOSK, gateway.settings.people_tenant)
    return await is_set_up(gateway.identity, here) or await is_set_up(
        gateway.identity, PLATFORM_WORKSPACE
    )


async def _check_code(gateway: Deps, setup_code: str, attempts: Attempts) -> None:
    """Check the setup code. Wrong ones count as failures of the address, which limit right ones."""
    code = gateway.settings.setup_code
    if code is None:
        return
    await attempts.check_failures()
    if not hmac.compare_digest(setup_code.encode(), code.get_secret_value().encode()):
        await attempts.failed()
        raise Coded(401, "INVALID_CREDENTIALS", "The setup code is wrong or missing")
