"""The crm's users, logins and health, as its clients send and read them.

See spec crm §2, §3, §10, §12.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, EmailStr, Field, StringConstraints
from starlette.routing import Match

from libs.errors import NotFound, Unauthenticated
from libs.http.auth import public
from libs.http.shapes import ENVELOPE, ErrorRow, ShapedRoute
from libs.names import comparable
from services.gateway.accounts.domain.account import LastSuperadmin, PasswordUnfit, WrongPassword
from services.gateway.accounts.domain.person import BadAddress
from services.gateway.accounts.domain.realm import Realm, scopes_of
from services.gateway.accounts.handlers.address import AddressTaken
from services.gateway.administration.api.users import Face, Route, UserBody, user_router
from services.gateway.administration.handlers.member import ActsElsewhere, Member
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import SESSIONS
from services.gateway.doors.api.local_routes import door_of
from services.gateway.doors.api.system import database_answers
from services.gateway.doors.api.timestamp import timestamp
from services.gateway.doors.domain.door import Limit
from services.gateway.sessions.api.login import (
    NO_STORE,
    Logins,
    PasswordForm,
    log_out,
    token_answer,
)
from services.gateway.sessions.api.realm_permission import RealmPermission, ScopeMissing
from services.gateway.sessions.api.realm_route import RealmRoute
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
READ: Final = "users:read"
WRITE: Final = "users:write"


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


def _unknown(_: NotFound, scope: Mapping[str, Any]) -> ErrorRow:
    return ErrorRow(404, text=f"User not found: {scope['path_params'].get('user_id', '')}")


def _taken(error: AddressTaken, _: Mapping[str, Any]) -> ErrorRow:
    text = f"User with email {error.address.text} already exists"
    return ErrorRow(422, text=text, details={"fields": {}})


def _forbidden(error: ScopeMissing, _: Mapping[str, Any]) -> ErrorRow:
    roles = [name for name, scopes in Realm.CRM.entry.roles.items() if error.scope in scopes]
    return ErrorRow(403, text=f"Required roles: {', '.join(roles)}")


UNFIT: Final = ErrorRow(
    422, text="This e-mail address or password cannot be used", details={"fields": {}}
)


class CrmUserRoute(RealmRoute, ShapedRoute):
    """Answers every refusal in the envelope.

    The site cannot display a `detail` that is a list, and shows the login only without `detail`.
    An answer repeats a valid id or address of the request only. The kiosks share the path.
    """

    realm = Realm.CRM
    shape = replace(
        ENVELOPE.with_rows(
            {
                NotFound: _unknown,
                AddressTaken: _taken,
                ScopeMissing: _forbidden,
                WrongPassword: ErrorRow(
                    422,
                    text=str(WrongPassword()),
                    details={"fields": {"current_password": str(WrongPassword())}},
                ),
                BadAddress: UNFIT,
                PasswordUnfit: UNFIT,
                LastSuperadmin: ErrorRow(
                    409,
                    text="The last active administrator must remain",
                    details={"reason": "LAST_ADMIN"},
                ),
                ActsElsewhere: ErrorRow(
                    409, text=str(ActsElsewhere()), details={"reason": "ACTS_ELSEWHERE"}
                ),
            }
        ),
        codes={**dict.fromkeys(HTTPStatus, "ERROR"), **ENVELOPE.codes},
        texts={401: "Invalid token", 429: "Too Many Requests"},
    )


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
    caller_fields=lambda member: {"scopes": sorted(scopes_of(Realm.CRM, member.role))},
    fields={"email": "email", "full_name": "name"},
    traits=TRAITS,
    query=options,
    matches=matches,
    routes=(
        Route("GET /me", Face.me, "me", "Read the user who is logged in, with scopes."),
        Route(
            *("POST /me/password", Face.own_password, "own_password"),
            "Change one's own password; 422 if the present one is wrong. Everybody logs in again.",
            takes=OwnPassword,
            answers=None,
            message="Password changed, log in again",
        ),
        Route(
            *("GET /supervisors", Face.page, "supervisors"),
            "List all supervisors, inactive ones too, whose name or address holds `q`.",
            *(READ, Supervisors, list[UserBody]),
        ),
        Route(
            *("GET ", Face.page, "all_users"),
            "List all users, oldest first, as a bare array of at most a thousand.",
            *(READ, None, list[UserBody]),
        ),
        Route(
            *("POST ", Face.create, "create"),
            "Create a user; 422 if another account has the address.",
            *(WRITE, NewUser, Any),
            status=201,
        ),
        Route("GET /{user_id}", Face.one, "one", "Read a user.", WRITE),
        Route(
            *("PATCH /{user_id}", Face.change, "change_user"),
            "Change the given fields of a user; another role, password or `is_active: false` ends "
            "their sessions.",
            *(WRITE, Change, Any),
        ),
    ),
)
users = user_router(FACE)

LOGIN: Final = Logins(realm=Realm.CRM)
logins = APIRouter(
    prefix="/api/v1/auth",
    tags=["crm"],
    dependencies=[Depends(public), SESSIONS],
    route_class=ShapedRoute,
)


@logins.post("/token")
async def token(
    request: Request, gateway: Gateway, form: Annotated[PasswordForm, Depends()]
) -> Response:
    """Log in with an e-mail address and its password: an access and a refresh token."""
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


class CrmRoute(APIRoute):
    """A route of the crm's door only."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """See `BaseRoute`."""
        if door_of(scope) != Realm.CRM:
            return Match.NONE, {}
        return super().matches(scope)


health = APIRouter(tags=["crm"], dependencies=[Depends(public)], route_class=CrmRoute)


@health.get("/metrics")
async def metrics(gateway: Gateway, response: Response) -> dict[str, Any]:
    """The state of what the crm depends on (spec crm §12); 503 without the database.

    `redis` is the store that several gateways count requests in, `disconnected` if there is none or
    it does not answer. `queue_length` is null: there is no queue of reports yet.
    """
    well = await database_answers(gateway)
    if not well:
        response.status_code = 503
    return {
        "status": "ok" if well else "error",
        "database": _connected(well),
        "redis": _connected(await gateway.limits.storage_answers()),
        "queue_length": None,
        "rate_limit_enabled": gateway.limits.counts(Limit.LOGIN),
    }


def _connected(answers: bool) -> str:
    return "connected" if answers else "disconnected"


ROUTERS: Final = (logins, users, health)
