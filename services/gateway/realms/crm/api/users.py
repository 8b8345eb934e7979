"""Routes of the crm's users (spec crm §2, §3.2)."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

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
    change_member,
    load_member,
    member_of,
)
from services.gateway.administration.handlers.own_password import change_own_password
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.doors.domain.door import Limit
from services.gateway.realms.crm.api.route import CrmUserRoute, invalid
from services.gateway.realms.crm.api.shapes import (
    Change,
    NewUser,
    OwnPassword,
    user,
    wanted,
    with_traits,
)
from services.gateway.sessions.api.login import attempts_of
from services.gateway.sessions.api.realm_permission import account_of, in_crm, workspace_of
from services.gateway.sessions.read_models import last_logins

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
    found = await load_member(gateway.identity, account_of(caller), workspace)
    return await _present(gateway, found, workspace) | {
        "scopes": sorted(scopes_of(workspace.realm, found.role))
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
    found = await _listed(gateway, workspace_of(caller), ("SUPERVISOR",))
    sought = comparable(q).casefold()
    return [
        one
        for one in found
        if sought in comparable(one["full_name"]).casefold() or sought in one["email"].casefold()
    ]


@router.get("/", include_in_schema=False)
@router.get("")
async def all_users(caller: Reading, gateway: Gateway) -> list[dict[str, Any]]:
    """Everybody, oldest first, as a bare array of at most a thousand."""
    return await _listed(gateway, workspace_of(caller))


@router.post("/", status_code=201, include_in_schema=False)
@router.post("", status_code=201)
async def create(body: NewUser, caller: Writing, gateway: Gateway) -> Any:
    """A new user; 422 if somebody has the address."""
    workspace = workspace_of(caller)
    person = Person(email=body.email, name=body.full_name)
    try:
        made = await open_account(
            gateway.identity,
            with_traits(person, body, frozenset(("phone", "city_id", "district_id"))),
            password=body.password,
            roles=[Role(workspace, body.role)],
            actor=caller.subject,
            active=body.is_active,
        )
    except (BadAddress, PasswordUnfit):
        return invalid(UNFIT, {})
    found = await load_member(gateway.identity, made.account_id, workspace)
    return user(found, None)


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
    now = await load_member(gateway.identity, account_id, workspace)
    try:
        changed = await change_member(
            gateway.identity, account_id, workspace, wanted(body, now), actor=caller.subject
        )
    except (BadAddress, PasswordUnfit):
        return invalid(UNFIT, {})
    return await _present(gateway, changed, workspace)


async def _listed(
    gateway: Deps, workspace: Workspace, roles: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    page = await accounts.in_workspace(gateway.pool, workspace, roles=roles, limit=MOST)
    found = [member_of(gateway.identity, row, workspace) for row in page.accounts]
    logins = await last_logins(
        gateway.pool, [each.account_id for each in found], workspace=workspace
    )
    return [user(each, logins.get(each.account_id)) for each in found]


async def _present(gateway: Deps, found: Member, workspace: Workspace) -> dict[str, Any]:
    logins = await last_logins(gateway.pool, [found.account_id], workspace=workspace)
    return user(found, logins.get(found.account_id))
