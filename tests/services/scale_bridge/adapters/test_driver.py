"""The guarded driver: what it brings, how it ends in time and leaves no thread behind, to how many
scales it speaks at once, and what it never says."""

import asyncio
import logging
import threading
from typing import Any

import pytest
import structlog

from libs.testing.waiting import eventually
from services.scale_bridge.adapters.driver import Driver, open_driver
from services.scale_bridge.adapters.line import Limits
from services.scale_bridge.adapters.simulator.goods import catalogue
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.domain import catalogue as catalogues
from services.scale_bridge.domain import fault
from tests.services.scale_bridge.at_hand import PASSWORD, a_scale, endpoint, plus, priced, prices


@pytest.mark.parametrize("items", [10, 1000, 10_000])
@pytest.mark.parametrize("chunk_bytes", [60_000, 8192])
async def test_it_fetches_and_uploads(driver: Driver, items: int, chunk_bytes: int) -> None:
    """(R2, R5)"""
    async with a_scale(items, creating=2, checking=2, chunk_bytes=chunk_bytes) as scale:
        fetched = await driver.fetch(endpoint(scale), PASSWORD)
        uploaded = await driver.upload(endpoint(scale), PASSWORD, catalogue(items + 7), clear=True)

        assert (fetched.document, fetched.items) == (catalogue(items), items)
        assert fetched.md5 == catalogues.digest(fetched.file)
        assert uploaded.items == items + 7
        assert uploaded.size == len(catalogues.written(catalogue(items + 7)))
        assert scale.base.document == catalogue(items + 7)


async def test_it_asks_in_the_drivers_own_order_and_nothing_twice(driver: Driver) -> None:
    """(R3)"""
    async with a_scale(3) as scale:
        await driver.fetch(endpoint(scale), PASSWORD)
        await driver.upload(endpoint(scale), PASSWORD, catalogue(3), clear=False)

        fetch = [Step.CREATE, Step.CREATED, Step.HASH, Step.HASHED, Step.CHUNK]
        assert [*scale.transcript.steps()] == [*fetch, Step.ANNOUNCE, Step.SEND, Step.CHECK]


@pytest.mark.parametrize(
    ("document", "clear", "left"),
    [
        (catalogues.only(priced(5, 1.0), {"2", "4"}), True, [2, 4]),
        (catalogues.only(priced(5, 1.0), {"2", "4"}), False, [1, 2, 3, 4, 5]),
        ({"products": [{"id": 2, "code": 51, "deleted": True}]}, False, [1, 3, 4, 5]),
    ],
    ids=["cleared", "merged", "deleted"],
)
async def test_what_is_not_sent_goes_only_when_the_scale_is_cleared_and_what_is_deleted_goes(
    driver: Driver, document: dict[str, Any], clear: bool, left: list[int]
) -> None:
    async with a_scale(5) as scale:
        await driver.upload(endpoint(scale), PASSWORD, document, clear=clear)

        assert plus(scale.base.products) == left


async def test_a_probe_says_what_the_scale_is_without_a_password(driver: Driver) -> None:
    async with a_scale(3, "pw", serial="725-77") as scale:
        info = await driver.probe(endpoint(scale))

        assert (info.model, info.serial, info.protocol) == ("M-ER 725 PM-15.2", "725-77", "0.16")
        assert list(scale.transcript.steps()) == [Step.INFO]


async def test_a_scale_without_the_probe_has_answered_all_the_same(driver: Driver) -> None:
    """(R6)"""
    async with a_scale(3, "rc:17:78") as scale:
        with pytest.raises(fault.ScaleRefused) as caught:
            await driver.probe(endpoint(scale))

    assert caught.value.result == 0x78


async def test_progress_is_reported_on_the_event_loop(driver: Driver) -> None:
    reports: list[tuple[int, int | None, bool]] = []

    def progress(done: int, total: int | None) -> None:
        reports.append((done, total, threading.current_thread() is threading.main_thread()))

    async with a_scale(600, chunk_bytes=50_000) as scale:
        where = endpoint(scale)
        fetched = await driver.fetch(where, PASSWORD, progress=progress)
        size = len(fetched.file)
        await eventually(lambda: len(reports), -(-size // 50_000))
        assert reports.pop() == (size, None, True)
        reports.clear()
        uploaded = await driver.upload(
            where, PASSWORD, catalogue(600), clear=True, progress=progress
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
async def test_what_is_no_catalogue_is_not_sent(
    driver: Driver, document: dict[str, Any], flaw: fault.Flaw
) -> None:
    """(R5, R11)"""
    async with a_scale(3) as scale:
        with pytest.raises(fault.BadCatalogue) as caught:
            await driver.upload(endpoint(scale), PASSWORD, document, clear=True)

        assert caught.value.flaw is flaw
        assert scale.transcript.connections == 0


@pytest.mark.parametrize("password", ["", "12345", "пять", "123"])
async def test_a_password_that_no_scale_can_have_is_not_sent(driver: Driver, password: str) -> None:
    """(R12)"""
    async with a_scale(3) as scale:
        with pytest.raises(fault.WrongPassword):
            await driver.fetch(endpoint(scale), password)

        assert scale.transcript.connections == 0


async def test_an_upload_state_lost_with_the_connection_changes_nothing(driver: Driver) -> None:
    async with a_scale(3, state="connection", connections=1) as scale:
        await driver.upload(endpoint(scale), PASSWORD, priced(3, 4.0), clear=False)

        assert (await driver.fetch(endpoint(scale), PASSWORD)).document == priced(3, 4.0)


async def test_no_password_and_no_word_of_the_driver_is_logged(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    """(R18)"""
    caplog.set_level(logging.DEBUG)
    secret, document = "q7Zx", catalogue(3)
    async with a_scale(3, "rst:13/02*1", password=secret) as scale:
        where = endpoint(scale)
        with structlog.testing.capture_logs() as logged:
            await driver.fetch(where, secret)
            with pytest.raises(Exception, match="connection"):
                await driver.upload(where, secret, document, clear=False)
            await driver.upload(where, secret, document, clear=False)

    assert [record for record in caplog.records if record.name == "root"] == []
    events = ["scale answered", "scale failed", "scale answered"]
    assert [entry["event"] for entry in logged] == events
    assert secret not in repr(logged)
    assert secret.encode().hex() not in repr(logged)


@pytest.mark.parametrize("given", ["poll:inf", "mute:14", "drip:0.01", "hashbusy", "slow:1"])
async def test_at_the_deadline_the_line_is_closed_and_the_thread_is_free(given: str) -> None:
    """(R2)"""
    patient = Limits(connect_seconds=60, reply_seconds=100)
    async with open_driver(lines=2, limits=patient) as driver, a_scale(200, given) as scale:
        with pytest.raises(fault.Timeout):
            await driver.fetch(endpoint(scale), PASSWORD, 0.3)

        await eventually(lambda: (driver.busy, scale.open_connections), (0, 0))


async def test_no_thread_is_left_when_the_driver_is_closed() -> None:
    """(R2)"""
    async with a_scale(3, "mute:14") as scale:
        async with open_driver(lines=4) as driver:
            waiting = asyncio.create_task(driver.fetch(endpoint(scale), PASSWORD))
            await eventually(lambda: scale.open_connections == 1)
        with pytest.raises(fault.Timeout):
            await waiting

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scale_")]


async def test_a_cancelled_operation_leaves_no_thread_behind(driver: Driver) -> None:
    """(R2)"""
    async with a_scale(3, "poll:inf") as scale:
        task = asyncio.create_task(driver.fetch(endpoint(scale), PASSWORD))
        await eventually(lambda: scale.open_connections == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await eventually(lambda: (driver.busy, scale.open_connections), (0, 0))


async def test_an_upload_broken_off_after_its_last_chunk_is_unknown(driver: Driver) -> None:
    """(R4)"""
    async with a_scale(3, "checkinf") as scale:
        upload = driver.upload(endpoint(scale), PASSWORD, priced(3, 9.0), clear=False)
        task = asyncio.create_task(upload)
        await eventually(lambda: Step.CHECK in scale.transcript.steps())
        driver.stop()
        with pytest.raises(fault.UnknownOutcome):
            await task

        assert prices(scale) == {9.0}


async def test_no_more_scales_are_spoken_to_at_once_than_there_are_lines() -> None:
    """(R20)"""
    async with open_driver(lines=2) as driver, a_scale(3, "mute:14") as dead:
        where = endpoint(dead)
        hanging = [asyncio.create_task(driver.fetch(where, PASSWORD, 600)) for _ in range(2)]
        await eventually(lambda: driver.busy == 2)
        async with a_scale(3) as alive:
            with pytest.raises(fault.Overloaded):
                await driver.fetch(endpoint(alive), PASSWORD, 0.2)
            assert alive.transcript.connections == 0

            dead.faults.set([])
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            assert (await driver.fetch(endpoint(alive), PASSWORD)).items == 3
        dead.transcript.overlaps.clear()
