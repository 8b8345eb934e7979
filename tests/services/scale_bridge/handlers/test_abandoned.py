"""Whatever becomes of the bridge: every operation ends, once, and the next begins clean (R25)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.scale_bridge import CatalogueConfirmed
from services.scale_bridge.adapters.wire import Step
from services.scale_bridge.bootstrap import open_executor
from services.scale_bridge.handlers.execute import Executor
from services.scale_bridge.settings import Settings
from tests.services.scale_bridge.at_hand import a_scale, until
from tests.services.scale_bridge.inside import (
    at_work,
    dirty,
    edited,
    ended,
    eventually,
    fetched,
    inside,
    patch,
    registered,
    working,
)


@asynccontextmanager
async def dying(settings: Settings) -> AsyncIterator[Executor]:
    """A bridge that is killed at the end of the block: it says nothing and gives nothing back."""
    async with open_executor(settings) as executor:
        work = asyncio.create_task(executor.bridge(asyncio.Event()))
        executor.drain_seconds = 0.0
        try:
            yield executor
        finally:
            # What a dead process cannot do any more.
            executor.jobs.clear()
            setattr(executor.desk.work, "done", gone)  # noqa: B010 -- a method, to mypy
            setattr(executor.gear.turns, "give_back", gone)  # noqa: B010
            for task in executor.running.values():
                task.cancel()
            work.cancel()
            await asyncio.gather(work, *executor.running.values(), return_exceptions=True)


async def gone(*_: object) -> None:
    """Nobody does this."""


async def test_what_a_killed_bridge_left_ends_once_and_the_next_begins_clean(
    database: str,
) -> None:
    """(R4, R8, R25)"""
    async with (
        a_scale(4) as scale,
        inside(database, lease_seconds=4.0) as made,
        made.client() as anna,
    ):
        async with at_work(made.settings):
            number = await edited(anna, scale)
        scale.faults.set(["slow:0.2"])
        async with dying(made.settings):
            ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "upload"})
            await until(lambda: Step.ANNOUNCE in list(scale.transcript.steps()))
        scale.faults.set([])
        async with at_work(made.settings):
            job = await ended(anna, ordered)
            assert (job["outcome"], job["code"]) == ("unknown", "Interrupted")
            await made.fresh.wait("device", "")
            assert await dirty(anna, number) is True
            assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert await dirty(anna, number) is False
        assert scale.base.products[1]["price"] == 99.5
        await made.one_end_each()


async def test_what_was_applied_before_the_bridge_was_killed_is_done(database: str) -> None:
    """(R4, R25)"""
    async with (
        a_scale(4) as scale,
        inside(database, lease_seconds=4.0, reply_seconds=5) as made,
        made.client() as anna,
    ):
        async with at_work(made.settings):
            number = await edited(anna, scale)
        scale.faults.set(["late:14:3"])
        read = list(scale.transcript.steps()).count(Step.CREATE)
        async with dying(made.settings):
            ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "upload"})
            await until(lambda: list(scale.transcript.steps()).count(Step.CREATE) > read)
        async with at_work(made.settings):
            job = await ended(anna, ordered)
        await made.fresh.wait("device", "")

        assert job["outcome"] == "done"
        assert await dirty(anna, number) is False
        assert len(await made.events(CatalogueConfirmed)) == 1
        await made.one_end_each()


@pytest.mark.parametrize("embedded", [True, False])
async def test_what_nobody_began_ends_at_its_deadline(database: str, embedded: bool) -> None:
    """(R25) Also where all scales are behind daemons, none of which is there."""
    async with (
        a_scale(3) as scale,
        inside(database, operation_seconds=0.3, embedded=embedded) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "fetch"})
        await asyncio.sleep(0.4)
        async with at_work(made.settings):
            job = await ended(anna, ordered)

        assert (job["outcome"], job["code"]) == ("failed", "NotBegun")
        assert scale.transcript.count == 0


async def test_a_stopped_bridge_says_what_it_broke_off(database: str) -> None:
    """(R25)"""
    async with a_scale(4) as scale, inside(database, reply_seconds=30) as made:
        async with made.client() as anna, at_work(made.settings):
            number = await edited(anna, scale)
            scale.faults.set(["mute:13/02"])
            ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "upload"})
            await until(lambda: Step.ANNOUNCE in list(scale.transcript.steps()))
        async with made.client() as anna:
            job = await ended(anna, ordered)

        assert (job["outcome"], job["code"]) == ("unknown", "Interrupted")
        assert scale.open_connections == 0


async def test_the_work_goes_on_without_kafka(database: str) -> None:
    """(R24) Nothing here has a broker: what is to be done stands in the database."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await patch(anna, number, 1, price=1)

        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert await made.deps.desk.work.count() == 0


async def test_an_operation_for_a_scale_that_is_gone_ends(database: str) -> None:
    """(R26)"""
    async with a_scale(3) as scale, inside(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "fetch"})
        await anna.delete(f"/devices/{number}")
        async with at_work(made.settings):
            await eventually(made.ends)
        [end] = await made.ends()

        assert (end.outcome, end.code) == ("failed", "DeviceUnknown")
        assert ordered.status_code == 202
        assert scale.transcript.count == 0
