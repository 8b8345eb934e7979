"""What all logins share: who asks, how often they may, and what they log in with."""

from typing import Final

from fastapi import HTTPException, Request

from services.gateway.adapters.access_tokens import ON_DEVICE, AccessToken
from services.gateway.api.peer import peer_of
from services.gateway.deps import Deps
from services.gateway.domain.door import Limit
from services.gateway.domain.person import Address, BadAddress, email
from services.gateway.handlers.session import LoggedIn

MAX_DEVICE: Final = 200


def device_of(request: Request) -> str:
    """What people recognise their session by."""
    return request.headers.get("user-agent", "")[:MAX_DEVICE]


async def spared(gateway: Deps, request: Request, name: str) -> None:
    """Count one try of a name from an address: 429 if there were too many.

    Of the two together, so that nobody can lock somebody else out by guessing from elsewhere.
    """
    headers = dict(request.scope["headers"])
    address = peer_of(request.scope, headers, gateway.settings.trusted_proxies).address
    key = gateway.identity.seal.digest("login", name.strip().lower())
    if over := await gateway.limits.hit(Limit.LOGIN, key=key, address=address):
        after = {"Retry-After": str(over.retry_after)}
        raise HTTPException(429, "Too many requests; try again later", headers=after)


def access_of(gateway: Deps, logged_in: LoggedIn) -> AccessToken:
    """What somebody who is in carries from now on."""
    return gateway.access_tokens.sign(
        logged_in.account.account_id,
        logged_in.place,
        scopes=logged_in.scopes,
        session_id=logged_in.session_id,
        lasting=ON_DEVICE if "kiosk:device" in logged_in.scopes else None,
    )


def email_or_nobody(text: str) -> Address | None:
    """The address somebody logs in with; None is nobody's, and refused after the same work."""
    try:
        return email(text)
    except BadAddress:
        return None
