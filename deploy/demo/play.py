"""The day as it happens: every device scans, loses its network, sends, and never gives up."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from deploy.demo import device
from deploy.demo.device import Answer, Outbox, Verdict
from deploy.demo.ledger import Ledger
from deploy.demo.mischief import Event
from deploy.demo.outages import Outages
from deploy.demo.plan import Device, Plan, Scan

LEAST_RETRY_SECONDS: Final = 0.25
"""However fast the day passes, a server that is down is not stormed."""
LEAST_TICK_SECONDS: Final = 0.05
POLL_SECONDS: Final = 0.5


class Post(Protocol):
    """What a device needs of the gateway."""

    async def post(self, events: "list[Event]") -> Answer:
        """See `send.Gateway`."""
        ...

    async def post_and_hang_up(self, events: "list[Event]") -> Answer:
        """See `send.Gateway`."""
        ...


class GaveUp(Exception):
    """The gateway could not be used for longer than anybody wants to wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedClock:
    """A clock that runs at `speed` times real time, since `started_at` (monotonic)."""

    speed: float
    started_at: float

    def at(self) -> float:
        """Seconds of the day that have passed."""
        return (time.monotonic() - self.started_at) * self.speed

    def real(self, seconds: float, *, least: float = 0.0) -> float:
        """How long simulated seconds take."""
        return max(seconds / self.speed, least)

    async def until(self, at: float) -> None:
        """Wait for that second of the day."""
        if (left := at - self.at()) > 0:
            await asyncio.sleep(left / self.speed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What all devices share."""

    clock: SimulatedClock
    gateway: Post
    ledger: Ledger
    outages: Outages


async def play(
    plan: Plan, *, gateway: Post, ledger: Ledger, outages: Outages, speed: float, patience: float
) -> None:
    """Play the whole day; returns when every event of it was acknowledged.

    Raises `GaveUp` after `patience` seconds in which nothing worked.
    """
    clock = SimulatedClock(speed=speed, started_at=time.monotonic())
    scene = Scene(clock=clock, gateway=gateway, ledger=ledger, outages=outages)
    actors = [asyncio.create_task(Actor(each, scene).work()) for each in plan.devices]
    try:
        waiting = set(actors)
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=POLL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            for each in done:
                each.result()
            if outages.seconds() > patience:
                raise GaveUp(f"nothing worked for {patience:.0f} seconds")
    finally:
        for each in actors:
            each.cancel()
        await asyncio.gather(*actors, return_exceptions=True)


class Actor:
    """One device and the person who holds it."""

    def __init__(self, plan: Device, scene: Scene) -> None:
        self._plan = plan
        self._scene = scene
        self._outbox = Outbox()
        self._requests = 0
        self._trigger = asyncio.Event()
        self._drained = asyncio.Event()
        self._finished = False

    async def work(self) -> None:
        """The whole day, until everything was acknowledged."""
        syncing = asyncio.create_task(self._sync_all())
        try:
            await self._scan_all()
            await syncing
        finally:
            syncing.cancel()
            with suppress(asyncio.CancelledError):
                await syncing

    async def _scan_all(self) -> None:
        resends = list(self._plan.weather.resends)
        *scans, last = self._plan.scans
        for scan in scans:
            await self._scene.clock.until(scan.at)
            if resends and resends[0] <= scan.at:
                resends.pop(0)
                self._outbox = device.resend(self._outbox)
                self._scene.ledger.troubles["whole days re-sent"] += 1
            self._take(scan)
        # The last scan arrives alone, so that everybody knows which one arrived last.
        self._drained.clear()
        await self._drained.wait()
        await self._scene.clock.until(last.at)
        self._take(last)
        self._finished = True

    def _take(self, scan: Scan) -> None:
        self._outbox = device.scan(self._outbox, scan.key, scan.event)
        if scan.event["type"] in device.AT_ONCE:
            self._trigger.set()
        elif scan.event["type"] in device.DEBOUNCED:
            delay = self._scene.clock.real(device.DEBOUNCE_SECONDS)
            asyncio.get_running_loop().call_later(delay, self._trigger.set)

    async def _sync_all(self) -> None:
        clock, weather = self._scene.clock, self._plan.weather
        was_offline = False
        tick = clock.real(device.TICK_SECONDS, least=LEAST_TICK_SECONDS)
        while not self._finished or self._outbox.unsent:
            with suppress(TimeoutError):
                async with asyncio.timeout(tick):
                    await self._trigger.wait()
            self._trigger.clear()
            offline = weather.is_offline(clock.at())
            if offline and not was_offline:
                self._scene.ledger.troubles["times without network"] += 1
            was_offline = offline
            if self._outbox.unsent and not offline:
                await self._sync()
            if not self._outbox.unsent:
                self._drained.set()

    async def _sync(self) -> None:
        """One batch, up to three times."""
        batch = device.next_batch(self._outbox)
        pause = self._scene.clock.real(device.RETRY_SECONDS, least=LEAST_RETRY_SECONDS)
        for attempt in range(1, device.ATTEMPTS + 1):
            answer = await self._send(batch)
            self._outbox = device.apply_response(self._outbox, batch, answer)
            if device.verdict(answer, attempt=attempt) is Verdict.SENT:
                return
            await asyncio.sleep(pause)
            if device.verdict(answer, attempt=attempt) is Verdict.LATER:
                return

    async def _send(self, batch: Mapping[str, Event]) -> Answer:
        number, weather = self._requests, self._plan.weather
        self._requests += 1
        if number in weather.lost:
            self._scene.ledger.troubles["answers lost"] += 1
            return await self._lose(batch)
        if number in weather.doubled:
            self._scene.ledger.troubles["batches posted twice at once"] += 1
            first, second = await asyncio.gather(self._post(batch), self._post(batch))
            return first if first.accepts else second
        return await self._post(batch)

    async def _post(self, batch: Mapping[str, Event]) -> Answer:
        begun = time.monotonic()
        self._scene.ledger.record_sent(batch, now=datetime.now(UTC))
        answer = await self._scene.gateway.post(list(batch.values()))
        self._scene.ledger.record_answer(batch, answer, now=datetime.now(UTC))
        if answer.accepts:
            self._scene.outages.worked(begun=begun)
        else:
            self._scene.outages.failed(answer.text or f"{answer.status} without ok")
        return answer

    async def _lose(self, batch: Mapping[str, Event]) -> Answer:
        self._scene.ledger.record_sent(batch, now=datetime.now(UTC))
        answer = await self._scene.gateway.post_and_hang_up(list(batch.values()))
        self._scene.ledger.record_answer(batch, answer, now=datetime.now(UTC))
        return answer
