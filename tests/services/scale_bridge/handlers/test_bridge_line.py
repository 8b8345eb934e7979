"""The line between service and daemon breaks: work goes on, and ends once."""

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

from contracts.scale_bridge import OperationId
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.handlers.bridge_desk import BridgeDesk
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import Line, daemon, enrolled, line_to
from tests.services.scale_bridge.bridging import (
    PASSWORD,
    House,
    standing,
    until,
)


async def test_the_line_breaks_in_the_middle_and_the_work_goes_on(
    database: str, tmp_path: Path
) -> None:
    async with (
        standing(database) as house,
        line_to(house) as line,
        a_scale(20, password=PASSWORD) as scale,
    ):
        enrolled(tmp_path, f"http://{line.address}")
        async with daemon(tmp_path) as desk:
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[0]["pluNumber"], 5.5)
            scale.scale.faults.set(["slow:0.05"])
            operation_id = await house.order(device_id, "upload")
            await until(lambda: Step.ANNOUNCE in scale.transcript.steps())
            line.open = False
            assert line.cut() > 0
            # It is done while nobody can be told.
            await until(lambda: not desk.running)
            assert scale.base.products[0]["price"] == 5.5
            assert await house.ends(operation_id) == []
            line.open = True
            ended = await house.end(operation_id)
            await until(lambda: settled(desk))

        assert (ended.outcome, ended.code) == ("verified", "")
        assert not (await house.copy(device_id)).dirty
        assert list(scale.transcript.steps()).count(Step.ANNOUNCE) == 1
        assert len(await house.ends(operation_id)) == 1


async def test_a_line_that_breaks_again_and_again_makes_no_second_end(
    database: str, tmp_path: Path
) -> None:
    async with (
        standing(database) as house,
        line_to(house) as line,
        a_scale(300, password=PASSWORD) as scale,
    ):
        enrolled(tmp_path, f"http://{line.address}")
        async with daemon(tmp_path) as desk:
            device_id = await house.read(scale)
            cutting = asyncio.create_task(cut_often(line))
            ended = []
            for number in range(6):
                await house.price(device_id, scale.base.products[number]["pluNumber"], 9.0)
                ended.append(await house.done(device_id, "upload"))
            await cutting
            await until(lambda: settled(desk))

        assert {one.outcome for one in ended} == {"verified"}
        assert [product["price"] for product in scale.base.products[:6]] == [9.0] * 6
        assert not (await house.copy(device_id)).dirty
        for one in ended:
            assert len(await house.ends(one.operation_id)) == 1


async def test_a_result_that_comes_too_late_changes_nothing(database: str, tmp_path: Path) -> None:
    async with (
        standing(database, operation_seconds=3.0) as house,
        line_to(house) as line,
        a_scale(20, password=PASSWORD) as scale,
    ):
        enrolled(tmp_path, f"http://{line.address}")
        async with daemon(tmp_path) as desk:
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[0]["pluNumber"], 5.5)
            scale.scale.faults.set(["slow:0.05"])
            operation_id = await house.order(device_id, "upload")
            await until(lambda: Step.ANNOUNCE in scale.transcript.steps())
            line.open = False
            line.cut()
            await until(lambda: not desk.running)
            await until(lambda: swept(house, operation_id))
            [ended] = await house.ends(operation_id)
            assert (ended.outcome, ended.code) == ("unknown", "Interrupted")
            # Nobody knows what the scale holds, and nobody claims to.
            assert (await house.copy(device_id)).dirty
            line.open = True
            await until(lambda: settled(desk))
            assert await house.ends(operation_id) == [ended]
            scale.scale.faults.set([])
            assert (await house.done(device_id, "upload")).outcome == "verified"
        assert not (await house.copy(device_id)).dirty


async def test_the_service_dies_in_the_middle_and_another_takes_the_result(
    database: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack, a_scale(20, password=PASSWORD) as scale:
        async with standing(database) as house:
            line = await stack.enter_async_context(line_to(house))
            enrolled(tmp_path, f"http://{line.address}")
            desk = await stack.enter_async_context(daemon(tmp_path))
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[0]["pluNumber"], 5.5)
            scale.scale.faults.set(["slow:0.1"])
            operation_id = await house.order(device_id, "upload")
            await until(lambda: Step.ANNOUNCE in scale.transcript.steps())
            line.open = False
            line.cut()
        async with standing(database, key=house.key, seal=house.desk.seal) as another:
            line.lead_to(another.port)
            line.open = True
            ended = await another.end(operation_id)
            await until(lambda: settled(desk))
            assert (ended.outcome, ended.code) == ("verified", "")
            assert not (await another.copy(device_id)).dirty
            assert await another.ends(operation_id) == [ended]
            await stack.aclose()


async def cut_often(line: Line) -> None:
    """Cut the line many times, at moments nobody chose; then leave it alone."""
    for _ in range(25):
        await asyncio.sleep(random.uniform(0.02, 0.8))
        line.cut()


async def swept(house: House, operation_id: OperationId) -> bool:
    """Whether the service has given the operation up."""
    await house.sweep()
    return bool(await house.ends(operation_id))


async def settled(desk: BridgeDesk) -> bool:
    """Whether the daemon has nothing left to tell."""
    return not await desk.store.reports()
