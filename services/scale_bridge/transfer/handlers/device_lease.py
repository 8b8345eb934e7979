"""The exclusive lease on a device: taken, renewed, and released in time (R1)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from libs.errors import Unavailable
from services.scale_bridge.driver.adapters.driver import GRACE_SECONDS
from services.scale_bridge.driver.domain.address import Endpoint
from services.scale_bridge.transfer.handlers.device_task import DeviceLeases

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.1


class LeaseBusy(Exception):
    """The lease on the device was not free in time."""


class LeaseLost(Exception):
    """The lease ran out while it was held: the connection to the scale is closed by now."""


@asynccontextmanager
async def hold_lease(
    leases: DeviceLeases, endpoint: Endpoint, holder: str, *, wait_seconds: float
) -> AsyncIterator[None]:
    """Hold the lease for the block, which is cancelled before the lease is another holder's.

    Raises LeaseBusy after waiting, LeaseLost, Unavailable.
    """
    await _taken(leases, endpoint, holder, wait_seconds)
    lost = False

    def lose() -> None:
        nonlocal lost
        lost = True
        if doing is not None:
            doing.cancel()

    doing = asyncio.current_task()
    renewing = asyncio.create_task(_renewed(leases, endpoint, holder))
    renewing.add_done_callback(lambda done: None if done.cancelled() else lose())
    try:
        yield
    except asyncio.CancelledError:
        if lost and doing is not None and doing.uncancel() == 0:
            raise LeaseLost from None
        raise
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        try:
            await leases.release(endpoint, holder)
        except Unavailable:
            # It runs out by itself.
            log.info("lease not given back")


async def _taken(
    leases: DeviceLeases, endpoint: Endpoint, holder: str, wait_seconds: float
) -> None:
    now = asyncio.get_running_loop().time
    until = now() + wait_seconds
    while not await leases.take(endpoint, holder):
        if now() >= until:
            raise LeaseBusy
        await asyncio.sleep(POLL_SECONDS)


async def _renewed(leases: DeviceLeases, endpoint: Endpoint, holder: str) -> None:
    """Renew until cancelled; returns when the lease is lost, or is about to be."""
    now = asyncio.get_running_loop().time
    good_until = now() + leases.seconds
    while now() < good_until - GRACE_SECONDS - 1.0:
        await asyncio.sleep(leases.seconds / 4)
        asked_at = now()
        try:
            async with asyncio.timeout(leases.seconds / 4):
                renewed = await leases.renew(endpoint, holder)
        except (Unavailable, TimeoutError):
            continue
        if not renewed:
            return
        good_until = asked_at + leases.seconds
