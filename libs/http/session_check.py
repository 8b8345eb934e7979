"""Checking with the gateway that a session is live, while this process may miss revocations."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from urllib.parse import quote, urljoin

import aiohttp
import structlog

from libs.errors import Unavailable
from libs.http.revocations import Revocations

ASK_SECONDS: Final = 2.0
"""The deadline of a check, including the wait for one of the `AT_ONCE` slots."""
AT_ONCE: Final = 8
ANSWERED_SECONDS = 5.0
"""How long a positive result is cached."""
CACHE_SIZE: Final = 10_000

Ask: TypeAlias = Callable[[str], Awaitable[bool]]

log = structlog.get_logger(__name__)


class SessionCheck:
    """Accepts every session while `revocations` is complete; otherwise calls `ask`, few at once."""

    def __init__(self, revocations: Revocations, ask: Ask) -> None:
        self._revocations = revocations
        self._ask = ask
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._live_until: OrderedDict[str, float] = OrderedDict()

    async def is_live(self, session: str) -> bool:
        """Whether the session is live. Raises Unavailable if that is not known in time."""
        now = asyncio.get_running_loop().time()
        if self._revocations.blind_since is None or self._live_until.get(session, 0.0) > now:
            return True
        try:
            async with asyncio.timeout(ASK_SECONDS), self._slots:
                live = await self._ask(session)
        except TimeoutError as error:
            raise Unavailable("session check") from error
        if live:
            self._live_until[session] = now + ANSWERED_SECONDS
            self._live_until.move_to_end(session)
            if len(self._live_until) > CACHE_SIZE:
                self._live_until.popitem(last=False)
        return live


def at_gateway(client: aiohttp.ClientSession, jwks_url: str) -> Ask:
    """A check with the gateway whose key set is at `jwks_url`."""
    sessions = urljoin(jwks_url, "/internal/sessions/")

    async def ask(session: str) -> bool:
        try:
            async with client.get(
                sessions + quote(session, safe=""), allow_redirects=False
            ) as response:
                response.raise_for_status()
                return (await response.json())["live"] is True
        except (aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
            log.warning("session not checked", error=type(error).__name__)
            raise Unavailable("session check") from error

    return ask
