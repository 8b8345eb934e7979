"""Having a scale for oneself while speaking to it, and letting go in time if that is over (R1)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from libs.errors import Unavailable
from services.scale_bridge.driver.adapters.driver import GRACE_SECONDS
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.transfer.handlers.device_task import Turns

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.1


class NoTurn(Exception):
    """Somebody else speaks to the scale and does not come to an end."""


class TurnLost(Exception):
    """The turn ran out while it was used: the connection to the scale is closed by now."""


@asynccontextmanager
async def having(
    turns: Turns, endpoint: Endpoint, holder: str, *, wait_seconds: float
) -> AsyncIterator[None]:
    """Have the scale for the block, which is cancelled before the turn is anybody else's.

    Raises NoTurn after waiting, TurnLost, Unavailable.
    """
    await _taken(turns, endpoint, holder, wait_seconds)
    lost = False

    def lose() -> None:
        nonlocal lost
        lost = True
        if doing is not None:
            doing.cancel()

    doing = asyncio.current_task()
    renewing = asyncio.create_task(_renewed(turns, endpoint, holder))
    renewing.add_done_callback(lambda done: None if done.cancelled() else lose())
    try:
        yield
    except asyncio.CancelledError:
        if lost and doing is not None and doing.uncancel() == 0:
            raise TurnLost from None
        raise
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        try:
            await turns.give_back(endpoint, holder)
        except Unavailable:
            # It runs out by itself.
            log.info("lease not given back")


async def _taken(turns: Turns, endpoint: Endpoint, holder: str, wait_seconds: float) -> None:
    now = asyncio.get_running_loop().time
    until = now() + wait_seconds
    while not await turns.take(endpoint, holder):
        if now() >= until:
            raise NoTurn
        await asyncio.sleep(LOOK_SECONDS)


async def _renewed(turns: Turns, endpoint: Endpoint, holder: str) -> None:
    """Renew until cancelled; returns when the turn is lost, or so nearly that one must let go."""
    now = asyncio.get_running_loop().time
    good_until = now() + turns.seconds
    while now() < good_until - GRACE_SECONDS - 1.0:
        await asyncio.sleep(turns.seconds / 4)
        asked_at = now()
        try:
            async with asyncio.timeout(turns.seconds / 4):
                renewed = await turns.renew(endpoint, holder)
        except (Unavailable, TimeoutError):
            continue
        if not renewed:
            return
        good_until = asked_at + turns.seconds
