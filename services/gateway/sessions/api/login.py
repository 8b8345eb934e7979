"""What all logins share: device, limits of attempts, the access token."""

from typing import Final

from fastapi import Request

from services.gateway.accounts.domain.person import Address, BadAddress, email
from services.gateway.accounts.domain.realm import Realm
from services.gateway.context import Deps
from services.gateway.doors.api.peer import peer_of
from services.gateway.sessions.adapters.access_tokens import DEVICES, AccessToken
from services.gateway.sessions.domain.token_claims import Bearer, claims_of
from services.gateway.sessions.handlers.attempts import Attempts
from services.gateway.sessions.handlers.session import LoggedIn

MAX_DEVICE: Final = 200


def device_of(request: Request) -> str:
    """What people recognise their session by."""
    return request.headers.get("user-agent", "")[:MAX_DEVICE]


def attempts_of(gateway: Deps, request: Request) -> Attempts:
    """What is tried from the network address that asks, proxies we trust aside."""
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
    """What somebody who is in carries from now on; see `Bearer` and `AccessTokens.sign`."""
    account = logged_in.account
    bearer = Bearer(
        place=logged_in.place,
        role=logged_in.role,
        number=account.number,
        person=account.person,
        scopes=logged_in.scopes,
        device=device,
        tells_role=tells_role,
    )
    return gateway.access_tokens.sign(
        account.account_id,
        logged_in.place,
        scopes=logged_in.scopes,
        session_id=logged_in.session_id,
        lasting=DEVICES.get((Realm(logged_in.place.realm), logged_in.role)),
        beside=claims_of(bearer),
    )


def parse_email(text: str) -> Address | None:
    """The address of a login. None = malformed: a login still hashes a dummy password."""
    try:
        return email(text)
    except BadAddress:
        return None
