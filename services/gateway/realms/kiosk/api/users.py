"""Routes of the kiosks' users and of the kiosks themselves (spec kiosk §3.2)."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import StrictBool

from contracts.gateway import AccountId
from libs.http.auth import Principal
from services.gateway.accounts.domain.account import AccountUnknown
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import DEVICE, Role, Workspace
from services.gateway.accounts.handlers.address import owner_in
from services.gateway.accounts.read_models import account as accounts
from services.gateway.administration.handlers.account import open_account
from services.gateway.administration.handlers.member import (
    Member,
    MemberChanges,
    change_member,
    load_member,
    member_of,
    remove_member,
)
from services.gateway.administration.handlers.own_password import change_own_password
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.doors.domain.door import Limit
from services.gateway.realms.kiosk.api.route import Coded, KioskRoute, KioskUserRoute
from services.gateway.realms.kiosk.api.shapes import (
    brief_member,
    check_bytes,
    parse_username,
    user,
    users,
    with_traits,
)
from services.gateway.realms.kiosk.api.user_forms import (
    Change,
    NewAdmin,
    NewKiosk,
    OwnPassword,
    Password,
    Status,
    wanted,
)
from services.gateway.sessions.api.login import attempts_of
from services.gateway.sessions.api.realm_permission import account_of, staff, workspace_of
from services.gateway.sessions.read_models import last_logins

shared = APIRouter(
    prefix="/users", tags=["kiosk"], route_class=KioskUserRoute, dependencies=[ACCOUNTS]
)
kiosks = APIRouter(tags=["kiosk"], route_class=KioskRoute, dependencies=[ACCOUNTS])

Creating = Annotated[Principal, Depends(staff("kiosk:can_create_users"))]
Managing = Annotated[Principal, Depends(staff("kiosk:can_manage_users"))]
Deleting = Annotated[Principal, Depends(staff("kiosk:can_delete_users"))]
Staff = Annotated[Principal, Depends(staff())]
Number = Annotated[int, Path()]


@shared.post("/create-admin/", include_in_schema=False)
@shared.post("/create-admin")
async def create_admin(body: NewAdmin, caller: Creating, gateway: Gateway) -> dict[str, Any]:
    """A new administrator as a UserResponse; 409 if the user name or e-mail address is taken."""
    return await _create(gateway, caller, body, "admin", body.email, body.phone)


@kiosks.post("/kiosk/create", status_code=201)
@kiosks.post("/api/kiosk/create", status_code=201)
async def create_kiosk(body: NewKiosk, caller: Creating, gateway: Gateway) -> dict[str, Any]:
    """A new kiosk as a UserResponse."""
    return await _create(gateway, caller, body, DEVICE, None, None)


@shared.get("", include_in_schema=False)
@shared.get("/")
async def all_users(
    caller: Managing,
    gateway: Gateway,
    skip: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[dict[str, Any]]:
    """UserResponses by number, kiosks too."""
    workspace = workspace_of(caller)
    page = await accounts.in_workspace(gateway.pool, workspace, limit=limit, offset=skip)
    found = [member_of(gateway.identity, row, workspace) for row in page.accounts]
    logins = await last_logins(gateway.pool, [one.account_id for one in found], workspace=workspace)
    return users(found, logins)


@shared.patch("/status/{username}/", include_in_schema=False)
@shared.patch("/status/{username}")
async def set_status(
    username: str,
    body: Annotated[StrictBool | Status, Body()],
    caller: Managing,
    gateway: Gateway,
) -> dict[str, Any]:
    """Let somebody log in or not; 400 for oneself, or if it is so already."""
    active = body if isinstance(body, bool) else body.is_active
    address = parse_username(username)
    found = await owner_in(gateway.identity, address, workspace_of(caller)) if address else None
    if found is None:
        raise AccountUnknown
    if not active and found == account_of(caller):
        raise Coded(400, "OWN_ACCOUNT", "You cannot deactivate your own account")
    if (await load_member(gateway.identity, found, workspace_of(caller))).active == active:
        raise Coded(400, "ALREADY_SO", "The account is in this state already")
    changed = await _changed(gateway, caller, found, MemberChanges(active=active))
    message = "The account is active" if active else "The account is not active any more"
    return {"message": message, "user": brief_member(changed)}


@shared.post("/me/password")
async def own_password(
    body: OwnPassword, caller: Staff, request: Request, gateway: Gateway
) -> dict[str, Any]:
    """Change one's own password; 400 if the present one is wrong. Everybody logs in again."""
    await attempts_of(gateway, request).count(Limit.LOGIN, caller.subject)
    check_bytes(body.new_password)
    await change_own_password(
        gateway.identity,
        account_of(caller),
        realm=caller.kind,
        session=caller.session,
        old=body.current_password,
        new=body.new_password,
    )
    return {"message": "The password was changed, log in again"}


@shared.get("/{user_id}/", include_in_schema=False)
@shared.get("/{user_id}")
async def one_user(user_id: Number, caller: Managing, gateway: Gateway) -> dict[str, Any]:
    """A UserResponse."""
    found = await load_member(
        gateway.identity, await _known(gateway, user_id), workspace_of(caller)
    )
    return await _present(gateway, found, workspace_of(caller))


@shared.put("/{user_id}/", include_in_schema=False)
@shared.put("/{user_id}")
async def change_user(
    user_id: Number, body: Change, caller: Managing, gateway: Gateway
) -> dict[str, Any]:
    """Change what is given; what is null is not there any more."""
    known = await _known(gateway, user_id)
    now = await load_member(gateway.identity, known, workspace_of(caller))
    changed = await _changed(gateway, caller, known, wanted(body, now))
    return await _present(gateway, changed, workspace_of(caller))


@shared.post("/{user_id}/password")
async def reset_password(
    user_id: Number, body: Password, caller: Managing, gateway: Gateway
) -> dict[str, Any]:
    """Give somebody another password; they log in again."""
    check_bytes(body.new_password)
    known = await _known(gateway, user_id)
    await _changed(gateway, caller, known, MemberChanges(password=body.new_password))
    return {"message": "The password was changed"}


@shared.delete("/{user_id}/", include_in_schema=False)
@shared.delete("/{user_id}")
async def delete_user(user_id: Number, caller: Deleting, gateway: Gateway) -> dict[str, Any]:
    """Let somebody be gone; 400 for oneself."""
    known, workspace = await _known(gateway, user_id), workspace_of(caller)
    if known == account_of(caller):
        raise Coded(400, "OWN_ACCOUNT", "You cannot delete your own account")
    await remove_member(gateway.identity, known, workspace, actor=caller.subject)
    return {"message": "The user was deleted"}


router = APIRouter(prefix="/api/v1")
router.include_router(shared)
router.include_router(kiosks)


async def _create(
    gateway: Deps,
    caller: Principal,
    body: NewKiosk,
    role: str,
    email: str | None,
    phone: str | None,
) -> dict[str, Any]:
    check_bytes(body.password)
    workspace = workspace_of(caller)
    person = Person(username=body.username, email=email)
    made = await open_account(
        gateway.identity,
        with_traits(person, phone=phone, verified=body.is_verified),
        password=body.password,
        roles=[Role(workspace, role)],
        actor=caller.subject,
        active=body.is_active,
    )
    found = await load_member(gateway.identity, made.account_id, workspace)
    return user(found, None)


async def _known(gateway: Deps, number: int) -> AccountId:
    """Whose number it is; whether they are this administrator's to see is for `member` to say."""
    row = await accounts.by_number(gateway.pool, number)
    if row is None:
        raise AccountUnknown
    return row.account_id


async def _changed(
    gateway: Deps, caller: Principal, account_id: AccountId, changes: MemberChanges
) -> Member:
    workspace, actor = workspace_of(caller), caller.subject
    return await change_member(gateway.identity, account_id, workspace, changes, actor=actor)


async def _present(gateway: Deps, found: Member, workspace: Workspace) -> dict[str, Any]:
    logins = await last_logins(gateway.pool, [found.account_id], workspace=workspace)
    return user(found, logins.get(found.account_id))
