"""The guarded driver ends in time, leaves no thread behind, and speaks to so many at once."""

import asyncio
import threading

import pytest

from services.scale_bridge.adapters.driver import Driver, open_driver
from services.scale_bridge.adapters.line import Limits
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.domain.fault import Overloaded, Timeout, UnknownOutcome
from tests.services.scale_bridge.at_hand import (
    PASSWORD,
    a_scale,
    endpoint,
    priced,
    prices,
    until,
)


@pytest.mark.parametrize("fault", ["poll:inf", "mute:14", "drip:0.01", "hashbusy", "slow:1"])
async def test_at_the_deadline_the_line_is_closed_and_the_thread_is_free(fault: str) -> None:
    """(R2)"""
    patient = Limits(connect_seconds=10, reply_seconds=100)
    async with open_driver(lines=2, limits=patient) as driver, a_scale(200, fault) as simulator:
        with pytest.raises(Timeout):
            await driver.fetch(endpoint(simulator), PASSWORD, 0.3)

        assert driver.busy == 0
        await until(lambda: simulator.open_connections == 0)


async def test_no_thread_is_left_when_the_driver_is_closed() -> None:
    """(R2)"""
    async with a_scale(3, "mute:14") as simulator:
        async with open_driver(lines=4) as driver:
            waiting = asyncio.create_task(driver.fetch(endpoint(simulator), PASSWORD))
            await until(lambda: simulator.open_connections == 1)
        with pytest.raises(Timeout):
            await waiting

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scale_")]


async def test_who_is_cancelled_leaves_no_thread_behind(driver: Driver) -> None:
    """(R2)"""
    async with a_scale(3, "poll:inf") as simulator:
        task = asyncio.create_task(driver.fetch(endpoint(simulator), PASSWORD))
        await until(lambda: simulator.open_connections == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert driver.busy == 0
        await until(lambda: simulator.open_connections == 0)


async def test_an_upload_broken_off_after_its_last_chunk_is_unknown(driver: Driver) -> None:
    """(R4)"""
    async with a_scale(3, "checkinf") as simulator:
        task = asyncio.create_task(
            driver.upload(endpoint(simulator), PASSWORD, priced(3, 9.0), clear=False)
        )
        await until(lambda: Step.CHECK in simulator.transcript.steps())
        driver.stop()
        with pytest.raises(UnknownOutcome):
            await task

        assert prices(simulator) == {9.0}


async def test_no_more_scales_are_spoken_to_at_once_than_there_are_lines() -> None:
    """(R20)"""
    async with open_driver(lines=2) as driver, a_scale(3, "mute:14") as dead:
        hanging = [
            asyncio.create_task(driver.fetch(endpoint(dead), PASSWORD, 60)) for _ in range(2)
        ]
        await until(lambda: driver.busy == 2)
        async with a_scale(3) as alive:
            with pytest.raises(Overloaded):
                await driver.fetch(endpoint(alive), PASSWORD, 0.2)
            assert alive.transcript.connections == 0

            dead.faults.set([])
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            assert (await driver.fetch(endpoint(alive), PASSWORD)).items == 3
        dead.transcript.overlaps.clear()
