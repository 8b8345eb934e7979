"""Routes of the kiosks' users and of the kiosks themselves (spec kiosk §3.2)."""

from dataclasses import replace
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel, EmailStr, Field, StrictBool, StringConstraints

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
    PHONE,
    Given,
    Phone,
    Username,
    brief_member,
    check_bytes,
    is_verified,
    parse_username,
    user,
    users,
    with_traits,
)
from services.gateway.sessions.api.login import attempts_of
from services.gateway.sessions.api.realm_permission import account_of, staff, workspace_of
from services.gateway.sessions.read_models import last_logins

NewPassword: TypeAlias = Annotated[str, StringConstraints(min_length=8, max_length=100)]


class NewKiosk(BaseModel):
    """A new kiosk."""

    username: Username
    password: NewPassword
    is_active: bool = True
    is_verified: bool = False


class NewAdmin(NewKiosk):
    """A new administrator."""

    email: EmailStr | None = None
    phone: Phone | None = None


class Status(BaseModel):
    """Whether a user may log in."""

    is_active: StrictBool


class OwnPassword(BaseModel):
    """The present and the new password."""

    current_password: Given
    new_password: NewPassword


class Password(BaseModel):
    """The new password of a user."""

    new_password: NewPassword


class Change(BaseModel):
    """Changes of a user. Fields that are missing stay; null clears optional ones."""

    username: Username = Field(default="")
    email: EmailStr | None = None
    phone: Phone | None = None
    is_active: bool = True
    is_verified: bool = False
    role_name: str = Field(default="", max_length=100)


def changes_of(body: Change, current: Member) -> MemberChanges:
    """The changes that a request asks for."""
    given = body.model_fields_set
    return MemberChanges(
        person=_person(body, current.person),
        role=body.role_name if "role_name" in given else None,
        active=body.is_active if "is_active" in given else None,
    )


def _person(body: Change, current: Person) -> Person:
    given = body.model_fields_set
    person = replace(
        current,
        username=body.username if "username" in given else current.username,
        email=body.email if "email" in given else current.email,
    )
    return with_traits(
        person,
        phone=body.phone if "phone" in given else current.traits.get(PHONE),
        verified=body.is_verified if "is_verified" in given else is_verified(current),
    )


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
    page = await accounts.in_workspace(gateway.system, workspace, limit=limit, offset=skip)
    members = [member_of(gateway.identity, row, workspace) for row in page.accounts]
    logins = await last_logins(
        gateway.system, [one.account_id for one in members], workspace=workspace
    )
    return users(members, logins)


@shared.patch("/status/{username}/", include_in_schema=False)
@shared.patch("/status/{username}")
async def set_status(
    username: str,
    body: Annotated[StrictBool | Status, Body()],
    caller: Managing,
    gateway: Gateway,
) -> dict[str, Any]:
    """Activate or deactivate a user; 400 for oneself, or if the status does not change."""
    active = body if isinstance(body, bool) else body.is_active
    address = parse_username(username)
    workspace = workspace_of(caller)
    account_id = await owner_in(gateway.identity, address, workspace) if address else None
    if account_id is None:
        raise AccountUnknown
    if not active and account_id == account_of(caller):
        raise Coded(400, "OWN_ACCOUNT", "You cannot deactivate your own account")
    if (await load_member(gateway.identity, account_id, workspace)).active == active:
        raise Coded(400, "ALREADY_SO", "The account is in this state already")
    changed = await _changed(gateway, caller, account_id, MemberChanges(active=active))
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
    member = await load_member(
        gateway.identity, await _known(gateway, user_id), workspace_of(caller)
    )
    return await _present(gateway, member, workspace_of(caller))


@shared.put("/{user_id}/", include_in_schema=False)
@shared.put("/{user_id}")
async def change_user(
    user_id: Number, body: Change, caller: Managing, gateway: Gateway
) -> dict[str, Any]:
    """Change the given fields; null clears optional ones."""
    known = await _known(gateway, user_id)
    current = await load_member(gateway.identity, known, workspace_of(caller))
    changed = await _changed(gateway, caller, known, changes_of(body, current))
    return await _present(gateway, changed, workspace_of(caller))


@shared.post("/{user_id}/password")
async def reset_password(
    user_id: Number, body: Password, caller: Managing, gateway: Gateway
) -> dict[str, Any]:
    """Set another password of a user; their sessions end."""
    check_bytes(body.new_password)
    known = await _known(gateway, user_id)
    await _changed(gateway, caller, known, MemberChanges(password=body.new_password))
    return {"message": "The password was changed"}


@shared.delete("/{user_id}/", include_in_schema=False)
@shared.delete("/{user_id}")
async def delete_user(user_id: Number, caller: Deleting, gateway: Gateway) -> dict[str, Any]:
    """Delete a user; 400 for oneself."""
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
    account = await open_account(
        gateway.identity,
        with_traits(person, phone=phone, verified=body.is_verified),
        password=body.password,
        roles=[Role(workspace, role)],
        actor=caller.subject,
        active=body.is_active,
    )
    member = await load_member(gateway.identity, account.account_id, workspace)
    return user(member, None)


async def _known(gateway: Deps, number: int) -> AccountId:
    """The account with this number. `load_member` checks that it is in the workspace."""
    row = await accounts.by_number(gateway.system, number)
    if row is None:
        raise AccountUnknown
    return row.account_id


async def _changed(
    gateway: Deps, caller: Principal, account_id: AccountId, changes: MemberChanges
) -> Member:
    workspace, actor = workspace_of(caller), caller.subject
    return await change_member(gateway.identity, account_id, workspace, changes, actor=actor)


async def _present(gateway: Deps, member: Member, workspace: Workspace) -> dict[str, Any]:
    logins = await last_logins(gateway.system, [member.account_id], workspace=workspace)
    return user(member, logins.get(member.account_id))
