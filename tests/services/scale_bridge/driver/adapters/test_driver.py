"""The guarded driver: results, deadlines, threads, concurrency and logs; and for each fault of a
scale the outcome and what the scale holds then (R2 to R6, R8, R11, R12, R16, R18, R20, R21, R25).

The limits are short for the faults that they end, and long for all others, so that a slow machine
changes no outcome.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from libs.testing.polling import eventually
from services.scale_bridge.driver.adapters.connection import Limits
from services.scale_bridge.driver.adapters.driver import Driver, open_driver
from services.scale_bridge.driver.domain import document as documents
from services.scale_bridge.driver.domain import fault
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.driver.simulator.domain.faults import KINDS
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.services.scale_bridge.at_hand import (
    PASSWORD,
    a_scale,
    endpoint,
    fetch,
    plus,
    priced,
    prices,
    probe,
    upload,
)


@pytest.mark.parametrize("items", [10, 1000, 10_000])
@pytest.mark.parametrize("chunk_bytes", [60_000, 8192])
async def test_it_fetches_and_uploads(driver: Driver, items: int, chunk_bytes: int) -> None:
    async with a_scale(items, creating=2, checking=2, chunk_bytes=chunk_bytes) as scale:
        fetched = await fetch(driver, endpoint(scale), PASSWORD)
        uploaded = await upload(driver, endpoint(scale), PASSWORD, catalogue(items + 7), clear=True)

        assert (fetched.document, fetched.items) == (catalogue(items), items)
        assert fetched.md5 == documents.digest(fetched.file)
        assert uploaded.items == items + 7
        assert uploaded.size == len(documents.serialize(catalogue(items + 7)))
        assert scale.base.document == catalogue(items + 7)


async def test_commands_are_sent_in_the_drivers_order_and_once(driver: Driver) -> None:
    async with a_scale(3) as scale:
        await fetch(driver, endpoint(scale), PASSWORD)
        await upload(driver, endpoint(scale), PASSWORD, catalogue(3), clear=False)

        reading = [Step.CREATE, Step.CREATED, Step.HASH, Step.HASHED, Step.CHUNK]
        assert [*scale.transcript.steps()] == [*reading, Step.ANNOUNCE, Step.SEND, Step.CHECK]


@pytest.mark.parametrize(
    ("document", "clear", "left"),
    [
        (documents.select(priced(5, 1.0), {"2", "4"}), True, [2, 4]),
        (documents.select(priced(5, 1.0), {"2", "4"}), False, [1, 2, 3, 4, 5]),
        ({"products": [{"id": 2, "code": 51, "deleted": True}]}, False, [1, 3, 4, 5]),
    ],
    ids=["cleared", "merged", "deleted"],
)
async def test_products_that_are_not_sent_are_removed_by_clear_and_deleted_ones_always(
    driver: Driver, document: dict[str, Any], clear: bool, left: list[int]
) -> None:
    async with a_scale(5) as scale:
        await upload(driver, endpoint(scale), PASSWORD, document, clear=clear)

        assert plus(scale.base.products) == left


async def test_a_probe_reads_model_and_serial_number_without_a_password(driver: Driver) -> None:
    async with a_scale(3, "pw", serial="725-77") as scale:
        info = await probe(driver, endpoint(scale))

        assert (info.model, info.serial, info.protocol) == ("M-ER 725 PM-15.2", "725-77", "0.16")
        assert list(scale.transcript.steps()) == [Step.INFO]


async def test_a_scale_that_does_not_know_the_probe_counts_as_reachable(driver: Driver) -> None:
    async with a_scale(3, "rc:17:78") as scale:
        with pytest.raises(fault.ScaleRefused) as caught:
            await probe(driver, endpoint(scale))

    assert caught.value.result == 0x78


async def test_progress_is_reported_on_the_event_loop(driver: Driver) -> None:
    reports: list[tuple[int, int | None, bool]] = []

    def progress(done: int, total: int | None) -> None:
        reports.append((done, total, threading.current_thread() is threading.main_thread()))

    async with a_scale(600, chunk_bytes=50_000) as scale:
        where = endpoint(scale)
        fetched = await fetch(driver.with_progress(progress), where, PASSWORD)
        size = len(fetched.file)
        await eventually(lambda: len(reports), -(-size // 50_000))
        assert reports.pop() == (size, None, True)
        reports.clear()
        uploaded = await upload(
            driver.with_progress(progress), where, PASSWORD, catalogue(600), clear=True
        )
        await eventually(lambda: len(reports), -(-uploaded.size // 60_000))

    assert reports[0] == (60_000, uploaded.size, True)
    assert reports[-1] == (uploaded.size, uploaded.size, True)


@pytest.mark.parametrize(
    ("document", "flaw"),
    [
        ({"items": []}, fault.Flaw.NO_PRODUCTS),
        ({"products": [{"price": float("nan")}]}, fault.Flaw.NOT_FINITE),
        ({"products": [{"pluNumber": 1}, {"pluNumber": "1"}]}, fault.Flaw.DUPLICATE_PLU),
    ],
    ids=["no products", "not finite", "duplicate PLU"],
)
async def test_an_invalid_catalogue_is_not_sent(
    driver: Driver, document: dict[str, Any], flaw: fault.Flaw
) -> None:
    async with a_scale(3) as scale:
        with pytest.raises(fault.BadCatalogue) as caught:
            await upload(driver, endpoint(scale), PASSWORD, document, clear=True)

        assert caught.value.flaw is flaw
        assert scale.transcript.connections == 0


@pytest.mark.parametrize("password", ["", "12345", "пять", "123"])
async def test_an_invalid_password_is_not_sent(driver: Driver, password: str) -> None:
    async with a_scale(3) as scale:
        with pytest.raises(fault.WrongPassword):
            await fetch(driver, endpoint(scale), password)

        assert scale.transcript.connections == 0


async def test_an_upload_state_lost_with_the_connection_changes_nothing(driver: Driver) -> None:
    async with a_scale(3, state="connection", connections=1) as scale:
        await upload(driver, endpoint(scale), PASSWORD, priced(3, 4.0), clear=False)

        assert (await fetch(driver, endpoint(scale), PASSWORD)).document == priced(3, 4.0)


async def test_no_password_and_no_text_of_the_driver_is_logged(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret, document = "q7Zx", catalogue(3)
    async with a_scale(3, "rst:13/02*1", password=secret) as scale:
        where = endpoint(scale)
        with structlog.testing.capture_logs() as logged:
            await fetch(driver, where, secret)
            with pytest.raises(Exception, match="connection"):
                await upload(driver, where, secret, document, clear=False)
            await upload(driver, where, secret, document, clear=False)

    assert [record for record in caplog.records if record.name == "root"] == []
    events = ["scale answered", "scale failed", "scale answered"]
    assert [entry["event"] for entry in logged] == events
    assert secret not in repr(logged)
    assert secret.encode().hex() not in repr(logged)


@pytest.mark.parametrize("given", ["poll:inf", "mute:14", "drip:0.01", "hashbusy", "slow:1"])
async def test_at_the_deadline_the_connection_is_closed_and_the_thread_released(given: str) -> None:
    patient = Limits(connect_seconds=60, reply_seconds=100)
    async with open_driver(connections=2, limits=patient) as driver, a_scale(200, given) as scale:
        with pytest.raises(fault.Timeout):
            await fetch(driver, endpoint(scale), PASSWORD, 0.3)

        await eventually(lambda: (driver.busy, scale.open_connections), (0, 0))


async def test_no_thread_is_left_when_the_driver_is_closed() -> None:
    async with a_scale(3, "mute:14") as scale:
        async with open_driver(connections=4) as driver:
            waiting = asyncio.create_task(fetch(driver, endpoint(scale), PASSWORD))
            await eventually(lambda: scale.open_connections == 1)
        with pytest.raises(fault.Timeout):
            await waiting

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scale_")]


async def test_a_cancelled_operation_leaves_no_thread_behind(driver: Driver) -> None:
    async with a_scale(3, "poll:inf") as scale:
        task = asyncio.create_task(fetch(driver, endpoint(scale), PASSWORD))
        await eventually(lambda: scale.open_connections == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await eventually(lambda: (driver.busy, scale.open_connections), (0, 0))


async def test_an_upload_broken_off_after_its_last_chunk_is_unknown(driver: Driver) -> None:
    async with a_scale(3, "checkinf") as scale:
        sending = upload(driver, endpoint(scale), PASSWORD, priced(3, 9.0), clear=False)
        task = asyncio.create_task(sending)
        await eventually(lambda: Step.CHECK in scale.transcript.steps())
        driver.stop()
        with pytest.raises(fault.UnknownOutcome):
            await task

        assert prices(scale) == {9.0}


async def test_no_more_operations_run_at_once_than_connections_are_allowed() -> None:
    async with open_driver(connections=2) as driver, a_scale(3, "mute:14") as dead:
        where = endpoint(dead)
        hanging = [asyncio.create_task(fetch(driver, where, PASSWORD, 600)) for _ in range(2)]
        await eventually(lambda: driver.busy == 2)
        async with a_scale(3) as alive:
            with pytest.raises(fault.Overloaded):
                await fetch(driver, endpoint(alive), PASSWORD, 0.2)
            assert alive.transcript.connections == 0

            dead.faults.set([])
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            assert (await fetch(driver, endpoint(alive), PASSWORD)).items == 3
        dead.transcript.overlaps.clear()


ITEMS = 5
NEW_PRICE = 77.0


@dataclass(frozen=True)
class Case:
    """A fault and the expected outcome. With `raised` None the operation succeeds.

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


def cases(given: str, raised: type[fault.ScaleFault] | None, **expected: Any) -> list[Case]:
    """Cases of faults with the same outcome."""
    return [Case(one, raised, **expected) for one in given.split()]


FETCHES = [
    *cases("poll:3 hashbusy*2 hashshort*1 late:15:0.05 rstend slow:0.02", None),
    *cases("pw err15", fault.WrongPassword, result=0x7A),
    *(Case("busy", fault.ScaleBusy, 0xC7), Case("ac14", fault.ScaleBusy, 0xAC)),
    *(Case("rcchunk", fault.ScaleRefused, 0x7C), Case("rc:12/06:CB", fault.ScaleRefused, 0xCB)),
    *cases("poll:inf hashbusy hashshort", fault.Timeout, deadline=1.0),
    *cases("trunchang mute:14:1 mute:12/03 late:15:0.9 drip:0.1", fault.Timeout, reply=0.5),
    *cases("trunc trunc:14 fin:12/03 rst:12/07 idle power:12/07", fault.Disconnected),
    *(Case("off", fault.Unreachable), Case("off:drop", fault.Unreachable, reply=0.5)),
    *cases("huge zero", fault.BadAnswer),
    Case("badhash", fault.BadCatalogue, flaw=fault.Flaw.HASH),
    *cases("shortchunk dupchunk emptychunk", fault.BadCatalogue, flaw=fault.Flaw.CHUNK),
    *cases("badjson badutf8 bom", fault.BadCatalogue, flaw=fault.Flaw.NOT_JSON),
    *cases("scalar list", fault.BadCatalogue, flaw=fault.Flaw.NOT_AN_OBJECT),
    Case("nan", fault.BadCatalogue, flaw=fault.Flaw.NOT_FINITE),
    Case("dupkeys", fault.BadCatalogue, flaw=fault.Flaw.DUPLICATE_KEY),
]

UPLOADS = [
    *cases("rc:13/09:C7*2 rstend slow:0.02 donemsg", None, imported=True),
    Case("lie", None, imported=False),
    *(Case("pw", fault.WrongPassword, 0x7A), Case("busy", fault.ScaleBusy, 0xC7)),
    *(Case("rc:13/02:C4", fault.ScaleRefused, 0xC4), Case("rc:13/03:CB", fault.ScaleRefused, 0xCB)),
    *cases("mute:13/02:1 drip:0.2", fault.Timeout, reply=0.5),
    *cases("fin:13/02 idle", fault.Disconnected),
    *(Case("off", fault.Unreachable), Case("check2", fault.ImportFailed)),
    Case("check2msg:цена не задана", fault.ImportFailed, says="цена не задана"),
    Case("badproduct:3:товар 3: плохо", fault.ImportFailed, says="товар 3: плохо"),
    Case("check7A", fault.UnknownOutcome, 0x7A, imported=True),
    Case("rc:13/09:BC", fault.UnknownOutcome, 0xBC, imported=True),
    *cases("check3 trunc huge:13/09 zero:13/09", fault.UnknownOutcome, imported=True),
    *cases("fin:13/09 rst:13/09", fault.UnknownOutcome, imported=True),
    *cases("checkinf", fault.UnknownOutcome, imported=True, deadline=3.0),
    *cases("lostack trunchang", fault.UnknownOutcome, imported=True, reply=2.0),
    *cases("mute:13/09:1 late:13/09:2.5", fault.UnknownOutcome, imported=True, reply=2.0),
    *cases("rst:13/03 power:13/09", fault.UnknownOutcome, imported=False),
]


def test_every_fault_of_the_simulator_is_tried_on_the_driver() -> None:
    tried = {case.given.replace("*", ":").split(":")[0] for case in (*FETCHES, *UPLOADS)}

    # What is half done when the power fails has a test of its own.
    assert tried | {"torn"} == set(KINDS)


async def run(case: Case, *, uploads: bool) -> None:
    """Fetch from or upload to a scale with the fault, and check the outcome."""
    limits = Limits(connect_seconds=case.reply, reply_seconds=case.reply)
    async with (
        open_driver(connections=8, limits=limits) as driver,
        a_scale(ITEMS, case.given) as scale,
    ):
        where, until, desired = endpoint(scale), case.deadline, priced(ITEMS, NEW_PRICE)
        order: Any
        if uploads:
            order = upload(driver, where, PASSWORD, desired, clear=True, deadline=until)
        else:
            order = fetch(driver, where, PASSWORD, until)
        if case.raised is None:
            done = await order
            assert done.items == ITEMS
            assert uploads or done.document == catalogue(ITEMS)
        else:
            with pytest.raises(case.raised) as caught:
                await order
            assert caught.value.result == case.result
            assert getattr(caught.value, "flaw", None) is case.flaw
            assert getattr(caught.value, "text", "") == case.says
            assert_text_is_safe(caught.value, scale.port)
        assert (prices(scale) == {NEW_PRICE}) is case.imported
        assert uploads or scale.base.document == catalogue(ITEMS)
        await eventually(lambda: (driver.busy, scale.open_connections), (0, 0))


def assert_text_is_safe(raised: fault.ScaleFault, port: int) -> None:
    text = f"{raised} {raised.__cause__ or ''}"
    assert not [word for word in (str(port), "127.0.0.1", "Errno", PASSWORD) if word in text]


@pytest.mark.parametrize("case", FETCHES, ids=lambda case: case.given)
async def test_a_fetch_ends_as_expected_and_changes_nothing(case: Case) -> None:
    await run(case, uploads=False)


@pytest.mark.parametrize("case", UPLOADS, ids=lambda case: case.given)
async def test_an_upload_ends_as_expected_and_the_scale_holds_what_it_should(case: Case) -> None:
    await run(case, uploads=True)


async def test_a_reply_lost_before_the_last_chunk_is_no_unknown_outcome() -> None:
    limits = Limits(reply_seconds=0.5)
    async with open_driver(limits=limits) as driver, a_scale(300, "lostack") as scale:
        before = scale.base.document
        with pytest.raises(fault.Timeout):
            await upload(driver, endpoint(scale), PASSWORD, priced(300, 5.0), clear=True)

        assert scale.base.document == before


async def test_power_lost_during_the_import_may_leave_half_of_it(driver: Driver) -> None:
    desired = priced(ITEMS, NEW_PRICE)
    async with a_scale(ITEMS, "power:13/09", "torn") as scale:
        with pytest.raises(fault.UnknownOutcome):
            await upload(driver, endpoint(scale), PASSWORD, desired, clear=False)

        await eventually(lambda: scale.listening)
        changed = [item["price"] == NEW_PRICE for item in scale.base.products]
        assert changed == [True, True, False, False, False]
        repeated = await upload(driver, endpoint(scale), PASSWORD, desired, clear=False)
        assert repeated.items == ITEMS
        assert prices(scale) == {NEW_PRICE}


@pytest.mark.parametrize("cut", ["13/02", "13/03", "13/09"])
@pytest.mark.parametrize("clear", [True, False])
async def test_after_any_power_cut_the_next_upload_succeeds(
    driver: Driver, cut: str, clear: bool
) -> None:
    desired = priced(400, NEW_PRICE)
    async with a_scale(400, f"power:{cut}:0.05", "torn", checking=1) as scale:
        where = endpoint(scale)
        with pytest.raises((fault.Disconnected, fault.UnknownOutcome)):
            await upload(driver, where, PASSWORD, desired, clear=clear)
        await eventually(lambda: scale.listening)
        assert (await fetch(driver, where, PASSWORD)).document != desired

        await upload(driver, where, PASSWORD, desired, clear=clear)
        assert (await fetch(driver, where, PASSWORD)).document == desired
