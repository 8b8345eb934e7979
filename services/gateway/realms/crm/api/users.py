"""Routes of the crm's users (spec crm §2, §3.2)."""

from collections.abc import Set
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, EmailStr, Field, StringConstraints

from contracts.gateway import AccountId
from libs.http.auth import Principal
from libs.names import comparable
from services.gateway.accounts.domain.account import PasswordUnfit, WrongPassword
from services.gateway.accounts.domain.person import BadAddress, Person
from services.gateway.accounts.domain.realm import Role, Workspace, scopes_of
from services.gateway.accounts.read_models import account as accounts
from services.gateway.administration.handlers.account import open_account
from services.gateway.administration.handlers.member import (
    Member,
    MemberChanges,
    change_member,
    load_member,
    member_of,
)
from services.gateway.administration.handlers.own_password import change_own_password
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.doors.api.timestamp import timestamp
from services.gateway.doors.domain.door import Limit
from services.gateway.realms.crm.api.route import CrmUserRoute, invalid
from services.gateway.sessions.api.login import attempts_of
from services.gateway.sessions.api.realm_permission import account_of, in_crm, workspace_of
from services.gateway.sessions.read_models import last_logins

RoleName: TypeAlias = Literal["ADMIN", "SUPERVISOR", "ENGINEER"]
Password: TypeAlias = Annotated[str, StringConstraints(min_length=8, max_length=128)]
FullName: TypeAlias = Annotated[str, StringConstraints(min_length=2, max_length=255)]
Phone: TypeAlias = Annotated[str, Field(max_length=20)]

TRAITS: Final = {"phone": "crm.phone", "city_id": "crm.city_id", "district_id": "crm.district_id"}
"""The traits of a person that only the crm stores, by field. The phone does not identify accounts.
"""


class Traits(BaseModel):
    """Optional fields of a user."""

    phone: Phone | None = None
    city_id: UUID | None = None
    district_id: UUID | None = None


class NewUser(Traits):
    """A new user."""

    email: EmailStr
    password: Password
    full_name: FullName
    role: RoleName
    is_active: bool = True


class Change(Traits):
    """Changes of a user. Fields that are missing stay; required ones cannot be null."""

    email: EmailStr = ""
    password: Password = ""
    full_name: FullName = ""
    role: RoleName = "ENGINEER"
    is_active: bool = True


class OwnPassword(BaseModel):
    """The present and the new password."""

    current_password: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    new_password: Password


def with_traits(person: Person, body: Traits, given: Set[str]) -> Person:
    """Apply the traits whose fields were present in the request."""
    fields = {TRAITS[field]: getattr(body, field) for field in given & TRAITS.keys()}
    others = {name: value for name, value in person.traits.items() if name not in fields}
    present = {name: str(value) for name, value in fields.items() if value is not None}
    return replace(person, traits=others | present)


def changes_of(body: Change, current: Member) -> MemberChanges:
    """The changes that a request asks for."""
    given = body.model_fields_set
    person = replace(
        current.person,
        email=body.email if "email" in given else current.person.email,
        name=body.full_name if "full_name" in given else current.person.name,
    )
    return MemberChanges(
        person=with_traits(person, body, given),
        role=body.role if "role" in given else None,
        active=body.is_active if "is_active" in given else None,
        password=body.password if "password" in given else None,
    )


def user(member: Member, last_login: datetime | None) -> dict[str, Any]:
    """A user in the form of the clients. `city` and `district` are not known to the gateway."""
    traits = {field: member.person.traits.get(name) for field, name in TRAITS.items()}
    return {
        "id": str(member.account_id),
        "email": member.person.email or "",
        "full_name": member.person.name,
        "role": member.role,
        **traits,
        "city": None,
        "district": None,
        "is_active": member.active,
        "last_login_at": timestamp(last_login),
        "created_at": timestamp(member.opened_at),
        "updated_at": timestamp(member.changed_at),
    }


router = APIRouter(
    prefix="/api/v1/users", tags=["crm"], route_class=CrmUserRoute, dependencies=[ACCOUNTS]
)

AnyUser = Annotated[Principal, Depends(in_crm())]
Reading = Annotated[Principal, Depends(in_crm("users:read"))]
Writing = Annotated[Principal, Depends(in_crm("users:write"))]

MOST: Final = 1000
UNFIT: Final = "This e-mail address or password cannot be used"


@router.get("/me/", include_in_schema=False)
@router.get("/me")
async def me(caller: AnyUser, gateway: Gateway) -> dict[str, Any]:
    """The caller, with the scopes of their role."""
    workspace = workspace_of(caller)
    member = await load_member(gateway.identity, account_of(caller), workspace)
    return await _present(gateway, member, workspace) | {
        "scopes": sorted(scopes_of(workspace.realm, member.role))
    }


@router.post("/me/password")
async def own_password(
    body: OwnPassword, caller: AnyUser, request: Request, gateway: Gateway
) -> Response:
    """Change one's own password; 422 if the present one is wrong. Everybody logs in again."""
    await attempts_of(gateway, request).count(Limit.LOGIN, caller.subject)
    try:
        await change_own_password(
            gateway.identity,
            account_of(caller),
            realm=caller.kind,
            session=caller.session,
            old=body.current_password,
            new=body.new_password,
        )
    except WrongPassword as error:
        return invalid(str(error), {"current_password": str(error)})
    return JSONResponse({"message": "Password changed, log in again"})


@router.get("/supervisors/", include_in_schema=False)
@router.get("/supervisors")
async def supervisors(
    caller: Reading, gateway: Gateway, q: Annotated[str, Query(max_length=255)] = ""
) -> list[dict[str, Any]]:
    """All supervisors, inactive ones too, whose name or address holds `q`."""
    users = await _users(gateway, workspace_of(caller), ("SUPERVISOR",))
    searched = comparable(q).casefold()
    return [
        one
        for one in users
        if searched in comparable(one["full_name"]).casefold()
        or searched in one["email"].casefold()
    ]


@router.get("/", include_in_schema=False)
@router.get("")
async def all_users(caller: Reading, gateway: Gateway) -> list[dict[str, Any]]:
    """Everybody, oldest first, as a bare array of at most a thousand."""
    return await _users(gateway, workspace_of(caller))


@router.post("/", status_code=201, include_in_schema=False)
@router.post("", status_code=201)
async def create(body: NewUser, caller: Writing, gateway: Gateway) -> Any:
    """A new user; 422 if another account has the address."""
    workspace = workspace_of(caller)
    person = Person(email=body.email, name=body.full_name)
    try:
        account = await open_account(
            gateway.identity,
            with_traits(person, body, frozenset(("phone", "city_id", "district_id"))),
            password=body.password,
            roles=[Role(workspace, body.role)],
            actor=caller.subject,
            active=body.is_active,
        )
    except (BadAddress, PasswordUnfit):
        return invalid(UNFIT, {})
    member = await load_member(gateway.identity, account.account_id, workspace)
    return user(member, None)


@router.get("/{user_id}/", include_in_schema=False)
@router.get("/{user_id}")
async def one(user_id: UUID, caller: Writing, gateway: Gateway) -> dict[str, Any]:
    """A user."""
    workspace = workspace_of(caller)
    return await _present(
        gateway, await load_member(gateway.identity, AccountId(user_id), workspace), workspace
    )


@router.patch("/{user_id}/", include_in_schema=False)
@router.patch("/{user_id}")
async def change_user(user_id: UUID, body: Change, caller: Writing, gateway: Gateway) -> Any:
    """Change what is given; another role, password or `is_active: false` ends their sessions."""
    account_id, workspace = AccountId(user_id), workspace_of(caller)
    current = await load_member(gateway.identity, account_id, workspace)
    try:
        changed = await change_member(
            gateway.identity, account_id, workspace, changes_of(body, current), actor=caller.subject
        )
    except (BadAddress, PasswordUnfit):
        return invalid(UNFIT, {})
    return await _present(gateway, changed, workspace)


async def _users(
    gateway: Deps, workspace: Workspace, roles: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    page = await accounts.in_workspace(gateway.system, workspace, roles=roles, limit=MOST)
    members = [member_of(gateway.identity, row, workspace) for row in page.accounts]
    ids = [member.account_id for member in members]
    logins = await last_logins(gateway.system, ids, workspace=workspace)
    return [user(member, logins.get(member.account_id)) for member in members]


async def _present(gateway: Deps, member: Member, workspace: Workspace) -> dict[str, Any]:
    logins = await last_logins(gateway.system, [member.account_id], workspace=workspace)
    return user(member, logins.get(member.account_id))
