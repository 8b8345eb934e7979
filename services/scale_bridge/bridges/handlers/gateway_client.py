"""The agent: it executes tasks, and stays connected to the service (SCL-11, 12).

Tasks are stored before they are confirmed, reports before they are sent, and both are repeated
until the other side has stored them. No failure ends the agent: it is logged, and what failed is
repeated with growing pauses.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
import structlog

from libs.process.concurrency import race
from libs.security.sealed_box import public_of
from services.scale_bridge.bridges.adapters import login
from services.scale_bridge.bridges.adapters.identity import (
    Identity,
    NotEnrolled,
    read_identity,
    write_identity,
)
from services.scale_bridge.bridges.adapters.link import (
    KeyRefused,
    LinkLost,
    TokenRejected,
    open_link,
    register_key,
)
from services.scale_bridge.bridges.adapters.login import (
    AnswerLost,
    GatewayUnavailable,
    NotAuthorized,
    Tokens,
)
from services.scale_bridge.bridges.handlers.connection import communicate
from services.scale_bridge.bridges.handlers.runner import Runner

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = (1.0, 2.0)
"""The pauses before a refresh with a lost answer is repeated. The gateway gives the same answer for
half a minute."""
SPARE: Final = 0.8
"""The part of a token's lifetime after which the agent reconnects with a new one."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayClient:
    """How an agent reaches the service. `chance` returns a random number from 0 to 1."""

    home: Path
    client: aiohttp.ClientSession
    program: str
    name: str
    chance: Callable[[], float]
    longest_pause: float = LONGEST_PAUSE_SECONDS


async def run(runner: Runner, gateway: GatewayClient) -> None:
    """Execute tasks and stay connected, until cancelled."""
    await race(
        _supervised(runner.run, gateway, "runner"),
        _supervised(lambda: _stay_connected(runner, gateway), gateway, "link"),
    )


async def _stay_connected(runner: Runner, gateway: GatewayClient) -> None:
    """Open one connection after the other."""
    failures, tokens = 0, _AccessTokens(gateway)
    while True:
        greeting = _Greeting()
        try:
            await _connect(runner, gateway, tokens, greeting)
        except (NotEnrolled, NotAuthorized, KeyRefused) as error:
            # No restart is needed: each attempt reads the identity again.
            log.error("bridge not let in, enrol it again", reason=_reason(error))
        except TokenRejected:
            tokens.discard()
            log.info("bridge not connected", reason="its token is not taken")
        except (GatewayUnavailable, LinkLost) as error:
            log.info("bridge not connected", reason=_reason(error))
        failures = 0 if greeting.welcomed else failures + 1
        await asyncio.sleep(pause_after(failures, gateway))


class _Greeting:
    """Whether the service has answered the greeting."""

    def __init__(self) -> None:
        self.welcomed = False

    def __call__(self) -> None:
        self.welcomed = True
        log.info("bridge connected")


class _AccessTokens:
    """The agent's access token, refreshed when its lifetime ends.

    It is refreshed as seldom as possible: an answer that is lost for good takes the only valid
    refresh token with it.
    """

    def __init__(self, gateway: GatewayClient) -> None:
        self._gateway = gateway
        self._now = asyncio.get_running_loop().time
        self._identity: Identity | None = None
        self._access, self._expires_at = "", 0.0

    def discard(self) -> None:
        """Forget a token that the gateway rejected."""
        self._identity = None

    async def current(self) -> tuple[Identity, str, float]:
        """The identity, an access token, and the seconds until it is renewed.

        Raises NotEnrolled, NotAuthorized, GatewayUnavailable.
        """
        identity = await asyncio.to_thread(read_identity, self._gateway.home)
        if self._identity != identity or self._now() >= self._expires_at:
            tokens = await self._refreshed(identity)
            # Stored before it is used: a refresh token that is not stored is lost for good.
            identity = replace(identity, refresh_token=tokens.refresh)
            await asyncio.to_thread(write_identity, self._gateway.home, identity)
            self._identity, self._access = identity, tokens.access
            self._expires_at = self._now() + tokens.seconds * SPARE
        return identity, self._access, self._expires_at - self._now()

    async def _refreshed(self, identity: Identity) -> Tokens:
        """New tokens. The request is repeated at once if its answer is lost: later the gateway
        would not repeat the answer, and the agent would have to be enrolled again.
        """
        for seconds in AGAIN_SECONDS:
            try:
                return await self._refresh(identity)
            except AnswerLost as error:
                log.info("bridge asks for its token again", reason=_reason(error))
            await asyncio.sleep(seconds * (0.5 + self._gateway.chance() / 2))
        return await self._refresh(identity)

    async def _refresh(self, identity: Identity) -> Tokens:
        client = self._gateway.client
        return await login.refresh_tokens(client, identity.gateway, identity.refresh_token)


async def _connect(
    runner: Runner, gateway: GatewayClient, tokens: _AccessTokens, greeting: _Greeting
) -> None:
    identity, access, seconds = await tokens.current()
    public_key = public_of(identity.private_key)
    await register_key(gateway.client, identity.gateway, access, public_key, gateway.name)
    async with open_link(gateway.client, identity.gateway, access) as link:
        messages = communicate(link, runner, program=gateway.program, welcomed=greeting)
        await race(messages, asyncio.sleep(seconds))


async def _supervised(
    once: Callable[[], Awaitable[None]], gateway: GatewayClient, what: str
) -> None:
    """Start a part of the agent again whenever it fails."""
    failures = 0
    while True:
        try:
            await once()
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            failures += 1
            log.exception("bridge broken off", what=what)
        except Exception:
            failures += 1
            log.exception("bridge failed", what=what)
        await asyncio.sleep(pause_after(failures, gateway))


def _is_cancelled() -> bool:
    """Whether this task was cancelled, not only a task it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def pause_after(failures: int, gateway: GatewayClient) -> float:
    """Seconds before the next attempt: doubled with every failure, with jitter."""
    longest = min(gateway.longest_pause, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 20))
    return longest * (0.5 + gateway.chance() / 2)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
