"""What each fault of a scale comes to under guard: the outcome, and what the scale has then."""

from dataclasses import dataclass

import pytest

from services.scale_bridge.adapters.driver import Driver
from services.scale_bridge.adapters.simulator.faults import KINDS
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.domain.fault import (
    BadAnswer,
    BadCatalogue,
    Disconnected,
    Flaw,
    ImportFailed,
    ScaleBusy,
    ScaleFault,
    ScaleRefused,
    Timeout,
    UnknownOutcome,
    Unreachable,
    WrongPassword,
)
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale, endpoint, priced, prices, until

ITEMS = 5
NEW_PRICE = 77.0


@dataclass(frozen=True)
class Case:
    """A fault, and what must come of it. `fault` None: the operation succeeds."""

    given: str
    fault: type[ScaleFault] | None
    result: int | None = None
    flaw: Flaw | None = None
    imported: bool = False
    says: str = ""


FETCHES = [
    Case("pw", WrongPassword, 0x7A),
    Case("busy", ScaleBusy, 0xC7),
    Case("ac14", ScaleBusy, 0xAC),
    Case("poll:3", None),
    Case("poll:inf", Timeout),
    Case("err15", WrongPassword, 0x7A),
    Case("hashbusy", Timeout),
    Case("hashbusy*2", None),
    Case("hashshort", Timeout),
    Case("hashshort*1", None),
    Case("badhash", BadCatalogue, flaw=Flaw.HASH),
    Case("rcchunk", ScaleRefused, 0x7C),
    Case("shortchunk", BadCatalogue, flaw=Flaw.CHUNK),
    Case("dupchunk", BadCatalogue, flaw=Flaw.CHUNK),
    Case("emptychunk", BadCatalogue, flaw=Flaw.CHUNK),
    Case("trunc", Disconnected),
    Case("trunc:14", Disconnected),
    Case("trunchang", Timeout),
    Case("fin:12/03", Disconnected),
    Case("rst:12/07", Disconnected),
    Case("mute:14:1", Timeout),
    Case("mute:12/03", Timeout),
    Case("late:15:0.9", Timeout),
    Case("late:15:0.05", None),
    Case("drip:0.1", Timeout),
    Case("huge", BadAnswer),
    Case("zero", BadAnswer),
    Case("badjson", BadCatalogue, flaw=Flaw.NOT_JSON),
    Case("badutf8", BadCatalogue, flaw=Flaw.NOT_JSON),
    Case("bom", BadCatalogue, flaw=Flaw.NOT_JSON),
    Case("scalar", BadCatalogue, flaw=Flaw.NOT_AN_OBJECT),
    Case("list", BadCatalogue, flaw=Flaw.NOT_AN_OBJECT),
    Case("nan", BadCatalogue, flaw=Flaw.NOT_FINITE),
    Case("dupkeys", BadCatalogue, flaw=Flaw.DUPLICATE_KEY),
    Case("rstend", None),
    Case("idle", Disconnected),
    Case("off", Unreachable),
    Case("off:drop", Unreachable),
    Case("slow:0.02", None),
    Case("rc:12/06:CB", ScaleRefused, 0xCB),
    Case("power:12/07", Disconnected),
]

UPLOADS = [
    Case("pw", WrongPassword, 0x7A),
    Case("busy", ScaleBusy, 0xC7),
    Case("rc:13/02:C4", ScaleRefused, 0xC4),
    Case("rc:13/03:CB", ScaleRefused, 0xCB),
    Case("fin:13/02", Disconnected),
    Case("mute:13/02:1", Timeout),
    Case("drip:0.2", Timeout),
    Case("idle", Disconnected),
    Case("off", Unreachable),
    Case("check2", ImportFailed),
    Case("check2msg:цена не задана", ImportFailed, says="цена не задана"),
    Case("badproduct:3:товар 3: плохо", ImportFailed, says="товар 3: плохо"),
    Case("check7A", UnknownOutcome, 0x7A, imported=True),
    Case("check3", UnknownOutcome, imported=True),
    Case("checkinf", UnknownOutcome, imported=True),
    Case("lostack", UnknownOutcome, imported=True),
    Case("rst:13/03", UnknownOutcome, imported=False),
    Case("trunc", UnknownOutcome, imported=True),
    Case("trunchang", UnknownOutcome, imported=True),
    Case("huge:13/09", UnknownOutcome, imported=True),
    Case("zero:13/09", UnknownOutcome, imported=True),
    Case("fin:13/09", UnknownOutcome, imported=True),
    Case("rst:13/09", UnknownOutcome, imported=True),
    Case("mute:13/09:1", UnknownOutcome, imported=True),
    Case("late:13/09:0.9", UnknownOutcome, imported=True),
    Case("power:13/09", UnknownOutcome, imported=False),
    Case("rc:13/09:BC", UnknownOutcome, 0xBC, imported=True),
    Case("rc:13/09:C7*2", None, imported=True),
    Case("rstend", None, imported=True),
    Case("slow:0.02", None, imported=True),
    Case("donemsg", None, imported=True),
    Case("lie", None, imported=False),
]


def test_every_fault_a_simulator_can_have_is_tried_on_the_guard() -> None:
    """(R16)"""
    tried = {case.given.replace("*", ":").split(":")[0] for case in (*FETCHES, *UPLOADS)}

    # What is half done when the power fails has a test of its own.
    assert tried | {"torn"} == set(KINDS)


@pytest.mark.parametrize("case", FETCHES, ids=lambda case: case.given)
async def test_a_fetch_ends_as_it_must_and_changes_nothing(impatient: Driver, case: Case) -> None:
    """(R2, R5, R16, R21)"""
    async with a_scale(ITEMS, case.given) as simulator:
        if case.fault is None:
            fetched = await impatient.fetch(endpoint(simulator), PASSWORD, 5.0)
            assert fetched.document == catalogue(ITEMS)
        else:
            with pytest.raises(case.fault) as caught:
                await impatient.fetch(endpoint(simulator), PASSWORD, 1.5)
            assert caught.value.result == case.result
            assert getattr(caught.value, "flaw", None) is case.flaw
            assert_tells_nothing(caught.value, simulator.port)
        assert simulator.base.document == catalogue(ITEMS)
        assert impatient.busy == 0
        await until(lambda: simulator.open_connections == 0)


@pytest.mark.parametrize("case", UPLOADS, ids=lambda case: case.given)
async def test_an_upload_ends_as_it_must_and_the_scale_has_what_is_said(
    impatient: Driver, case: Case
) -> None:
    """(R2, R4, R16)"""
    async with a_scale(ITEMS, case.given) as simulator:
        order = impatient.upload(
            endpoint(simulator), PASSWORD, priced(ITEMS, NEW_PRICE), clear=True, deadline=1.5
        )
        if case.fault is None:
            assert (await order).items == ITEMS
        else:
            with pytest.raises(case.fault) as caught:
                await order
            assert caught.value.result == case.result
            assert getattr(caught.value, "text", "") == case.says
            assert_tells_nothing(caught.value, simulator.port)
        assert (prices(simulator) == {NEW_PRICE}) is case.imported
        assert impatient.busy == 0
        await until(lambda: simulator.open_connections == 0)


async def test_an_answer_lost_before_the_last_chunk_is_no_unknown_outcome(
    impatient: Driver,
) -> None:
    """(R4)"""
    async with a_scale(300, "lostack") as simulator:
        before = simulator.base.document
        with pytest.raises(Timeout):
            await impatient.upload(endpoint(simulator), PASSWORD, priced(300, 5.0), clear=True)

        assert simulator.base.document == before


async def test_power_lost_during_the_import_may_leave_half_of_it(impatient: Driver) -> None:
    """(R4)"""
    async with a_scale(ITEMS, "power:13/09", "torn") as simulator:
        with pytest.raises(UnknownOutcome):
            await impatient.upload(
                endpoint(simulator), PASSWORD, priced(ITEMS, NEW_PRICE), clear=False
            )

        await until(lambda: simulator.listening)
        changed = [item["price"] == NEW_PRICE for item in simulator.base.products]
        assert changed == [True, True, False, False, False]
        repeated = await impatient.upload(
            endpoint(simulator), PASSWORD, priced(ITEMS, NEW_PRICE), clear=False
        )
        assert repeated.items == ITEMS
        assert prices(simulator) == {NEW_PRICE}


@pytest.mark.parametrize("cut", ["13/02", "13/03", "13/09"])
@pytest.mark.parametrize("clear", [True, False])
async def test_whenever_the_power_fails_the_next_upload_sets_it_right(
    impatient: Driver, cut: str, clear: bool
) -> None:
    """(R8, R25)"""
    desired = priced(400, NEW_PRICE)
    async with a_scale(400, f"power:{cut}:0.05", "torn", checking=1) as simulator:
        where = endpoint(simulator)
        with pytest.raises((Disconnected, UnknownOutcome)):
            await impatient.upload(where, PASSWORD, desired, clear=clear)
        await until(lambda: simulator.listening)
        assert (await impatient.fetch(where, PASSWORD)).document != desired

        await impatient.upload(where, PASSWORD, desired, clear=clear)
        assert (await impatient.fetch(where, PASSWORD)).document == desired


async def test_a_scale_that_lies_is_found_out_by_reading_back(impatient: Driver) -> None:
    """(R4)"""
    async with a_scale(ITEMS, "lie") as simulator:
        where = endpoint(simulator)
        await impatient.upload(where, PASSWORD, priced(ITEMS, NEW_PRICE), clear=False)

        assert (await impatient.fetch(where, PASSWORD)).document == catalogue(ITEMS)


async def test_a_wrong_password_is_the_scales_answer_and_not_the_drivers(impatient: Driver) -> None:
    """(R12, R16)"""
    async with a_scale(ITEMS, password="9876") as simulator:
        with pytest.raises(WrongPassword):
            await impatient.fetch(endpoint(simulator), PASSWORD)


def assert_tells_nothing(fault: ScaleFault, port: int) -> None:
    said = f"{fault} {fault.__cause__ or ''}"
    assert str(port) not in said
    assert "127.0.0.1" not in said
    assert "Errno" not in said
    assert PASSWORD not in said
