"""The daemon: connected whenever that can be, at work whatever the connection does (SCL-11, 12).

Work is on the disk before it counts as taken, reports are on the disk before they are told, and
both are repeated until the other side has them too. Nothing that fails ends it: that is logged,
and tried again, with more and more time between.
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
from services.scale_bridge.bridges.adapters import login as bridge_login
from services.scale_bridge.bridges.adapters.identity import (
    Identity,
    NotEnrolled,
    read_identity,
    write_identity,
)
from services.scale_bridge.bridges.adapters.link import (
    KeyRefused,
    LinkLost,
    TokenWorn,
    open_link,
    show_key,
)
from services.scale_bridge.bridges.adapters.login import AnswerLost, GatewayAway, NotLetIn, Tokens
from services.scale_bridge.bridges.handlers.connection import communicate
from services.scale_bridge.bridges.handlers.runner import Runner

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = (1.0, 2.0)
"""After how long a refresh is repeated whose answer got lost, while the gateway still gives the
same one: for half a minute after the first."""
SPARE: Final = 0.8
"""The part of a token's life after which a connection is opened anew, with another token."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayClient:
    """What the daemon needs to be in touch. `chance` is a random number from 0 to 1."""

    home: Path
    client: aiohttp.ClientSession
    program: str
    name: str
    chance: Callable[[], float]
    longest_pause: float = LONGEST_PAUSE_SECONDS


async def run(runner: Runner, gateway: GatewayClient) -> None:
    """Work and be in touch, until cancelled."""
    await race(
        _for_ever(runner.run, gateway, "runner"),
        _for_ever(lambda: _in_touch(runner, gateway), gateway, "link"),
    )


async def _in_touch(runner: Runner, gateway: GatewayClient) -> None:
    """One connection after the other."""
    failures, passes = 0, _Passes(gateway)
    while True:
        met = _Met()
        try:
            await _connected(runner, gateway, passes, met)
        except (NotEnrolled, NotLetIn, KeyRefused) as error:
            # It may be enrolled anew at any time: that is noticed without a restart.
            log.error("bridge not let in, enrol it again", reason=_reason(error))
        except TokenWorn:
            passes.tear()
            log.info("bridge not connected", reason="its token is not taken")
        except (GatewayAway, LinkLost) as error:
            log.info("bridge not connected", reason=_reason(error))
        failures = 0 if met.welcomed else failures + 1
        await asyncio.sleep(pause_after(failures, gateway))


class _Met:
    """Whether the service was there."""

    def __init__(self) -> None:
        self.welcomed = False

    def __call__(self) -> None:
        self.welcomed = True
        log.info("bridge connected")


class _Passes:
    """The token that lets the daemon in, as long as it is good.

    A new one is asked for as seldom as can be: the answer may get lost more often than it can be
    asked for again, and with it the only refresh token that is good.
    """

    def __init__(self, gateway: GatewayClient) -> None:
        self._office = gateway
        self._now = asyncio.get_running_loop().time
        self._identity: Identity | None = None
        self._access, self._worn_at = "", 0.0

    def tear(self) -> None:
        """It is good no more, whatever was said of it."""
        self._identity = None

    async def current(self) -> tuple[Identity, str, float]:
        """Who the daemon is, its token, and for how many seconds. Raises NotLetIn, GatewayAway."""
        identity = await asyncio.to_thread(read_identity, self._office.home)
        if self._identity != identity or self._now() >= self._worn_at:
            tokens = await self._refreshed(identity)
            # Kept before it is used: what is not kept would be lost for good.
            identity = replace(identity, refresh_token=tokens.refresh)
            await asyncio.to_thread(write_identity, self._office.home, identity)
            self._identity, self._access = identity, tokens.access
            self._worn_at = self._now() + tokens.seconds * SPARE
        return identity, self._access, self._worn_at - self._now()

    async def _refreshed(self, identity: Identity) -> Tokens:
        """New tokens. An answer that got lost is asked for at once again: later it would be gone,
        and the daemon had to be enrolled anew."""
        for seconds in AGAIN_SECONDS:
            try:
                return await self._refreshed_tokens(identity)
            except AnswerLost as error:
                log.info("bridge asks for its token again", reason=_reason(error))
            await asyncio.sleep(seconds * (0.5 + self._office.chance() / 2))
        return await self._refreshed_tokens(identity)

    async def _refreshed_tokens(self, identity: Identity) -> Tokens:
        client = self._office.client
        return await bridge_login.refreshed(client, identity.gateway, identity.refresh_token)


async def _connected(runner: Runner, gateway: GatewayClient, passes: _Passes, met: _Met) -> None:
    identity, access, seconds = await passes.current()
    public_key = public_of(identity.private_key)
    await show_key(gateway.client, identity.gateway, access, public_key, gateway.name)
    async with open_link(gateway.client, identity.gateway, access) as link:
        talking = communicate(link, runner, program=gateway.program, welcomed=met)
        await race(talking, asyncio.sleep(seconds))


async def _for_ever(once: Callable[[], Awaitable[None]], gateway: GatewayClient, what: str) -> None:
    """The watchdog: whatever fails unexpectedly is started again."""
    failures = 0
    while True:
        try:
            await once()
        except asyncio.CancelledError:
            if _is_to_end():
                raise
            failures += 1
            log.exception("bridge broken off", what=what)
        except Exception:
            failures += 1
            log.exception("bridge failed", what=what)
        await asyncio.sleep(pause_after(failures, gateway))


def _is_to_end() -> bool:
    """Whether this task was cancelled, and not something that it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def pause_after(failures: int, gateway: GatewayClient) -> float:
    """Seconds: doubled with every failure, and scattered, so that not all bridges come at once."""
    longest = min(gateway.longest_pause, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 20))
    return longest * (0.5 + gateway.chance() / 2)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
