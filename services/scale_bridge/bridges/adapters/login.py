"""The agent's login at the gateway: a device grant (RFC 8628), then refreshed tokens."""

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
"""Short: a lost answer can be requested again while the gateway still repeats it."""

Pause: TypeAlias = Callable[[float], Awaitable[None]]


class GatewayUnavailable(Exception):
    """The gateway gave no valid answer; a later attempt may succeed. The text has no secret."""


class AnswerLost(GatewayUnavailable):
    """The answer is missing, but the gateway may have processed the request."""


class NotAuthorized(Exception):
    """The gateway refused; `code` is one of RFC 6749 §5.2 or RFC 8628 §3.5."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """The code a person types on a page. `device_code` is the agent's own secret."""

    user_code: str
    page: str
    page_with_code: str
    device_code: str = field(repr=False)
    seconds: float
    pause: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """An access token, valid for `seconds`, and a refresh token, valid once."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    seconds: float


async def request_codes(client: aiohttp.ClientSession, gateway: str, name: str) -> Codes:
    """Begin a device grant for an agent called `name`. Raises GatewayUnavailable, NotAuthorized."""
    form = {"client_id": CLIENT_ID, "device_name": name}
    answer = await _post(client, f"{gateway}/oauth/device_authorization", form)
    try:
        return Codes(
            user_code=answer["user_code"],
            page=answer["verification_uri"],
            page_with_code=answer.get("verification_uri_complete", answer["verification_uri"]),
            device_code=answer["device_code"],
            seconds=float(answer["expires_in"]),
            pause=float(answer.get("interval", SLOWER_SECONDS)),
        )
    except (KeyError, TypeError, ValueError):
        raise GatewayUnavailable("answered something else") from None


async def poll_tokens(
    client: aiohttp.ClientSession, gateway: str, codes: Codes, pause: Pause
) -> Tokens:
    """Wait until a person approves. Raises NotAuthorized if they refuse or take too long."""
    waited, between = 0.0, codes.pause
    while waited < codes.seconds:
        await pause(between)
        waited += between
        try:
            return await _token(
                client, gateway, {"grant_type": DEVICE_GRANT, "device_code": codes.device_code}
            )
        except GatewayUnavailable:
            # RFC 8628 §3.5: after no answer the client polls less often.
            between *= 2
        except NotAuthorized as no:
            if no.code == "slow_down":
                between += SLOWER_SECONDS
            elif no.code != "authorization_pending":
                raise
    raise NotAuthorized("expired_token")


async def refresh_tokens(client: aiohttp.ClientSession, gateway: str, refresh_token: str) -> Tokens:
    """The next pair of tokens; store its refresh token before anything else.

    Raises GatewayUnavailable, NotAuthorized, and AnswerLost: then repeat it soon, since the gateway
    answers with the same pair only for a while.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return await _token(client, gateway, form, REFRESH)


async def _token(
    client: aiohttp.ClientSession,
    gateway: str,
    form: Mapping[str, str],
    within: aiohttp.ClientTimeout = EXCHANGE,
) -> Tokens:
    answer = await _post(client, f"{gateway}/oauth/token", {"client_id": CLIENT_ID, **form}, within)
    try:
        return Tokens(
            access=answer["access_token"],
            refresh=answer["refresh_token"],
            seconds=float(answer["expires_in"]),
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
        async with posting as response:
            answer = await response.json()
            status = response.status
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        # Not connected: the gateway did nothing.
        raise GatewayUnavailable(type(error).__name__) from None
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise AnswerLost(type(error).__name__) from None
    if status == HTTPStatus.OK and isinstance(answer, dict):
        return answer
    # Only 400 and 401 are refusals (RFC 6749 §5.2); other errors may be temporary.
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED) and isinstance(answer, dict):
        raise NotAuthorized(str(answer.get("error", "invalid_request"))[:50])
    lost = AnswerLost if status >= HTTPStatus.INTERNAL_SERVER_ERROR else GatewayUnavailable
    raise lost(f"answered {status}")
