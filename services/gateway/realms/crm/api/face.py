"""The crm's users and logins, as its clients send and read them (spec crm §2, §3, §10)."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, EmailStr, Field, StringConstraints

from libs.errors import Unauthenticated
from libs.http.auth import public
from libs.names import comparable
from services.gateway.accounts.domain.realm import Realm, scopes_of
from services.gateway.administration.api.users import Face, Route, Shown, user_router
from services.gateway.administration.handlers.member import Member
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.small_body import MAX_BODY_BYTES
from services.gateway.doors.api.timestamp import timestamp
from services.gateway.realms.crm.api.route import CrmUserRoute
from services.gateway.sessions.api.login import (
    NO_STORE,
    Logins,
    PasswordForm,
    log_out,
    token_answer,
)
from services.gateway.sessions.api.realm_permission import RealmPermission
from services.gateway.sessions.domain.session import SessionOver, SessionUnknown
from services.gateway.sessions.handlers import session
from services.gateway.sessions.handlers.login import LoginFailed

RoleName: TypeAlias = Literal["ADMIN", "SUPERVISOR", "ENGINEER"]
Password: TypeAlias = Annotated[str, StringConstraints(min_length=8, max_length=128)]
FullName: TypeAlias = Annotated[str, StringConstraints(min_length=2, max_length=255)]
Phone: TypeAlias = Annotated[str, Field(max_length=20)]

TRAITS: Final = {"phone": "crm.phone", "city_id": "crm.city_id", "district_id": "crm.district_id"}
"""The phone does not identify accounts."""
MOST: Final = 1000


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


class Supervisors(BaseModel):
    """The query of the list of supervisors: `q` is a part of the name or address."""

    q: str = Field(default="", max_length=255)


def user(member: Member, last_login: datetime | None) -> dict[str, Any]:
    """A user in the form of the clients. `city` and `district` are not known to the gateway."""
    return {
        "id": str(member.account_id),
        "email": member.person.email or "",
        "full_name": member.person.name,
        "role": member.role,
        **{field: member.person.traits.get(name) for field, name in TRAITS.items()},
        "city": None,
        "district": None,
        "is_active": member.active,
        "last_login_at": timestamp(last_login),
        "created_at": timestamp(member.opened_at),
        "updated_at": timestamp(member.changed_at),
    }


def options(query: Supervisors | None) -> Mapping[str, Any]:
    """The members that a list shows."""
    return {"limit": MOST} if query is None else {"limit": MOST, "roles": ("SUPERVISOR",)}


def matches(member: Member, query: Supervisors | None) -> bool:
    """Whether a member has the text of the query in name or address."""
    if query is None:
        return True
    name, sought = comparable(member.person.name), comparable(query.q).casefold()
    return sought in name.casefold() or sought in (member.person.email or "").casefold()


FACE: Final = Face(
    realm=Realm.CRM,
    path="/api/v1/users",
    route_class=CrmUserRoute,
    show=user,
    own=lambda member: {"scopes": sorted(scopes_of(Realm.CRM, member.role))},
    fields={"email": "email", "full_name": "name"},
    traits=TRAITS,
    query=options,
    matches=matches,
    me=Route("/me", "me", "The caller, with the scopes of their role."),
    own_password=Route(
        "/me/password",
        "own_password",
        "Change one's own password; 422 if the present one is wrong. Everybody logs in again.",
        takes=OwnPassword,
        answers=None,
        message="Password changed, log in again",
    ),
    lists=(
        Route(
            "/supervisors",
            "supervisors",
            "All supervisors, inactive ones too, whose name or address holds `q`.",
            "users:read",
            Supervisors,
            list[Shown],
        ),
        Route(
            "",
            "all_users",
            "Everybody, oldest first, as a bare array of at most a thousand.",
            "users:read",
            answers=list[Shown],
        ),
    ),
    creates=(
        Route(
            "",
            "create",
            "A new user; 422 if another account has the address.",
            "users:write",
            NewUser,
            Any,
            status=201,
        ),
    ),
    one=Route("/{user_id}", "one", "A user.", "users:write"),
    change=Route(
        "/{user_id}",
        "change_user",
        "Change what is given; another role, password or `is_active: false` ends their sessions.",
        "users:write",
        Change,
        Any,
    ),
)
users = user_router(FACE)

LOGIN: Final = Logins(realm=Realm.CRM)
logins = APIRouter(
    prefix="/api/v1/auth",
    tags=["crm"],
    dependencies=[Depends(public), SESSIONS],
    max_body_size=MAX_BODY_BYTES,
)


@logins.post("/token")
async def token(
    request: Request, gateway: Gateway, form: Annotated[PasswordForm, Depends()]
) -> Response:
    """An access and a refresh token for an e-mail address and its password."""
    try:
        return token_answer(
            gateway, await LOGIN.enter(gateway, request, form.username, form.password)
        )
    except LoginFailed:
        return _unauthorized("Invalid email or password")


async def refresh(gateway: Deps, refresh_token: str) -> Response:
    """The next pair for a refresh token; 401 for an invalid one: see `realms.api`."""
    try:
        return token_answer(gateway, await LOGIN.refresh(gateway, refresh_token))
    except SessionOver:
        return _unauthorized("Invalid refresh token")


async def logout(request: Request, gateway: Deps, refresh_token: str | None) -> Response:
    """End the session of the refresh token, and of the caller's access token; always 200."""
    # A session that is over or unknown needs no logout.
    with suppress(SessionOver, SessionUnknown):
        if refresh_token is not None:
            await session.log_out(gateway.identity, refresh_token)
    with suppress(Unauthenticated, SessionOver, SessionUnknown):
        await log_out(gateway, await RealmPermission(Realm.CRM)(request))
    return JSONResponse({"message": "Logged out successfully"}, headers=NO_STORE)


def _unauthorized(message: str) -> Response:
    """The crm's envelope; no `detail`, or its site would not show the login page."""
    error = {"code": "UNAUTHORIZED", "message": message, "details": {}}
    return JSONResponse({"error": error}, 401, headers=NO_STORE)
