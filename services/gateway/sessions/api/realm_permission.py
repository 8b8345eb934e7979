"""Permissions of the gateway's own routes, by the caller's current role."""

from uuid import UUID

from starlette.requests import HTTPConnection

from contracts.gateway import AccountId, SessionId
from libs.errors import Forbidden, Unauthenticated
from libs.http.auth import Permission, Principal
from services.gateway.accounts.domain.realm import Realm, Workspace, scopes_of
from services.gateway.context import Deps
from services.gateway.sessions.handlers.authorization import current_role


class ScopeMissing(Forbidden):
    """The caller may not do this."""

    def __init__(self, scope: str) -> None:
        super().__init__()
        self.scope = scope


class RealmPermission(Permission):
    """Like `require`, for one realm, and by the role in the log: a withdrawal counts at once.

    A token of another realm, or without the scope `within`, is rejected with 401. With an empty
    `scope` every member of the realm is permitted.
    """

    def __init__(self, realm: Realm, scope: str = "", *, within: str = "") -> None:
        super().__init__(scope)
        self.realm = realm
        self.within = within

    async def __call__(self, request: HTTPConnection) -> Principal:
        """The caller. Raises Unauthenticated, SessionOver, ScopeMissing, Unavailable."""
        deps: Deps = request.app.state.deps
        caller = await deps.verifier.principal(request.headers.get("authorization"))
        if caller.kind != self.realm or not caller.session:
            raise Unauthenticated
        role = await current_role(
            deps.identity, account_of(caller), session_of(caller), workspace_of(caller)
        )
        scopes = scopes_of(self.realm, role)
        if self.within and self.within not in scopes:
            raise Unauthenticated
        if self.scope and self.scope not in scopes:
            raise ScopeMissing(self.scope)
        return caller


def account_of(caller: Principal) -> AccountId:
    """The account of the caller's token."""
    return AccountId(UUID(caller.subject))


def session_of(caller: Principal) -> SessionId:
    """The session of the caller's token."""
    return SessionId(UUID(caller.session))


def workspace_of(caller: Principal) -> Workspace:
    """The workspace of the caller's token."""
    return Workspace(caller.kind, caller.tenant)
