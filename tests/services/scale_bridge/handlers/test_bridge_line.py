"""The line between service and daemon breaks, or one of them dies: work goes on, and ends once."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.scale_bridge import OperationId
from libs.testing.waiting import eventually
from services.scale_bridge.adapters.wire import Step
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.remote import (
    PASSWORD,
    Line,
    Remote,
    is_settled,
    line_to,
    open_daemon,
    open_remote,
)

KILLS = 20


async def test_the_line_breaks_in_the_middle_and_the_work_goes_on(
    database: str, tmp_path: Path
) -> None:
    async with (
        open_remote(database) as remote,
        line_to(remote) as line,
        a_scale(20, password=PASSWORD) as scale,
        open_daemon(tmp_path, line) as desk,
    ):
        device_id = await remote.read(scale)
        operation_id = await remote.begin_upload(device_id, scale, "slow:0.05", Step.ANNOUNCE)
        line.open = False
        assert line.cut() > 0
        # It is done while it cannot be reported.
        await eventually(lambda: not desk.running)
        assert scale.base.products[0]["price"] == 5.5
        assert await remote.ends(operation_id) == []
        line.open = True
        ended = await remote.end(operation_id)
        await eventually(lambda: is_settled(desk))

        assert (ended.outcome, ended.code) == ("verified", "")
        assert not (await remote.copy(device_id)).dirty
        assert list(scale.transcript.steps()).count(Step.ANNOUNCE) == 1
        assert await remote.ends(operation_id) == [ended]


async def test_a_line_that_breaks_again_and_again_makes_no_second_end(
    database: str, tmp_path: Path
) -> None:
    async with (
        open_remote(database) as remote,
        line_to(remote) as line,
        a_scale(300, password=PASSWORD) as scale,
        open_daemon(tmp_path, line) as desk,
    ):
        device_id = await remote.read(scale)
        cutting = asyncio.create_task(cut_often(line))
        ended = []
        for number in range(6):
            await remote.set_price(device_id, scale.base.products[number]["pluNumber"], 9.0)
            ended.append(await remote.done(device_id, "upload"))
        await cutting
        await eventually(lambda: is_settled(desk))

        assert {one.outcome for one in ended} == {"verified"}
        assert [product["price"] for product in scale.base.products[:6]] == [9.0] * 6
        assert not (await remote.copy(device_id)).dirty
        for one in ended:
            assert await remote.ends(one.operation_id) == [one]


async def cut_often(line: Line) -> None:
    """Cut the line many times, at random moments; then leave it alone."""
    chance = random.Random(11)
    for _ in range(25):
        await asyncio.sleep(chance.uniform(0.02, 0.8))
        line.cut()


async def test_a_result_that_comes_too_late_changes_nothing(database: str, tmp_path: Path) -> None:
    async with (
        open_remote(database) as remote,
        line_to(remote) as line,
        a_scale(20, password=PASSWORD) as scale,
        open_daemon(tmp_path, line) as desk,
    ):
        device_id = await remote.read(scale)
        remote.desk = replace(remote.desk, operation_seconds=8.0)
        operation_id = await remote.begin_upload(device_id, scale, "slow:0.05", Step.ANNOUNCE)
        line.open = False
        line.cut()
        await eventually(lambda: not desk.running)
        await eventually(lambda: is_swept(remote, operation_id))
        [ended] = await remote.ends(operation_id)
        assert (ended.outcome, ended.code) == ("unknown", "Interrupted")
        # It is not known what the scale holds, and not claimed to be.
        assert (await remote.copy(device_id)).dirty
        line.open = True
        await eventually(lambda: is_settled(desk))
        assert await remote.ends(operation_id) == [ended]
        scale.faults.set([])
        remote.desk = replace(remote.desk, operation_seconds=30.0)
        assert (await remote.done(device_id, "upload")).outcome == "verified"
        assert not (await remote.copy(device_id)).dirty


async def is_swept(remote: Remote, operation_id: OperationId) -> bool:
    """Whether the service has given the operation up."""
    await remote.sweep()
    return bool(await remote.ends(operation_id))


async def test_the_service_dies_in_the_middle_and_another_takes_the_result(
    database: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack, a_scale(20, password=PASSWORD) as scale:
        async with open_remote(database) as remote:
            line = await stack.enter_async_context(line_to(remote))
            desk = await stack.enter_async_context(open_daemon(tmp_path, line))
            device_id = await remote.read(scale)
            operation_id = await remote.begin_upload(device_id, scale, "slow:0.1", Step.ANNOUNCE)
            line.open = False
            line.cut()
        async with open_remote(database, seal=remote.desk.seal) as another:
            line.connect_to(another.port)
            line.open = True
            ended = await another.end(operation_id)
            await eventually(lambda: is_settled(desk))
            assert (ended.outcome, ended.code) == ("verified", "")
            assert not (await another.copy(device_id)).dirty
            assert await another.ends(operation_id) == [ended]
            await stack.aclose()


@pytest.mark.system
async def test_a_daemon_killed_twenty_times_converges(database: str, tmp_path: Path) -> None:
    """(SCL-12) At random moments: the truth comes out without a human."""
    chance = random.Random(7)
    async with open_remote(database) as remote, a_scale(60, password=PASSWORD) as scale:
        async with open_daemon(tmp_path, remote):
            device_id = await remote.read(scale)
        scale.faults.set(["slow:0.01"])
        ordered = []
        for number in range(KILLS):
            plu = scale.base.products[number]["pluNumber"]
            await remote.set_price(device_id, plu, 100.0 + number)
            ordered.append(await remote.order(device_id, "upload"))
            async with open_daemon(tmp_path, remote) as desk:
                # Now and then before it has begun, now and then when all is over.
                await eventually(lambda desk=desk: desk.running)  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0.0, 0.4))
        scale.faults.set([])
        async with open_daemon(tmp_path, remote) as last_desk:
            ended = [await remote.end(operation_id) for operation_id in ordered]
            last = await remote.done(device_id, "upload")
            await eventually(lambda: is_settled(last_desk))

        assert last.outcome == "verified"
        prices = [product["price"] for product in scale.base.products[:KILLS]]
        assert prices == [100.0 + number for number in range(KILLS)]
        copy = await remote.copy(device_id)
        assert not copy.dirty
        assert copy.document == scale.base.document
        assert {one.outcome for one in ended} <= {"verified", "done", "unknown", "failed"}
        for one in ended:
            assert await remote.ends(one.operation_id) == [one]
