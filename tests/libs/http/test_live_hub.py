"""The hub of live queries by itself: which state a viewer begins with."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from libs.http import hub as hubs
from libs.http.live import Event, LiveQuery, StreamHub, StreamSettings
from libs.postgres.doorbell import PROJECTED, Doorbell
from libs.testing.polling import PATIENCE_SECONDS, eventually

SETTINGS = StreamSettings(
    stream_poll_seconds=0.01, stream_idle_seconds=60, stream_heartbeat_seconds=30
)


class Tally:
    """A read model whose only content is its position."""

    position = 0

    async def positions(self) -> Mapping[str, Any]:
        return {"tally": self.position}


class LiveTally(LiveQuery[int]):
    """The tally. A load is finished once `may_finish` is set."""

    models = ("tally",)
    resumable = True

    def __init__(self, tally: Tally, key: str) -> None:
        self.tally, self.key = tally, key
        self.loads = 0
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def load(self, *, changed: bool) -> int:
        self.loads += 1
        position = self.tally.position
        await self.may_finish.wait()
        return position

    def event(self, old: int | None, new: int) -> Event | None:
        return ("tally", new) if old != new else None


async def test_a_load_that_outlives_its_viewers_is_not_what_the_next_one_gets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hubs, "DEAF_SECONDS", PATIENCE_SECONDS)
    tally, doorbell = Tally(), Doorbell("postgresql://nowhere", "none")
    gauge = Gauge("streams", "Streams", registry=CollectorRegistry())
    hub = StreamHub(doorbell, SETTINGS, tally.positions, gauge)
    staying, leaving = LiveTally(tally, "staying"), LiveTally(tally, "leaving")

    async with hub.subscribe(staying) as feed:
        async with hub.subscribe(leaving):
            leaving.may_finish.clear()
            tally.position = 1
            doorbell.ring(PROJECTED)
            await eventually(lambda: leaving.loads, 2)
        leaving.may_finish.set()
        tally.position = 2
        doorbell.ring(PROJECTED)
        await eventually(lambda: feed.state, 2)

        async with hub.subscribe(leaving) as later:
            assert later.state == 2
