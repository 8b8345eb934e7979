"""How the daemon gets in at the gateway: a device grant (RFC 8628), and new tokens after that."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import aiohttp

CLIENT_ID: Final = "tillstream-bridge"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_SECONDS: Final = 5.0
EXCHANGE: Final = aiohttp.ClientTimeout(total=30.0, sock_connect=10.0)
REFRESH: Final = aiohttp.ClientTimeout(total=8.0, sock_connect=4.0)
"""Short, so that there is time to ask again for an answer that got lost."""

Pause: TypeAlias = Callable[[float], Awaitable[None]]


class GatewayAway(Exception):
    """The gateway did not answer, or not sensibly; it may later. The text names no secret."""


class AnswerLost(GatewayAway):
    """The same, but the gateway may have done what it was asked."""


class NotLetIn(Exception):
    """The gateway said no: `code` is one of RFC 6749 §5.2 or RFC 8628 §3.5."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """What a person must type, and where; `device_code` is the daemon's own secret."""

    user_code: str
    page: str
    page_with_code: str
    device_code: str = field(repr=False)
    seconds: float
    pause: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """What lets the daemon in, for `seconds`, and what gets the next pair, once."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    seconds: float


async def ask(client: aiohttp.ClientSession, gateway: str, name: str) -> Codes:
    """Ask to be let in, as `name`. Raises GatewayAway, NotLetIn."""
    form = {"client_id": CLIENT_ID, "device_name": name}
    said = await _post(client, f"{gateway}/oauth/device_authorization", form)
    try:
        return Codes(
            user_code=said["user_code"],
            page=said["verification_uri"],
            page_with_code=said.get("verification_uri_complete", said["verification_uri"]),
            device_code=said["device_code"],
            seconds=float(said["expires_in"]),
            pause=float(said.get("interval", SLOWER_SECONDS)),
        )
    except (KeyError, TypeError, ValueError):
        raise GatewayAway("answered something else") from None


async def collect(
    client: aiohttp.ClientSession, gateway: str, codes: Codes, pause: Pause
) -> Tokens:
    """Wait until a person approves. Raises NotLetIn when they refuse, or do not answer in time."""
    waited, between = 0.0, codes.pause
    while waited < codes.seconds:
        await pause(between)
        waited += between
        try:
            return await _token(
                client, gateway, {"grant_type": DEVICE_GRANT, "device_code": codes.device_code}
            )
        except GatewayAway:
            # As RFC 8628 §3.5 wants it: who gets no answer asks less often.
            between *= 2
        except NotLetIn as no:
            if no.code == "slow_down":
                between += SLOWER_SECONDS
            elif no.code != "authorization_pending":
                raise
    raise NotLetIn("expired_token")


async def refreshed(client: aiohttp.ClientSession, gateway: str, refresh_token: str) -> Tokens:
    """The next pair; keep its refresh token before anything else.

    Raises GatewayAway, NotLetIn, and AnswerLost: then ask again soon, for a while the gateway gives
    the same pair once more.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return await _token(client, gateway, form, REFRESH)


async def _token(
    client: aiohttp.ClientSession,
    gateway: str,
    form: Mapping[str, str],
    within: aiohttp.ClientTimeout = EXCHANGE,
) -> Tokens:
    said = await _post(client, f"{gateway}/oauth/token", {"client_id": CLIENT_ID, **form}, within)
    try:
        return Tokens(
            access=said["access_token"],
            refresh=said["refresh_token"],
            seconds=float(said["expires_in"]),
        )
    except (KeyError, TypeError, ValueError):
        raise AnswerLost("answered something else") from None


async def _post(
    client: aiohttp.ClientSession,
    url: str,
    form: Mapping[str, str],
    within: aiohttp.ClientTimeout = EXCHANGE,
) -> Any:
    try:
        posting = client.post(url, data=form, allow_redirects=False, timeout=within)
        async with posting as answer:
            said = await answer.json()
            status = answer.status
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        # The gateway was not reachable.
        raise GatewayAway(type(error).__name__) from None
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise AnswerLost(type(error).__name__) from None
    if status == HTTPStatus.OK and isinstance(said, dict):
        return said
    # Only 400 and 401 are the gateway's own no (RFC 6749 §5.2); anything else may pass.
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED) and isinstance(said, dict):
        raise NotLetIn(str(said.get("error", "invalid_request"))[:50])
    lost = AnswerLost if status >= HTTPStatus.INTERNAL_SERVER_ERROR else GatewayAway
    raise lost(f"answered {status}")
