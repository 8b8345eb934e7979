"""Shared parts of all logins: by password and by refresh token, limits of attempts, the answer."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Form, HTTPException, Request
from fastapi.responses import JSONResponse

from libs.errors import Unauthenticated
from libs.http.auth import Principal
from libs.http.shapes import CHALLENGE
from services.gateway.accounts.domain.person import Address, BadAddress, email
from services.gateway.accounts.domain.realm import DEVICES, PLATFORM, Realm
from services.gateway.context import Deps
from services.gateway.doors.api.peer import peer_of
from services.gateway.sessions.adapters.access_tokens import AccessToken
from services.gateway.sessions.api.realm_permission import account_of, session_of
from services.gateway.sessions.domain.session import SessionOver
from services.gateway.sessions.domain.token_claims import Bearer, claims_of
from services.gateway.sessions.handlers import session
from services.gateway.sessions.handlers.attempts import Attempts
from services.gateway.sessions.handlers.login import LoginFailed, log_in
from services.gateway.sessions.handlers.session import LoggedIn

MAX_DEVICE: Final = 200
NO_STORE: Final = {"Cache-Control": "no-store"}


def device_of(request: Request) -> str:
    """The device as the list of sessions shows it: the `User-Agent`, cut to 200 characters."""
    return request.headers.get("user-agent", "")[:MAX_DEVICE]


def attempts_of(gateway: Deps, request: Request) -> Attempts:
    """The limits of attempts for the client's address, behind trusted proxies."""
    headers = dict(request.scope["headers"])
    address = peer_of(request.scope, headers, gateway.settings.trusted_proxies).address
    return Attempts(identity=gateway.identity, limits=gateway.limits, address=address)


def access_of(
    gateway: Deps,
    logged_in: LoggedIn,
    *,
    device: str | None = None,
    tells_role: bool = False,
) -> AccessToken:
    """The access token of a login; see `Bearer` and `AccessTokens.sign`."""
    account = logged_in.account
    bearer = Bearer(
        workspace=logged_in.workspace,
        role=logged_in.role,
        number=account.number,
        person=account.person,
        scopes=logged_in.scopes,
        device=device,
        tells_role=tells_role,
    )
    return gateway.access_tokens.sign(
        account.account_id,
        logged_in.workspace,
        scopes=logged_in.scopes,
        session_id=logged_in.session_id,
        lifetime_of=DEVICES.get((logged_in.workspace.realm, logged_in.role)),
        claims=claims_of(bearer),
    )


def parse_email(text: str) -> Address | None:
    """The address of a login. None = malformed: a login still hashes a dummy password."""
    try:
        return email(text)
    except BadAddress:
        return None


@dataclass(frozen=True, slots=True)
class PasswordForm:
    """The form of a password login (RFC 6749 §4.3)."""

    username: Annotated[str, Form()]
    password: Annotated[str, Form()]
    grant_type: Annotated[str | None, Form(pattern="^password$")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Logins:
    """Logins at a realm: `parse` reads the name as an address, `roles` may log in (None: all).

    `login_failed` and `session_over` are the texts of the 401 for a login and a refresh token;
    without them the exceptions stay, for routes with error shapes of their own.
    """

    realm: Realm
    parse: Callable[[str], Address | None] = parse_email
    roles: Collection[str] | None = None
    login_failed: str | None = None
    session_over: str | None = None

    async def enter(
        self, gateway: Deps, request: Request, name: str, password: str, device: str | None = None
    ) -> LoggedIn:
        """Log in, on the browser of the request or on `device`.

        Raises LoginFailed or a 401, TooManyRequests, Unavailable.
        """
        platform = self.realm == Realm.PLATFORM
        with unauthorized(LoginFailed, self.login_failed):
            return await log_in(
                gateway.identity,
                realm=self.realm,
                tenant=PLATFORM if platform else gateway.settings.people_tenant,
                address=self.parse(name),
                password=password,
                device=device_of(request) if device is None else device,
                roles=self.roles,
                attempts=attempts_of(gateway, request),
            )

    async def refresh(self, gateway: Deps, token: str) -> LoggedIn:
        """Exchange a refresh token of this realm. Raises SessionOver or a 401, Unavailable."""
        with unauthorized(SessionOver, self.session_over):
            return await session.refresh(
                gateway.identity, token, realm=self.realm, roles=self.roles
            )


@contextmanager
def unauthorized(kind: type[Unauthenticated], text: str | None) -> Iterator[None]:
    """Answer a refusal of this kind with 401 and the text; None leaves it as it is."""
    try:
        yield
    except kind:
        if text is None:
            raise
        raise HTTPException(401, text, headers=CHALLENGE) from None


def token_answer(
    gateway: Deps,
    logged_in: LoggedIn,
    *names: str,
    device: str | None = None,
    **more: Any,
) -> JSONResponse:
    """The answer to a login with these fields, and `more`; without names those of OAuth 2."""
    access = access_of(gateway, logged_in, device=device)
    fields = {
        "access_token": access.bearer,
        "refresh_token": logged_in.refresh_token,
        "token_type": "bearer",
        "expires_in": access.seconds,
    }
    chosen = {name: fields[name] for name in names or fields}
    return JSONResponse(chosen | more, headers=NO_STORE)


async def log_out(gateway: Deps, caller: Principal) -> None:
    """End the session of the caller's access token. Raises SessionUnknown, Unavailable."""
    await session.revoke(
        gateway.identity,
        session_of(caller),
        reason="logout",
        actor=caller.subject,
        account_id=account_of(caller),
    )
