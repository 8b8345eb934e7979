"""A daemon does with scales what the service would do, for those who let it in."""

from pathlib import Path
from uuid import uuid4

from contracts.scale_bridge import OperationSending
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.domain.shown import shown_of
from services.scale_bridge.handlers import operation
from services.scale_bridge.handlers.bridge_results import holder_of
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import daemon, enrolled
from tests.services.scale_bridge.bridging import (
    BRIDGE,
    OWNER,
    PASSWORD,
    job,
    standing,
    until,
)


async def test_a_scale_is_read_by_the_daemon(database: str, tmp_path: Path) -> None:
    async with standing(database) as house, a_scale(40, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        device_id = await house.device(scale)
        async with daemon(tmp_path):
            ended = await house.done(device_id, "fetch")

        assert (ended.outcome, ended.code, ended.items) == ("done", "", 40)
        copy = await house.copy(device_id)
        assert copy.document == scale.base.document
        assert not copy.dirty
        told = await house.events(f"operation-{ended.operation_id}")
        assert [type(event).__name__ for event in told] == [
            "OperationQueued",
            "OperationSending",
            "OperationEnded",
        ]
        assert isinstance(told[1], OperationSending)
        assert told[1].holder == holder_of(BRIDGE)


async def test_an_edit_reaches_the_scale_and_is_read_back(database: str, tmp_path: Path) -> None:
    async with standing(database) as house, a_scale(40, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        async with daemon(tmp_path):
            device_id = await house.read(scale)
            plu = scale.base.products[7]["pluNumber"]
            await house.price(device_id, plu, 777.5)
            ended = await house.done(device_id, "upload")

        assert (ended.outcome, ended.code) == ("verified", "")
        assert scale.base.products[7]["price"] == 777.5
        copy = await house.copy(device_id)
        assert not copy.dirty
        assert [fact["shown"] for fact in await house.facts(f"shown-{device_id}")][1:] == [
            {str(plu): {**shown_of(scale.base.products[7]), "price": 777.5}}
        ]


async def test_dates_of_a_scale_that_was_never_read_are_refreshed_in_two_errands(
    database: str, tmp_path: Path
) -> None:
    async with standing(database) as house, a_scale(6, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        device_id = await house.device(scale)
        async with daemon(tmp_path):
            ended = await house.done(device_id, "refresh")

        today = house.desk.clock().strftime("%d-%m-%y")
        assert ended.outcome == "verified"
        assert {product["manufactureDate"] for product in scale.base.products} == {today}
        assert not (await house.copy(device_id)).dirty


async def test_a_catalogue_larger_than_a_message_goes_both_ways(
    database: str, tmp_path: Path
) -> None:
    async with standing(database) as house, a_scale(10_000, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        async with daemon(tmp_path):
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[-1]["pluNumber"], 3.25)
            ended = await house.done(device_id, "upload", full=True)

        assert (ended.outcome, ended.items) == ("verified", 10_000)
        assert scale.base.products[-1]["price"] == 3.25


async def test_a_daemon_that_dies_in_the_middle_brings_it_to_an_end_when_it_is_back(
    database: str, tmp_path: Path
) -> None:
    async with standing(database) as house, a_scale(20, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        async with daemon(tmp_path):
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[0]["pluNumber"], 5.5)
            scale.scale.faults.set(["mute:13/09"])
            operation_id = await house.order(device_id, "upload")
            await until(lambda: Step.CHECK in scale.transcript.steps())
        assert await house.ends(operation_id) == []
        scale.scale.faults.set([])
        async with daemon(tmp_path):
            ended = await house.end(operation_id)

        assert (ended.outcome, ended.code) == ("verified", "")
        assert not (await house.copy(device_id)).dirty
        assert scale.base.products[0]["price"] == 5.5


async def test_a_daemon_that_comes_back_to_a_dead_scale_does_not_say_that_nothing_happened(
    database: str, tmp_path: Path
) -> None:
    async with (
        standing(database, operation_seconds=6.0) as house,
        a_scale(20, password=PASSWORD) as scale,
    ):
        enrolled(tmp_path, house.url)
        async with daemon(tmp_path):
            device_id = await house.read(scale)
            await house.price(device_id, scale.base.products[0]["pluNumber"], 5.5)
            scale.scale.faults.set(["mute:13/09"])
            operation_id = await house.order(device_id, "upload")
            await until(lambda: Step.CHECK in scale.transcript.steps())
        scale.scale.faults.set(["idle"])
        async with daemon(tmp_path):
            ended = await house.end(operation_id)

        assert ended.outcome == "unknown"
        assert (await house.copy(device_id)).dirty


async def test_work_of_another_tenant_is_nothing_of_the_daemons(
    database: str, tmp_path: Path
) -> None:
    async with standing(database) as house, a_scale(5, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        device_id = await house.device(scale)
        foreign = job(operation.new_id(), device_id, "birch")
        await house.desk.work.put(foreign, BRIDGE, house.desk.clock())
        async with daemon(tmp_path) as desk:
            await house.done(device_id, "fetch")

            async def holds_nothing() -> bool:
                return not await desk.store.holding()

            await until(holds_nothing)

        assert scale.transcript.connections == 1


async def test_a_daemon_reaches_the_scales_of_who_let_it_in_and_nobody_elses(
    database: str, tmp_path: Path
) -> None:
    async with standing(database) as house, a_scale(5, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        house.owner = uuid4()
        foreign = await house.order(await house.device(scale), "fetch")
        house.owner = OWNER
        device_id = await house.device(scale)
        async with daemon(tmp_path):
            await house.done(device_id, "fetch")
            await house.done(device_id, "fetch")

        assert await house.ends(foreign) == []
        assert scale.transcript.connections == 2
