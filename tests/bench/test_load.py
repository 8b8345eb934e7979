"""What the load generator does with answers other than 200."""

import asyncio
from typing import Any

from aiohttp import web

from tests.bench.load import closed

WINDOW = 100


async def test_refused_requests_do_not_hold_up_a_load_that_waits_for_what_it_sent(
    database: str,
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=503)

    app = web.Application()
    app.router.add_post("/", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    command: dict[str, Any] = {
        "url": f"http://127.0.0.1:{runner.addresses[0][1]}/",
        "headers": {},
        "count": 20,
        "size": 20,
        "connections": 4,
        "gate": {"window": WINDOW, "dsn": database, "sql": "SELECT 0"},
    }
    try:
        async with asyncio.timeout(30):
            answer = await closed(command)
    finally:
        await runner.cleanup()

    assert answer["statuses"] == {"503": 20}
