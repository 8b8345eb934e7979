"""A day from its beginning to the verdict, against a platform that runs already."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import aiohttp

from deploy.demo import compare, sums, truth
from deploy.demo.compare import Line
from deploy.demo.dashboard import Dashboard
from deploy.demo.ledger import Figures, Ledger
from deploy.demo.outages import Outages
from deploy.demo.plan import Plan
from deploy.demo.play import play
from deploy.demo.send import Gateway
from deploy.demo.sums import Ask, Scope, Sums

SETTLE_SECONDS: Final = 10.0
LEAST_PAUSE_SECONDS: Final = 0.25
MOST_PAUSE_SECONDS: Final = 4.0
MORE_TIMES: Final = 2

Tell: TypeAlias = Callable[[str], None]
ConcurrentWork: TypeAlias = Callable[[aiohttp.ClientSession], Awaitable[list[Line]]]
"""What else is done on a day while people scan: returns its lines of the comparison."""


async def no_concurrent_work(_: aiohttp.ClientSession) -> list[Line]:
    """A day of scanning only."""
    return []


def together(*works: ConcurrentWork) -> ConcurrentWork:
    """All of it at once; the lines in this order."""

    async def work(session: aiohttp.ClientSession) -> list[Line]:
        each = await asyncio.gather(*(one(session) for one in works))
        return [line for lines in each for line in lines]

    return work


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where the gateway is, and the key that opens it."""

    url: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How to play: simulated seconds per second, for how many seconds an outage is borne (also at
    the beginning), and for how many seconds the dashboards may lag behind at the end."""

    speed: float
    patience: float
    lag: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What came of it. `troubles` counts what the weather did; `wrong` are answers to devices
    that contradict the contract, in words."""

    figures: Figures
    troubles: Mapping[str, int]
    outages: int
    play_seconds: float
    lines: list[Line]
    wrong: list[str]

    @property
    def agrees(self) -> bool:
        """Every event arrived and every line agrees."""
        whole = self.figures.acknowledged == self.figures.planned_events
        return whole and all(line.agrees for line in self.lines)


class Day:
    """A planned day. Its figures may be read at any time, from any thread, while it runs."""

    def __init__(
        self,
        plan: Plan,
        address: Address,
        manner: Manner,
        *,
        tell: Tell,
        concurrent_work: ConcurrentWork = no_concurrent_work,
    ) -> None:
        self.plan = plan
        self.started_at: float | None = None
        self.stage = "waiting for the gateway"
        self._address = address
        self._manner = manner
        self._tell = tell
        self._beside = concurrent_work
        self._ledger = Ledger(planned_events=sum(1 for _ in plan.events()))
        self._outages = Outages(tell)

    def figures(self) -> Figures:
        """How far it is."""
        return self._ledger.figures()

    def outages(self) -> tuple[int, float]:
        """How many there were, and for how many seconds the present one has lasted."""
        return self._outages.count, self._outages.seconds()

    async def run(self) -> Verdict:
        """Play it and compare. Raises `NoAnswer` and `GaveUp`, both with a sentence."""
        scope = sums.scope_of(self.plan.events(), today=truth.day(datetime.now(UTC)))
        # No limit on connections: every device has its own.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            url, key = self._address.url, self._address.key
            ask = Dashboard(session, url, key, patience=self._manner.patience, tell=self._tell)
            before = await _settled(ask, scope)
            async with _meanwhile(self._beside(session)) as concurrent_work:
                seconds = await self._play(Gateway(session, url, key))
                self.stage = "comparing"
                lines = await _compared(ask, self._ledger, scope, before, lag=self._manner.lag)
                self.stage = "comparing the rest"
                lines += await concurrent_work
        return Verdict(
            figures=self.figures(),
            troubles=self._ledger.troubles,
            outages=self._outages.count,
            play_seconds=seconds,
            lines=lines,
            wrong=self._ledger.wrong,
        )

    async def _play(self, gateway: Gateway) -> float:
        self.stage, self.started_at = "scanning", time.monotonic()
        await play(
            self.plan,
            gateway=gateway,
            ledger=self._ledger,
            outages=self._outages,
            speed=self._manner.speed,
            patience=self._manner.patience,
        )
        return time.monotonic() - self.started_at


@asynccontextmanager
async def _meanwhile(work: Awaitable[list[Line]]) -> AsyncIterator[asyncio.Future[list[Line]]]:
    """Run something concurrently with the block, until the block ends; its errors are ignored."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _settled(ask: Ask, scope: Scope) -> Sums:
    """What the dashboards say once an earlier day has wholly arrived there."""
    found = await sums.displayed(ask, scope)
    if not any(sum(counts.values()) for counts in found.values()):
        return found
    latest = _glanced(found)

    async def unchanged() -> bool:
        nonlocal latest
        before, latest = latest, await _glance(ask, scope)
        return before == latest

    await _until(unchanged, seconds=SETTLE_SECONDS)
    return found if latest == _glanced(found) else await sums.displayed(ask, scope)


async def _compared(
    ask: Ask, ledger: Ledger, scope: Scope, before: Sums, *, lag: float
) -> list[Line]:
    """The lines, computed again after a while if the dashboards lag."""
    expected, start = _glanced(sums.sent(ledger.acknowledged(), scope)), _glanced(before)

    async def caught_up() -> bool:
        each = zip(await _glance(ask, scope), start, expected, strict=True)
        return all(now - then >= more for now, then, more in each)

    await _until(caught_up, seconds=lag)
    for _ in range(MORE_TIMES):
        lines = await compare.lines(ask, ledger, scope, before)
        if all(line.agrees for line in lines):
            return lines
        await asyncio.sleep(lag / 8)
    return await compare.lines(ask, ledger, scope, before)


async def _glance(ask: Ask, scope: Scope) -> tuple[int, ...]:
    """Little that tells much: items, errors, all rows, and what is in quarantine."""
    summary = (await ask.state(scope.whole())).summary
    return (*summary.values(), await ask.total(scope.whole()), await ask.quarantined())


def _glanced(found: Sums) -> tuple[int, ...]:
    rows, unfit = found["all rows"]["total"], found["quarantine"]["events"]
    return (*found["everything"].values(), rows, unfit)


async def _until(condition: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    """Ask until it is so, more and more seldom, because dashboards count how often one asks."""
    deadline, pause = time.monotonic() + seconds, LEAST_PAUSE_SECONDS
    while not await condition() and time.monotonic() < deadline:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, MOST_PAUSE_SECONDS)
