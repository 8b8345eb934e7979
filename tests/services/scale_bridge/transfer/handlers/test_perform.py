"""An operation with a scale, whoever does it: what may be said of each way it ends (R4, R16), and
how often the scale is connected to for it (R3, R6)."""

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
from services.scale_bridge.driver.adapters.wire import Step
from services.scale_bridge.driver.domain.address import Policy
from services.scale_bridge.driver.simulator.server import Simulator
from services.scale_bridge.transfer.adapters.pace import CONNECTION_SECONDS, LocalPace, Pace
from services.scale_bridge.transfer.domain import wording
from services.scale_bridge.transfer.domain.breaker import Rules
from services.scale_bridge.transfer.domain.commands import Outcome
from services.scale_bridge.transfer.domain.kinds import Kind
from services.scale_bridge.transfer.handlers.device_task import DeviceTask, ExecutionContext, Pacing
from services.scale_bridge.transfer.handlers.perform import perform
from services.scale_bridge.transfer.stores.local import LocalBreakers, LocalLeases
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale, endpoint, priced
from tests.services.scale_bridge.remote import BRIDGE


class Listener:
    """Hears how far it is, and wants it to go on."""

    async def begun(self, attempt: int) -> None:
        """Compare `ProgressListener`."""

    async def applied(self, items: int) -> None:
        """Compare `ProgressListener`."""


@dataclass
class Counted:
    """A pace that lets everything through at once, and counts it."""

    reserved: int = 0

    async def reserve(self, _: object) -> float:
        """Compare `Pacing`."""
        self.reserved += 1
        return 0.0


@dataclass
class AgentTools:
    """What an operation is done with. The breaker opens after `failures`."""

    driver: Driver
    clock: Clock = field(default_factory=Clock)
    pace: Pacing = field(default_factory=Counted)
    failures: int = 99
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    leases: LocalLeases = field(default_factory=LocalLeases)

    def __post_init__(self) -> None:
        self.breakers = LocalBreakers(Rules(failures=self.failures), self.clock)

    async def do(self, scale: Simulator, kind: Kind = Kind.UPLOAD, **different: Any) -> Any:
        """Do it with a scale of four products, whose prices are to be others."""
        given: dict[str, Any] = {
            "operation_id": OperationId(BRIDGE),
            "device_id": DeviceId(BRIDGE),
            "kind": kind,
            "address": scale.host,
            "port": scale.port,
            "password": PASSWORD,
            "seconds": 60.0,
            "wanted": priced(4, 99.5),
            "known": priced(4, 1.0),
        }
        execution = ExecutionContext(
            driver=self.driver,
            leases=self.leases,
            breakers=self.breakers,
            pace=self.pace,
            policy=Policy(special=True),
            holder="test",
            chance=lambda: 0.0,
            sleep=self.sleep,
        )
        return await perform(execution, DeviceTask(**(given | different)), Listener())


NOT_WHAT_IS_STORED = "Весы показывают не то, что сохранено."
WAYS: list[tuple[tuple[str, ...], Outcome, str, str]] = [
    (("off",), Outcome.FAILED, "Unreachable", wording.sentence("Unreachable")),
    (("idle",), Outcome.FAILED, "Disconnected", wording.sentence("Disconnected")),
    (("pw",), Outcome.FAILED, "WrongPassword", wording.sentence("WrongPassword")),
    (("rst:13/02",), Outcome.FAILED, "Disconnected", wording.sentence("Disconnected")),
    (("rst:13/03",), Outcome.FAILED, "NotShown", wording.UNCONFIRMED_NOT_SHOWN),
    (("fin:13/03",), Outcome.FAILED, "NotShown", wording.UNCONFIRMED_NOT_SHOWN),
    (("rst:13/03*1",), Outcome.VERIFIED, "", ""),
    (
        ("rst:13/03", "rst:14"),
        Outcome.UNKNOWN,
        "UnknownOutcome",
        wording.sentence("UnknownOutcome"),
    ),
    (("rst:13/09",), Outcome.VERIFIED, "", ""),
    (
        ("rst:13/09", "rst:14"),
        Outcome.UNKNOWN,
        "UnknownOutcome",
        wording.sentence("UnknownOutcome"),
    ),
    (("check2",), Outcome.FAILED, "ImportFailed", wording.sentence("ImportFailed")),
    (("lie",), Outcome.FAILED, "NotShown", wording.CONFIRMED_NOT_SHOWN),
    (("lie*1",), Outcome.VERIFIED, "", ""),
    (("rst:13/03*1", "lie"), Outcome.FAILED, "NotShown", wording.CONFIRMED_NOT_SHOWN),
    (("rst:14",), Outcome.DONE, "", ""),
]
"""By faults of the scale, how something is sent to it."""
ON_READING: list[tuple[str, str]] = [
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
"""By a fault of the scale, how a reading of it fails: nothing was sent, whatever its stage."""
ENDS: list[tuple[Kind, tuple[str, ...], Outcome, str, str]] = [
    *((kind, *way) for kind in (Kind.UPLOAD, Kind.REFRESH) for way in WAYS),
    *(
        (kind, (fault,), Outcome.FAILED, code, wording.sentence(code))
        for kind in (Kind.FETCH, Kind.VERIFY)
        for fault, code in ON_READING
    ),
    (Kind.FETCH, ("rst:14*1",), Outcome.DONE, "", ""),
    (Kind.VERIFY, ("rst:14*1",), Outcome.FAILED, "NotShown", NOT_WHAT_IS_STORED),
    (Kind.VERIFY, (), Outcome.FAILED, "NotShown", NOT_WHAT_IS_STORED),
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: f"{end[0]} {' '.join(end[1])}")
async def test_no_text_says_more_than_is_known(
    driver: Driver, end: tuple[Kind, tuple[str, ...], Outcome, str, str]
) -> None:
    kind, faults, *expected = end
    async with a_scale(4) as scale:
        scale.faults.set(faults)
        if "off" in faults:
            await scale.power_cut()
        done = await AgentTools(driver).do(scale, kind)
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


@pytest.mark.parametrize("code", [*wording.SENTENCES, "SomethingNew"])
def test_a_sentence_of_an_unknown_outcome_says_that_it_is_unknown(code: str) -> None:
    known, unknown = wording.sentence(code), wording.sentence(code, Outcome.UNKNOWN)

    assert wording.DOUBT not in known
    assert wording.DOUBT in unknown or "не подтвердили" in unknown
    assert unknown.startswith(known)


@pytest.mark.parametrize("kind", Kind)
async def test_of_a_scale_that_is_silent_one_connection_is_made_per_cool_down(
    driver: Driver, kind: Kind
) -> None:
    """(R6) However often an operation would try it otherwise."""
    bench = AgentTools(driver, failures=1)
    async with a_scale(4, "idle") as scale:
        assert (await bench.do(scale, kind)).code == "Disconnected"
        for _ in range(3):
            before = scale.transcript.connections
            bench.clock.advance(seconds=31)
            codes = [(await bench.do(scale, kind)).code for _ in range(3)]
            assert codes == ["Disconnected", "CircuitOpen", "CircuitOpen"]
            assert scale.transcript.connections == before + 1
        scale.faults.set(["idle*1"])
        bench.clock.advance(seconds=31)
        assert (await bench.do(scale, kind)).code == "Disconnected"
        bench.clock.advance(seconds=31)
        assert (await bench.do(scale, kind)).code in ("", "NotShown")


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
async def test_every_connection_to_a_scale_is_paced(
    driver: Driver, kind: Kind, faults: list[str]
) -> None:
    """(R3) First and repeated, to send, to read back, to find a culprit."""
    pace = Counted()
    async with a_scale(4, *faults) as scale:
        await AgentTools(driver, pace=pace).do(scale, kind, diagnose=True)

        assert scale.transcript.connections == pace.reserved > 1


class Dated:
    """The driver, and when it began each exchange: by a clock that only waiting moves."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.seconds = MonotonicClock()
        self.begun: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.seconds.advance(seconds)

    def __getattr__(self, name: str) -> Any:
        exchange = getattr(self._driver, name)

        async def called(*given: Any, **named: Any) -> Any:
            self.begun.append(self.seconds())
            return await exchange(*given, **named)

        return called


def paced(driver: Driver, **more: Any) -> tuple[AgentTools, Dated]:
    """A bench on which every wait is over at once, and what was done when."""
    dated: Any = Dated(driver)
    pace = LocalPace(CONNECTION_SECONDS, dated.seconds)
    return AgentTools(dated, pace=pace, sleep=dated.sleep, **more), dated


def assert_apart(dated: Dated, scale: Simulator) -> None:
    """Every connection was made a second after the one before, or later."""
    assert len(dated.begun) == scale.transcript.connections > 1
    between = [later - one for one, later in pairwise(dated.begun)]
    assert min(between) >= CONNECTION_SECONDS, between


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("fault", ["idle", "busy", "rst:13/03", "rst:14"])
async def test_attempts_of_one_operation_are_a_second_apart(
    driver: Driver, kind: Kind, fault: str
) -> None:
    """(R3) Also where the wait before another attempt is shorter."""
    bench, dated = paced(driver)
    async with a_scale(4, fault) as scale:
        await bench.do(scale, kind)
        await bench.do(scale, kind)
        assert_apart(dated, scale)


@pytest.mark.parametrize("kind", Kind)
async def test_attempts_of_a_probing_operation_are_a_second_apart(
    driver: Driver, kind: Kind
) -> None:
    """(R3, R6) The cool-down may be shorter than that, and a scale that answers is tried again."""
    bench, dated = paced(driver, failures=1)
    async with a_scale(4, "idle") as scale:
        await bench.do(scale, kind)
        scale.faults.set(["busy*2"])
        bench.clock.advance(seconds=31)
        await bench.do(scale, kind)
        assert_apart(dated, scale)


async def test_two_operations_at_once_are_a_second_apart(driver: Driver) -> None:
    """(R3) The turn of one is over sooner than the other may connect."""
    bench, dated = paced(driver)
    async with a_scale(4) as scale:
        kinds = enumerate((Kind.UPLOAD, Kind.FETCH))
        both = (bench.do(scale, kind, operation_id=UUID(int=number)) for number, kind in kinds)
        await asyncio.gather(*both)
        assert_apart(dated, scale)


async def test_connections_are_reserved_one_after_the_other_by_all_who_ask(pool: Pool) -> None:
    """(R3) Over all processes; each scale by itself."""
    async with a_scale(1) as one, a_scale(1) as other:
        paces = [Pace(pool, 60.0) for _ in range(4)]
        waits = await asyncio.gather(*(pace.reserve(endpoint(one)) for pace in paces))
        assert [round(wait / 60) for wait in sorted(waits)] == [0, 1, 2, 3]
        assert round(await paces[0].reserve(endpoint(other))) == 0
        assert {await Pace(pool, 0.0).reserve(endpoint(one)) for _ in range(3)} == {0.0}


async def test_a_daemon_paces_its_own_connections() -> None:
    """(R3)"""
    now = 0.0
    pace = LocalPace(1.0, lambda: now)
    async with a_scale(1) as one, a_scale(1) as other:
        waits = [await pace.reserve(endpoint(one)) for _ in range(3)]
        assert waits == [0.0, 1.0, 2.0]
        assert await pace.reserve(endpoint(other)) == 0.0
        now = 2.5
        assert await pace.reserve(endpoint(one)) == 0.5
        now = 99.0
        assert await pace.reserve(endpoint(one)) == 0.0
