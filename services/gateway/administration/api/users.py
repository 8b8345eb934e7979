"""The routes of a realm's users, made from the realm's face.

A face says what clients send and read: paths, fields, texts, permissions, and which routes there
are. What the routes do is the same in every realm.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.routing import APIRoute

from contracts.gateway import AccountId
from libs.http.auth import Permission, Principal
from services.gateway.accounts.domain.person import Person
from services.gateway.accounts.domain.realm import Realm, Role, Workspace
from services.gateway.accounts.handlers.identity import Identity
from services.gateway.administration.handlers.account import open_account
from services.gateway.administration.handlers.member import (
    Member,
    MemberChanges,
    change_member,
    find_member,
    load_member,
    members,
    remove_member,
)
from services.gateway.administration.handlers.own_password import change_own_password
from services.gateway.context import Deps, Gateway
from services.gateway.doors.api.awaited import ACCOUNTS
from services.gateway.doors.domain.door import Limit
from services.gateway.sessions.api.login import attempts_of
from services.gateway.sessions.api.realm_permission import RealmPermission, account_of, workspace_of
from services.gateway.sessions.read_models import last_logins

YES: Final = "yes"
"""The trait of a person for a field that is true."""

UserBody: TypeAlias = dict[str, Any]
"""A user in the form of the clients."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of an authenticated caller to a route of a face."""

    gateway: Deps
    caller: Principal
    request: Request
    route: "Route"

    @property
    def identity(self) -> Identity:
        """The context of commands."""
        return self.gateway.identity

    @property
    def workspace(self) -> Workspace:
        """The workspace whose users the caller reads and changes."""
        return workspace_of(self.caller)


@dataclass(frozen=True, slots=True)
class Route:
    """A route of a face: a method and path, and the method of the face that it calls.

    That takes a `Call`, and any of `user_id`, `body` or `query`. It returns what is shown of a
    user: the user, a page of users and their total, None for `message`, or a body as it is.

    `name` and `about` are those of the OpenAPI document, `scope` is what the caller needs, `takes`
    the model of body or query, `answers` the type of the answer, `role` the role of new users.
    """

    path: str
    run: Callable[..., Awaitable[Any]]
    name: str
    about: str
    scope: str = ""
    takes: Any = None
    answers: Any = UserBody
    status: int = 200
    role: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Face:
    """How the clients of a realm read and change its users: accounts with a role in a workspace.

    Callers need the scope `within` in any case. `user_id` is the type of ids in paths, where they
    are called `id_name`: UUIDs, or numbers of accounts.

    `show` makes the form of the clients from a member and the last login, `caller_fields` the
    fields that only the caller's own user has, `paged` the answer of a list from its items and
    their total. `fields` are the attributes of a person by the field of bodies, `traits` the names
    of traits that only this realm stores. `query` are the options of `members` for the query of a
    list, `matches` says whether it seeks a member. `check_password` raises for a password that the
    realm refuses.

    A body of `create` has `password`, `is_active` and, unless its `Route` has a role, `role_field`;
    one of `own_password` has `current_password` and `new_password`.
    """

    realm: Realm
    path: str
    route_class: type[APIRoute]
    routes: Sequence[Route]
    within: str = ""
    user_id: Any = UUID
    id_name: str = "user_id"
    show: Callable[[Any, Any], UserBody]
    paged: Callable[[list[UserBody], int], Any] = lambda items, _: items
    caller_fields: Callable[[Member], Mapping[str, Any]] = lambda _: {}
    fields: Mapping[str, str] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)
    role_field: str = "role"
    query: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    matches: Callable[[Member, Any], bool] = lambda *_: True
    check_password: Callable[[str], None] = lambda _: None

    def permission(self, scope: str = "") -> Permission:
        """The permission of a route with this scope."""
        return RealmPermission(self.realm, scope, within=self.within)

    async def me(self, call: Call) -> UserBody:
        """The caller."""
        member = await load_member(call.identity, account_of(call.caller), call.workspace)
        (shown,) = await self.present(call, [member])
        return {**shown, **self.caller_fields(member)}

    async def own_password(self, call: Call, body: Any) -> None:
        """Change one's own password: all sessions end. Raises as `change_own_password`."""
        # Wrong present passwords count as attempts to log in.
        attempts, caller = attempts_of(call.gateway, call.request), call.caller
        await attempts.count(Limit.LOGIN, caller.subject)
        self.check_password(body.new_password)
        await change_own_password(
            call.identity,
            account_of(caller),
            realm=caller.kind,
            session=caller.session,
            old=body.current_password,
            new=body.new_password,
        )

    async def page(self, call: Call, query: Any) -> tuple[Sequence[Any], int]:
        """The users that a query asks for, and how many there are on all pages."""
        found, total = await members(call.identity, call.workspace, **self.query(query))
        return [member for member in found if self.matches(member, query)], total

    async def create(self, call: Call, body: Any) -> Any:
        """A new user. Raises as `open_account`."""
        self.check_password(body.password)
        account = await open_account(
            call.identity,
            self.person(Person(), body),
            password=body.password,
            roles=[Role(call.workspace, call.route.role or getattr(body, self.role_field))],
            actor=call.caller.subject,
            active=body.is_active,
        )
        return await load_member(call.identity, account.account_id, call.workspace)

    async def one(self, call: Call, user_id: Any) -> Any:
        """The user with an id of the clients. Raises AccountUnknown, Unavailable."""
        account_id = AccountId(user_id) if isinstance(user_id, UUID) else None
        if account_id is None:
            account_id = await find_member(call.identity, user_id, call.workspace)
        return await load_member(call.identity, account_id, call.workspace)

    async def change(self, call: Call, user_id: Any, body: Any) -> Any:
        """A user after a change. Raises as `change_member`."""
        current, given = await self.one(call, user_id), body.model_dump(exclude_unset=True)
        changes = MemberChanges(
            person=self.person(current.person, body),
            role=given.get(self.role_field),
            active=given.get("is_active"),
            password=given.get("password"),
        )
        return await self.apply(call, current.account_id, changes)

    async def remove(self, call: Call, user_id: Any) -> Any:
        """Remove a user. Raises as `remove_member`."""
        account_id = (await self.one(call, user_id)).account_id
        await remove_member(call.identity, account_id, call.workspace, actor=call.caller.subject)

    async def apply(self, call: Call, account_id: AccountId, changes: MemberChanges) -> Member:
        """A member after changes. Raises as `change_member`."""
        at, actor = call.workspace, call.caller.subject
        return await change_member(call.identity, account_id, at, changes, actor=actor)

    async def present(self, call: Call, users: Sequence[Any]) -> list[UserBody]:
        """Users in the form of the clients."""
        ids = [one.account_id for one in users]
        logins = await last_logins(call.gateway.system, ids, workspace=call.workspace)
        return [self.show(one, logins.get(one.account_id)) for one in users]

    def person(self, before: Person, body: Any) -> Person:
        """The person with the fields that are present in the request."""
        given = body.model_dump(exclude_unset=True)
        named = {self.fields[name]: value for name, value in given.items() if name in self.fields}
        own = {self.traits[name]: value for name, value in given.items() if name in self.traits}
        others = {name: value for name, value in before.traits.items() if name not in own}
        stored = {
            name: YES if value is True else str(value)
            for name, value in own.items()
            if value not in (None, False)
        }
        return replace(before, **named, traits=others | stored)


def user_router(face: Face) -> APIRouter:
    """The routes of a face; of two that match, the first counts."""
    router = APIRouter(
        prefix=face.path,
        tags=[face.realm.entry.door],
        route_class=face.route_class,
        dependencies=[ACCOUNTS],
    )
    for route in face.routes:
        method, path = route.path.split(" ")
        router.add_api_route(
            path,
            _endpoint(face, route),
            methods=[method],
            name=route.name,
            description=route.about,
            status_code=route.status,
            response_model=route.answers,
        )
    return router


def _endpoint(face: Face, route: Route) -> Callable[..., Awaitable[Any]]:
    """The endpoint of a route, with the parameters that its method takes."""

    async def endpoint(caller: Principal, request: Request, gateway: Deps, **arguments: Any) -> Any:
        call = Call(gateway, caller, request, route)
        match await route.run(face, call, **arguments):
            case None:
                return {"message": route.message}
            case dict() as body:
                return body
            case (users, total):
                return face.paged(await face.present(call, users), total)
            case user:
                return (await face.present(call, [user]))[0]

    types = {
        "caller": Annotated[Principal, Depends(face.permission(route.scope))],
        "request": Request,
        "gateway": Gateway,
        "user_id": Annotated[face.user_id, Path(alias=face.id_name)],
        "body": route.takes,
        "query": Annotated[route.takes, Query() if route.takes else Depends(no_query)],
    }
    _, _, *accepted = signature(route.run).parameters.values()
    names = ["caller", "request", "gateway", *(one.name for one in accepted)]
    annotations = {one.name: one.annotation for one in accepted} | types
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotations[name]) for name in names
    ]
    # FastAPI reads the parameters from here.
    endpoint.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return endpoint


async def no_query() -> None:
    """The query of a list that takes none."""
