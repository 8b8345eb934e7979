"""The daemon's way to the service, when whoever answers there is not well."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from services.scale_bridge.adapters import bridge_link
from services.scale_bridge.adapters.bridge_link import open_link
from services.scale_bridge.adapters.bridge_login import GatewayAway


async def test_a_line_that_takes_the_call_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    monkeypatch.setattr(bridge_link, "OPEN_SECONDS", 0.1)
    runner = web.ServerRunner(web.Server(silent), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as client, asyncio.timeout(20):
        with pytest.raises(GatewayAway):
            async with open_link(client, gateway, "a"):
                pass
    await runner.cleanup()
