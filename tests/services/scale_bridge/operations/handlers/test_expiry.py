"""Operations of workers that are killed or stopped end once (R1, R4, R8, R25, R26)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from contracts.scale_bridge import CatalogueConfirmed
from libs.postgres.leases import Leases
from libs.testing.polling import eventually
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.operations.handlers.worker import OperationWorker, open_worker
from services.scale_bridge.operations.stores.work import WorkQueue
from services.scale_bridge.settings import Settings
from services.scale_bridge.transfer.handlers.perform import LeaseBusy, hold_lease
from tests.services.scale_bridge.at_hand import a_scale, endpoint
from tests.services.scale_bridge.service import (
    Device,
    a_device,
    open_device,
    open_service,
    running_worker,
)

STEAL = "UPDATE lease SET holder = 'another'"


@asynccontextmanager
async def dying(settings: Settings) -> AsyncIterator[OperationWorker]:
    """A worker that is killed at the end of the block: it records and releases nothing."""
    async with SERVICE.open_context(settings, size=4) as context, open_worker(context) as executor:
        work = asyncio.create_task(executor.run(asyncio.Event()))
        executor.drain_seconds = 0.0
        try:
            yield executor
        finally:
            # What a dead process cannot do any more.
            executor.jobs.clear()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(WorkQueue, "done", _nothing)
                patch.setattr(executor.execution.leases, "release", _nothing)
                for task in executor.running.values():
                    task.cancel()
                work.cancel()
                await asyncio.gather(work, *executor.running.values(), return_exceptions=True)


async def _nothing(*_: object) -> None:
    pass


@asynccontextmanager
async def edited_device(database: str, **settings: Any) -> AsyncIterator[Device]:
    """A device with an edit that was not sent; the service without a worker."""
    async with (
        a_scale(4) as scale,
        open_service(database, **settings) as service,
        service.client() as anna,
    ):
        async with running_worker(service.settings):
            device = await a_device(service, anna, scale)
        await device.set_price(2, 99.5)
        yield device


def count(device: Device, step: Step) -> int:
    return list(device.scale.transcript.steps()).count(step)


async def test_an_operation_of_a_killed_worker_ends_once(
    database: str,
) -> None:
    async with edited_device(database, lease_seconds=6.0, reply_seconds=60) as device:
        service, scale = device.service, device.scale
        scale.faults.set(["mute:13/02"])
        async with dying(service.settings):
            ordered = await device.order("upload")
            await eventually(lambda: count(device, Step.ANNOUNCE))
        scale.faults.set([])
        async with running_worker(service.settings):
            job = await device.ended(ordered)
            assert (job["outcome"], job["code"]) == ("unknown", "Interrupted")
            await service.caught_up()
            assert await device.is_listed_dirty() is True
            await device.upload()
        assert await device.is_listed_dirty() is False
        assert scale.base.products[1]["price"] == 99.5
        await service.assert_one_end_each()


async def test_an_operation_applied_before_its_worker_was_killed_is_done(database: str) -> None:
    async with edited_device(database, lease_seconds=6.0, reply_seconds=60) as device:
        service = device.service
        device.scale.faults.set(["late:14:3"])
        read = count(device, Step.CREATE)
        async with dying(service.settings):
            ordered = await device.order("upload")
            await eventually(lambda: count(device, Step.CREATE) > read)
        async with running_worker(service.settings):
            job = await device.ended(ordered)
        await service.caught_up()

        assert job["outcome"] == "done"
        assert await device.is_listed_dirty() is False
        assert len(await service.events(CatalogueConfirmed)) == 1
        await service.assert_one_end_each()


@pytest.mark.parametrize("embedded", [True, False])
async def test_an_operation_that_never_began_ends_at_its_deadline(
    database: str, embedded: bool
) -> None:
    """(R25) Also where all scales are driven by agents, and none is connected."""
    async with (
        a_scale(3) as scale,
        open_service(database, operation_seconds=0.3, embedded=embedded) as service,
        service.client() as anna,
    ):
        device = await a_device(service, anna, scale, read=False)
        ordered = await device.order("fetch")
        await asyncio.sleep(0.4)
        async with running_worker(service.settings):
            job = await device.ended(ordered)

        assert (job["outcome"], job["code"]) == ("failed", "NotBegun")
        assert scale.transcript.count == 0


async def test_a_stopped_worker_ends_its_operations(database: str) -> None:
    async with edited_device(database, reply_seconds=60) as device:
        async with running_worker(device.service.settings):
            device.scale.faults.set(["mute:13/02"])
            ordered = await device.order("upload")
            await eventually(lambda: count(device, Step.ANNOUNCE))
        job = await device.ended(ordered)

        assert (job["outcome"], job["code"]) == ("unknown", "Interrupted")
        await eventually(lambda: device.scale.open_connections, 0)


async def test_operations_are_executed_without_kafka(database: str) -> None:
    """(R24) There is no broker here: the queue is in the database."""
    async with open_device(database) as device:
        await device.set_price(1, 1)
        await device.upload()
        await eventually(partial(device.service.fetch_value, "SELECT count(*) FROM work"), 0)


async def test_an_operation_of_a_removed_device_ends(database: str) -> None:
    async with edited_device(database) as device:
        requests = device.scale.transcript.count
        await device.order("fetch")
        await device.delete()
        async with running_worker(device.service.settings):
            await eventually(device.service.all_ended)
        end = (await device.service.ends())[-1]

        assert (end.outcome, end.code) == ("failed", "DeviceUnknown")
        assert device.scale.transcript.count == requests


async def test_a_lease_has_one_holder_until_it_runs_out(database: str) -> None:
    """(R1, R25) Over all processes."""
    async with edited_device(database) as device:
        pool, where = device.service.deps.system, endpoint(device.scale)
        leases = Leases(pool, 60)
        got = await asyncio.gather(*(leases.take(where, f"holder {n}") for n in range(20)))
        assert sorted(got) == [False] * 19 + [True]
        with pytest.raises(LeaseBusy):
            async with hold_lease(leases, where, "me", wait_seconds=0.1):
                pytest.fail("another holds the lease")

        await device.service.execute("UPDATE lease SET until = now()")
        assert await leases.take(where, "next")
        # Without being renewed it runs out by itself.
        short = Leases(pool, 0.2)
        assert await short.renew(where, "next")
        await eventually(lambda: short.take(where, "another"))


async def test_an_operation_that_lost_its_lease_is_unknown_and_disconnects(database: str) -> None:
    async with open_device(database, 4, lease_seconds=6.0, reply_seconds=60) as device:
        await device.set_price(2, 99.5)
        device.scale.faults.set(["mute:13/02"])
        ordered = await device.order("upload")
        await eventually(lambda: count(device, Step.ANNOUNCE))
        await device.service.execute(STEAL)
        job = await device.ended(ordered)
        await device.service.caught_up()

        assert (job["outcome"], job["code"]) == ("unknown", "Interrupted")
        assert await device.is_listed_dirty() is True
        await eventually(lambda: device.scale.open_connections, 0)
        # Nor is the lease, which is another's by now, given back.
        assert not await Leases(device.service.deps.system, 6.0).take(endpoint(device.scale), "me")
