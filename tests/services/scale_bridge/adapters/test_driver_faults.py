"""What each fault of a scale comes to under guard: the outcome, and what the scale has then.

Where a limit of the guard ends the operation it is short, and long for every other fault: how long
the machine takes for the rest changes no outcome.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from libs.testing.waiting import eventually
from services.scale_bridge.adapters.driver import Driver, open_driver
from services.scale_bridge.adapters.line import Limits
from services.scale_bridge.adapters.simulator.faults import KINDS
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.domain import fault
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale, endpoint, priced, prices

ITEMS = 5
NEW_PRICE = 77.0


@dataclass(frozen=True)
class Case:
    """A fault, and what must come of it. `raised` None: the operation succeeds.

    `imported` is what became of an upload; a reply may take `reply` seconds, all of it `deadline`.
    """

    given: str
    raised: type[fault.ScaleFault] | None
    result: int | None = None
    flaw: fault.Flaw | None = None
    imported: bool = False
    says: str = ""
    reply: float = 30.0
    deadline: float = 60.0


def each(given: str, raised: type[fault.ScaleFault] | None, **expected: Any) -> list[Case]:
    """Faults that come to the same."""
    return [Case(one, raised, **expected) for one in given.split()]


FETCHES = [
    *each("poll:3 hashbusy*2 hashshort*1 late:15:0.05 rstend slow:0.02", None),
    *each("pw err15", fault.WrongPassword, result=0x7A),
    *(Case("busy", fault.ScaleBusy, 0xC7), Case("ac14", fault.ScaleBusy, 0xAC)),
    *(Case("rcchunk", fault.ScaleRefused, 0x7C), Case("rc:12/06:CB", fault.ScaleRefused, 0xCB)),
    *each("poll:inf hashbusy hashshort", fault.Timeout, deadline=1.0),
    *each("trunchang mute:14:1 mute:12/03 late:15:0.9 drip:0.1", fault.Timeout, reply=0.5),
    *each("trunc trunc:14 fin:12/03 rst:12/07 idle power:12/07", fault.Disconnected),
    *(Case("off", fault.Unreachable), Case("off:drop", fault.Unreachable, reply=0.5)),
    *each("huge zero", fault.BadAnswer),
    Case("badhash", fault.BadCatalogue, flaw=fault.Flaw.HASH),
    *each("shortchunk dupchunk emptychunk", fault.BadCatalogue, flaw=fault.Flaw.CHUNK),
    *each("badjson badutf8 bom", fault.BadCatalogue, flaw=fault.Flaw.NOT_JSON),
    *each("scalar list", fault.BadCatalogue, flaw=fault.Flaw.NOT_AN_OBJECT),
    Case("nan", fault.BadCatalogue, flaw=fault.Flaw.NOT_FINITE),
    Case("dupkeys", fault.BadCatalogue, flaw=fault.Flaw.DUPLICATE_KEY),
]

UPLOADS = [
    *each("rc:13/09:C7*2 rstend slow:0.02 donemsg", None, imported=True),
    Case("lie", None, imported=False),
    *(Case("pw", fault.WrongPassword, 0x7A), Case("busy", fault.ScaleBusy, 0xC7)),
    *(Case("rc:13/02:C4", fault.ScaleRefused, 0xC4), Case("rc:13/03:CB", fault.ScaleRefused, 0xCB)),
    *each("mute:13/02:1 drip:0.2", fault.Timeout, reply=0.5),
    *each("fin:13/02 idle", fault.Disconnected),
    *(Case("off", fault.Unreachable), Case("check2", fault.ImportFailed)),
    Case("check2msg:цена не задана", fault.ImportFailed, says="цена не задана"),
    Case("badproduct:3:товар 3: плохо", fault.ImportFailed, says="товар 3: плохо"),
    Case("check7A", fault.UnknownOutcome, 0x7A, imported=True),
    Case("rc:13/09:BC", fault.UnknownOutcome, 0xBC, imported=True),
    *each("check3 trunc huge:13/09 zero:13/09", fault.UnknownOutcome, imported=True),
    *each("fin:13/09 rst:13/09", fault.UnknownOutcome, imported=True),
    *each("checkinf", fault.UnknownOutcome, imported=True, deadline=3.0),
    *each("lostack trunchang", fault.UnknownOutcome, imported=True, reply=2.0),
    *each("mute:13/09:1 late:13/09:2.5", fault.UnknownOutcome, imported=True, reply=2.0),
    *each("rst:13/03 power:13/09", fault.UnknownOutcome, imported=False),
]


def test_every_fault_a_simulator_can_have_is_tried_on_the_guard() -> None:
    """(R16)"""
    tried = {case.given.replace("*", ":").split(":")[0] for case in (*FETCHES, *UPLOADS)}

    # What is half done when the power fails has a test of its own.
    assert tried | {"torn"} == set(KINDS)


async def run(case: Case, *, upload: bool) -> None:
    """Have a scale with the fault read or written, and see what comes of it."""
    limits = Limits(connect_seconds=case.reply, reply_seconds=case.reply)
    async with open_driver(lines=8, limits=limits) as driver, a_scale(ITEMS, case.given) as scale:
        where, until, desired = endpoint(scale), case.deadline, priced(ITEMS, NEW_PRICE)
        order: Any
        if upload:
            order = driver.upload(where, PASSWORD, desired, clear=True, deadline=until)
        else:
            order = driver.fetch(where, PASSWORD, until)
        if case.raised is None:
            done = await order
            assert done.items == ITEMS
            assert upload or done.document == catalogue(ITEMS)
        else:
            with pytest.raises(case.raised) as caught:
                await order
            assert caught.value.result == case.result
            assert getattr(caught.value, "flaw", None) is case.flaw
            assert getattr(caught.value, "text", "") == case.says
            assert_tells_nothing(caught.value, scale.port)
        assert (prices(scale) == {NEW_PRICE}) is case.imported
        assert upload or scale.base.document == catalogue(ITEMS)
        await eventually(lambda: (driver.busy, scale.open_connections), (0, 0))


def assert_tells_nothing(raised: fault.ScaleFault, port: int) -> None:
    said = f"{raised} {raised.__cause__ or ''}"
    assert not [word for word in (str(port), "127.0.0.1", "Errno", PASSWORD) if word in said]


@pytest.mark.parametrize("case", FETCHES, ids=lambda case: case.given)
async def test_a_fetch_ends_as_it_must_and_changes_nothing(case: Case) -> None:
    """(R2, R5, R16, R21)"""
    await run(case, upload=False)


@pytest.mark.parametrize("case", UPLOADS, ids=lambda case: case.given)
async def test_an_upload_ends_as_it_must_and_the_scale_has_what_is_said(case: Case) -> None:
    """(R2, R4, R16)"""
    await run(case, upload=True)


async def test_an_answer_lost_before_the_last_chunk_is_no_unknown_outcome() -> None:
    """(R4)"""
    limits = Limits(reply_seconds=0.5)
    async with open_driver(limits=limits) as driver, a_scale(300, "lostack") as scale:
        before = scale.base.document
        with pytest.raises(fault.Timeout):
            await driver.upload(endpoint(scale), PASSWORD, priced(300, 5.0), clear=True)

        assert scale.base.document == before


async def test_power_lost_during_the_import_may_leave_half_of_it(driver: Driver) -> None:
    """(R4)"""
    desired = priced(ITEMS, NEW_PRICE)
    async with a_scale(ITEMS, "power:13/09", "torn") as scale:
        with pytest.raises(fault.UnknownOutcome):
            await driver.upload(endpoint(scale), PASSWORD, desired, clear=False)

        await eventually(lambda: scale.listening)
        changed = [item["price"] == NEW_PRICE for item in scale.base.products]
        assert changed == [True, True, False, False, False]
        repeated = await driver.upload(endpoint(scale), PASSWORD, desired, clear=False)
        assert repeated.items == ITEMS
        assert prices(scale) == {NEW_PRICE}


@pytest.mark.parametrize("cut", ["13/02", "13/03", "13/09"])
@pytest.mark.parametrize("clear", [True, False])
async def test_whenever_the_power_fails_the_next_upload_sets_it_right(
    driver: Driver, cut: str, clear: bool
) -> None:
    """(R8, R25)"""
    desired = priced(400, NEW_PRICE)
    async with a_scale(400, f"power:{cut}:0.05", "torn", checking=1) as scale:
        where = endpoint(scale)
        with pytest.raises((fault.Disconnected, fault.UnknownOutcome)):
            await driver.upload(where, PASSWORD, desired, clear=clear)
        await eventually(lambda: scale.listening)
        assert (await driver.fetch(where, PASSWORD)).document != desired

        await driver.upload(where, PASSWORD, desired, clear=clear)
        assert (await driver.fetch(where, PASSWORD)).document == desired
