"""A task executed on a scale: the texts of its outcomes (R4, R16), and the connections it makes
(R3, R6)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from contracts.scale_bridge import DeviceId, OperationId
from libs.postgres.pool import Pool
from libs.testing.clock import Clock, MonotonicClock
from services.scale_bridge.driver.adapters.driver import Driver
from services.scale_bridge.driver.domain.address import Policy
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.adapters.server import Simulator
from services.scale_bridge.transfer.domain import failure_texts
from services.scale_bridge.transfer.domain.breaker import BreakerRules
from services.scale_bridge.transfer.domain.kinds import Kind, Outcome
from services.scale_bridge.transfer.handlers.device_task import (
    DeviceTask,
    ExecutionContext,
    RateLimiter,
)
from services.scale_bridge.transfer.handlers.perform import perform
from services.scale_bridge.transfer.stores.breakers import LocalBreakers
from services.scale_bridge.transfer.stores.local import LocalLeases, LocalRateLimits
from services.scale_bridge.transfer.stores.rate_limits import CONNECTION_SECONDS, RateLimits
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale, endpoint, priced
from tests.services.scale_bridge.remote import BRIDGE


class Listener:
    """A listener that never ends a task."""

    async def begun(self, attempt: int) -> None:
        """See `ProgressListener`."""

    async def applied(self, items: int) -> None:
        """See `ProgressListener`."""


@dataclass
class NoLimit:
    """A rate limiter that counts the connections and delays none."""

    reserved: int = 0

    async def reserve(self, _: object) -> float:
        """See `RateLimiter`."""
        self.reserved += 1
        return 0.0


@dataclass
class Bench:
    """What tasks are executed with. The circuit breaker opens after `failures`."""

    driver: Driver
    clock: Clock = field(default_factory=Clock)
    rate_limits: RateLimiter = field(default_factory=NoLimit)
    failures: int = 99
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    leases: LocalLeases = field(default_factory=LocalLeases)

    def __post_init__(self) -> None:
        self.breakers = LocalBreakers(BreakerRules(failures=self.failures), self.clock)

    async def execute(self, scale: Simulator, kind: Kind = Kind.UPLOAD, **different: Any) -> Any:
        """Execute a task that changes the prices of four products."""
        given: dict[str, Any] = {
            "operation_id": OperationId(BRIDGE),
            "device_id": DeviceId(BRIDGE),
            "kind": kind,
            "address": scale.host,
            "port": scale.port,
            "password": PASSWORD,
            "seconds": 60.0,
            "desired": priced(4, 99.5),
            "known": priced(4, 1.0),
        }
        execution = ExecutionContext(
            driver=self.driver,
            leases=self.leases,
            breakers=self.breakers,
            rate_limits=self.rate_limits,
            policy=Policy(special=True),
            holder="test",
            chance=lambda: 0.0,
            sleep=self.sleep,
        )
        return await perform(execution, DeviceTask(**(given | different)), Listener())


NOT_AS_STORED = "Весы показывают не то, что сохранено."
UPLOADS: list[tuple[tuple[str, ...], Outcome, str, str]] = [
    (("off",), Outcome.FAILED, "Unreachable", failure_texts.sentence("Unreachable")),
    (("idle",), Outcome.FAILED, "Disconnected", failure_texts.sentence("Disconnected")),
    (("pw",), Outcome.FAILED, "WrongPassword", failure_texts.sentence("WrongPassword")),
    (("rst:13/02",), Outcome.FAILED, "Disconnected", failure_texts.sentence("Disconnected")),
    (("rst:13/03",), Outcome.FAILED, "NotShown", failure_texts.UNCONFIRMED_NOT_SHOWN),
    (("fin:13/03",), Outcome.FAILED, "NotShown", failure_texts.UNCONFIRMED_NOT_SHOWN),
    (("rst:13/03*1",), Outcome.VERIFIED, "", ""),
    (
        ("rst:13/03", "rst:14"),
        Outcome.UNKNOWN,
        "UnknownOutcome",
        failure_texts.sentence("UnknownOutcome"),
    ),
    (("rst:13/09",), Outcome.VERIFIED, "", ""),
    (
        ("rst:13/09", "rst:14"),
        Outcome.UNKNOWN,
        "UnknownOutcome",
        failure_texts.sentence("UnknownOutcome"),
    ),
    (("check2",), Outcome.FAILED, "ImportFailed", failure_texts.sentence("ImportFailed")),
    (("lie",), Outcome.FAILED, "NotShown", failure_texts.CONFIRMED_NOT_SHOWN),
    (("lie*1",), Outcome.VERIFIED, "", ""),
    (("rst:13/03*1", "lie"), Outcome.FAILED, "NotShown", failure_texts.CONFIRMED_NOT_SHOWN),
    (("rst:14",), Outcome.DONE, "", ""),
]
"""The outcome of an upload, by the faults of the scale."""
FETCHES: list[tuple[str, str]] = [
    ("off", "Unreachable"),
    ("idle", "Disconnected"),
    ("pw", "WrongPassword"),
    ("busy", "ScaleBusy"),
    ("rst:14", "Disconnected"),
    ("rst:15", "Disconnected"),
    ("rst:12/06", "Disconnected"),
    ("rst:12/03", "Disconnected"),
    ("badhash", "BadCatalogue"),
    ("badjson", "BadCatalogue"),
]
"""The code of a failed fetch, by a fault of the scale. Nothing was sent."""
OUTCOMES: list[tuple[Kind, tuple[str, ...], Outcome, str, str]] = [
    *((kind, *way) for kind in (Kind.UPLOAD, Kind.REFRESH) for way in UPLOADS),
    *(
        (kind, (fault,), Outcome.FAILED, code, failure_texts.sentence(code))
        for kind in (Kind.FETCH, Kind.VERIFY)
        for fault, code in FETCHES
    ),
    (Kind.FETCH, ("rst:14*1",), Outcome.DONE, "", ""),
    (Kind.VERIFY, ("rst:14*1",), Outcome.FAILED, "NotShown", NOT_AS_STORED),
    (Kind.VERIFY, (), Outcome.FAILED, "NotShown", NOT_AS_STORED),
]


@pytest.mark.parametrize("case", OUTCOMES, ids=lambda case: f"{case[0]} {' '.join(case[1])}")
async def test_a_text_claims_only_what_the_frames_prove(
    driver: Driver, case: tuple[Kind, tuple[str, ...], Outcome, str, str]
) -> None:
    kind, faults, *expected = case
    async with a_scale(4) as scale:
        scale.faults.set(faults)
        if "off" in faults:
            await scale.power_cut()
        done = await Bench(driver).execute(scale, kind)
        frames = list(scale.transcript.frames)

    assert [done.outcome, done.code, done.detail] == expected
    confirmed = any(
        (one.direction, one.step) == ("out", Step.CHECK) and one.head[4:6] == b"\0\0"
        for one in frames
    )
    was_read = any((one.direction, one.step) == ("out", Step.CHUNK) for one in frames)
    was_sent = any((one.direction, one.step) == ("in", Step.SEND) for one in frames)
    assert confirmed or "подтвердили" not in done.detail.replace("не подтвердили", "")
    assert was_read or "показывают" not in done.detail
    assert was_sent or "Данные отправлены" not in done.detail
    assert was_sent or not done.doubtful
    assert done.doubtful or done.outcome is not Outcome.UNKNOWN


@pytest.mark.parametrize("code", [*failure_texts.SENTENCES, "SomethingNew"])
def test_the_text_of_an_unknown_outcome_says_that_it_is_unknown(code: str) -> None:
    known, unknown = failure_texts.sentence(code), failure_texts.sentence(code, Outcome.UNKNOWN)

    assert failure_texts.UNKNOWN_OUTCOME_TEXT not in known
    assert failure_texts.UNKNOWN_OUTCOME_TEXT in unknown or "не подтвердили" in unknown
    assert unknown.startswith(known)


@pytest.mark.parametrize("kind", Kind)
async def test_a_silent_scale_is_connected_to_once_per_cool_down(
    driver: Driver, kind: Kind
) -> None:
    """(R6) However many attempts an operation would make otherwise."""
    bench = Bench(driver, failures=1)
    async with a_scale(4, "idle") as scale:
        assert (await bench.execute(scale, kind)).code == "Disconnected"
        for _ in range(3):
            before = scale.transcript.connections
            bench.clock.advance(seconds=31)
            codes = [(await bench.execute(scale, kind)).code for _ in range(3)]
            assert codes == ["Disconnected", "CircuitOpen", "CircuitOpen"]
            assert scale.transcript.connections == before + 1
        scale.faults.set(["idle*1"])
        bench.clock.advance(seconds=31)
        assert (await bench.execute(scale, kind)).code == "Disconnected"
        bench.clock.advance(seconds=31)
        assert (await bench.execute(scale, kind)).code in ("", "NotShown")


@pytest.mark.parametrize(
    ("kind", "faults"),
    [
        (Kind.FETCH, ["rst:14*2"]),
        (Kind.UPLOAD, ["rst:13/03*1"]),
        (Kind.UPLOAD, ["lie", "busy*1"]),
        (Kind.UPLOAD, ["badproduct:3:no"]),
        (Kind.VERIFY, ["idle*2"]),
        (Kind.PROBE, ["idle"]),
    ],
    ids=str,
)
async def test_every_connection_to_a_scale_is_rate_limited(
    driver: Driver, kind: Kind, faults: list[str]
) -> None:
    """(R3) First and repeated ones, to send, to read back, and to search for a culprit."""
    rate_limits = NoLimit()
    async with a_scale(4, *faults) as scale:
        await Bench(driver, rate_limits=rate_limits).execute(scale, kind, diagnose=True)

        assert scale.transcript.connections == rate_limits.reserved > 1


class Timed:
    """The driver, and the time of each exchange, by a clock that advances only during waits."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.seconds = MonotonicClock()
        self.times: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Advance the clock."""
        self.seconds.advance(seconds)

    def __getattr__(self, name: str) -> Any:
        exchange = getattr(self._driver, name)

        async def called(*given: Any, **named: Any) -> Any:
            self.times.append(self.seconds())
            return await exchange(*given, **named)

        return called


def with_clock(driver: Driver, **more: Any) -> tuple[Bench, Timed]:
    """A bench on which no wait takes time, and the times of the exchanges."""
    timed: Any = Timed(driver)
    rate_limits = LocalRateLimits(CONNECTION_SECONDS, timed.seconds)
    return Bench(timed, rate_limits=rate_limits, sleep=timed.sleep, **more), timed


def assert_apart(timed: Timed, scale: Simulator) -> None:
    """Assert that any two connections are at least a second apart."""
    assert len(timed.times) == scale.transcript.connections > 1
    between = [later - one for one, later in pairwise(timed.times)]
    assert min(between) >= CONNECTION_SECONDS, between


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("fault", ["idle", "busy", "rst:13/03", "rst:14"])
async def test_attempts_of_one_operation_are_a_second_apart(
    driver: Driver, kind: Kind, fault: str
) -> None:
    """(R3) Even where the wait before the next attempt is shorter."""
    bench, timed = with_clock(driver)
    async with a_scale(4, fault) as scale:
        await bench.execute(scale, kind)
        await bench.execute(scale, kind)
        assert_apart(timed, scale)


@pytest.mark.parametrize("kind", Kind)
async def test_attempts_of_a_probing_operation_are_a_second_apart(
    driver: Driver, kind: Kind
) -> None:
    """(R3, R6) Even if the cool-down is shorter; a scale that replies is tried again."""
    bench, timed = with_clock(driver, failures=1)
    async with a_scale(4, "idle") as scale:
        await bench.execute(scale, kind)
        scale.faults.set(["busy*2"])
        bench.clock.advance(seconds=31)
        await bench.execute(scale, kind)
        assert_apart(timed, scale)


async def test_two_concurrent_operations_are_a_second_apart(driver: Driver) -> None:
    """(R3) The lease of the first is released before the second may connect."""
    bench, timed = with_clock(driver)
    async with a_scale(4) as scale:
        kinds = enumerate((Kind.UPLOAD, Kind.FETCH))
        both = (bench.execute(scale, kind, operation_id=UUID(int=number)) for number, kind in kinds)
        await asyncio.gather(*both)
        assert_apart(timed, scale)


async def test_concurrent_reservations_are_consecutive(pool: Pool) -> None:
    """(R3) Over all processes, for each scale separately."""
    async with a_scale(1) as one, a_scale(1) as other:
        several = [RateLimits(pool, 60.0) for _ in range(4)]
        waits = await asyncio.gather(*(limits.reserve(endpoint(one)) for limits in several))
        assert [round(wait / 60) for wait in sorted(waits)] == [0, 1, 2, 3]
        assert round(await several[0].reserve(endpoint(other))) == 0
        assert {await RateLimits(pool, 0.0).reserve(endpoint(one)) for _ in range(3)} == {0.0}


async def test_an_agent_limits_the_rate_of_its_own_connections() -> None:
    """(R3)"""
    now = 0.0
    rate_limits = LocalRateLimits(1.0, lambda: now)
    async with a_scale(1) as one, a_scale(1) as other:
        waits = [await rate_limits.reserve(endpoint(one)) for _ in range(3)]
        assert waits == [0.0, 1.0, 2.0]
        assert await rate_limits.reserve(endpoint(other)) == 0.0
        now = 2.5
        assert await rate_limits.reserve(endpoint(one)) == 0.5
        now = 99.0
        assert await rate_limits.reserve(endpoint(one)) == 0.0
