"""A page of the staff that stays open all day and receives what happens."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from deploy.demo.shop.staff import Member

PAUSE_SECONDS: Final = 0.5
REFUSED: Final = 1008


class LivePage:
    """A WebSocket that reconnects after an outage and resumes after the last message it got.

    `kind` is `orders` or `production`. `seen` counts messages as `ShopLedger` does; one that comes
    twice counts twice.
    """

    def __init__(self, member: Member, kind: str) -> None:
        self._member = member
        self._url = f"{member.url}/ws/{kind}/{member.shop_id}"
        self._last: dict[str, str] = {}
        self.connected = asyncio.Event()
        self.seen: Counter[str] = Counter()

    async def stay_open(self) -> None:
        """Receive until cancelled."""
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._receive()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _receive(self) -> None:
        token = self._member.headers["Authorization"].removeprefix("Bearer ")
        url = f"{self._url}?{urlencode({'token': token, **self._last})}"
        async with self._member.session.ws_connect(url, heartbeat=10.0) as socket:
            async for frame in socket:
                self._take(frame.json())
            if socket.close_code == REFUSED:
                await self._member.renew()

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "connection"}:
                self.connected.set()
                return
            case {"type": "status_changed", "data": data}:
                self.seen[f"{data['old_status']} → {data['new_status']}"] += 1
            case {"data": {"task_id": _, "status": str(status)}}:
                self.seen[status] += 1
            case {"event_id": _, "type": str(kind)}:
                self.seen[kind] += 1
            case _:
                return
        self._last = {"last_event_id": message["event_id"]}
