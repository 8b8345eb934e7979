"""A shop's staff and who manages them, in front of a gateway whose projectors work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from httpx import Response

from tests.services.gateway.adapters.bot_api import open_bot_api
from tests.services.gateway.api.shop_door import Door, Someone, opened
from tests.services.gateway.code_desk import some_phone
from tests.services.gateway.told import catch_up

USERS: Final = "/api/users"


@asynccontextmanager
async def projecting(url: str) -> AsyncIterator[Door]:
    """A gateway with its projectors at work."""

    async def project(door: Door) -> None:
        while True:
            await catch_up(door.deps.identity)
            await asyncio.sleep(0.01)

    async with open_bot_api() as api, opened(url, api) as made:
        working = asyncio.create_task(project(made))
        try:
            yield made
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def an_admin(door: Door) -> Someone:
    """The admin of a shop of her own, whom the lists show."""
    made = Someone()
    await door.register(made)
    await known(door, made)
    return made


async def known(door: Door, who: Someone) -> None:
    """Wait until the lists show somebody."""
    async with asyncio.timeout(10):
        while who.phone not in (await listed(door, who)):
            await asyncio.sleep(0.01)


async def listed(door: Door, boss: Someone, **asked: Any) -> dict[str, Any]:
    """The staff by phone, as the boss sees them."""
    answer = await door.client.get(f"{USERS}/", params=asked, headers=boss.headers)
    assert answer.status_code == 200, answer.text
    return {one["phone"]: one for one in answer.json()["items"]}


async def hire(door: Door, boss: Someone, role: str = "florist", **more: Any) -> Response:
    """Take somebody on; the answer."""
    body = {"phone": some_phone(), "name": "Белла", "role": role, **more}
    return await door.client.post(f"{USERS}/", json=body, headers=boss.headers)


async def hired(door: Door, boss: Someone, role: str = "florist") -> tuple[Someone, int]:
    """Somebody who was taken on and is logged in, and their number."""
    bella = Someone()
    answer = await hire(door, boss, role, phone=bella.phone)
    await door.link(bella)
    await door.log_in(bella)
    return bella, answer.json()["id"]


async def change(door: Door, boss: Someone, number: int, body: object, what: str = "") -> Response:
    """Change somebody; the answer."""
    return await door.client.patch(f"{USERS}/{number}{what}", json=body, headers=boss.headers)


async def me(door: Door, who: Someone) -> int:
    """Somebody's own number."""
    return int((await door.who_is(who)).json()["user"]["id"])
