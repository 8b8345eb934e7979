"""A daemon, and the line between it and the service."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from deploy.local.ports import free_port
from libs.security.sealed_box import generate_private
from services.scale_bridge.adapters.bridge_identity import Identity, home_of, write_identity
from services.scale_bridge.api.bridge_command import Order, open_desk
from services.scale_bridge.handlers.bridge_desk import BridgeDesk
from services.scale_bridge.handlers.bridge_run import Office, run
from tests.chaos.proxy import Proxy
from tests.services.scale_bridge.bridging import LOOPBACK, House


class Line(Proxy):
    """A line to the service, which may be cut; it begins at `http://{address}`."""

    def lead_to(self, port: int) -> None:
        """Let connections from now on end at another port."""
        self._target = port


@asynccontextmanager
async def line_to(house: House) -> AsyncIterator[Line]:
    """A line to this service."""
    async with Line(free_port(), house.port) as line:
        yield line


def enrolled(home: Path, gateway: str) -> None:
    """Make it a daemon's that somebody has let in."""
    with home_of(home):
        write_identity(
            home,
            Identity(gateway=gateway, private_key=generate_private(), refresh_token="refresh 0"),
        )


def an_order(home: Path) -> Order:
    """A command line for scales on this machine."""
    return Order(gateway=None, state=home, name="back room", enrol=False, policy=LOOPBACK, lines=8)


@asynccontextmanager
async def daemon(home: Path) -> AsyncIterator[BridgeDesk]:
    """A daemon in this process; what it was at when it is left, it was at when it died."""
    async with aiohttp.ClientSession() as client, open_desk(an_order(home)) as desk:
        office = Office(
            home=home,
            client=client,
            program="test",
            name="back room",
            chance=random.random,
            longest_pause=1.0,
        )
        running = asyncio.create_task(run(desk, office))
        try:
            yield desk
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
