"""Shared parts of all logins: the device, limits of attempts, the access token."""

from typing import Final

from fastapi import Request

from services.gateway.accounts.domain.person import Address, BadAddress, email
from services.gateway.accounts.domain.realm import DEVICES
from services.gateway.context import Deps
from services.gateway.doors.api.peer import peer_of
from services.gateway.sessions.adapters.access_tokens import AccessToken
from services.gateway.sessions.domain.token_claims import Bearer, claims_of
from services.gateway.sessions.handlers.attempts import Attempts
from services.gateway.sessions.handlers.session import LoggedIn

MAX_DEVICE: Final = 200


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
