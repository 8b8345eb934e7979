"""Operations that nobody waits for, what they tell of themselves, and how they are listed (R22)."""

import asyncio

import pytest

from contracts.scale_bridge import OperationSending
from services.scale_bridge.adapters.wire import Step
from tests.services.scale_bridge.at_hand import a_scale, until
from tests.services.scale_bridge.inside import (
    at_work,
    dirty,
    edited,
    ended,
    eventually,
    fetched,
    inside,
    registered,
    working,
)


async def test_a_probe_needs_no_password_and_says_what_the_scale_is(database: str) -> None:
    async with a_scale(3, "pw") as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        answer = await anna.post(f"/devices/{number}/probe")

        assert answer.status_code == 200
        assert "M-ER 725" in answer.json()["detail"]


async def test_attempts_are_told_and_there_are_three_at_most(database: str) -> None:
    """(R3, R24)"""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        scale.faults.set(["rst:14"])
        await anna.get(f"/devices/{number}/products")

        begun = [event.attempt for event in await made.events(OperationSending)]
        assert begun == [1, 2, 3]
        assert [end.attempts for end in await made.ends()] == [3]


async def test_a_client_that_leaves_stops_nothing(database: str) -> None:
    """(R22)"""
    async with a_scale(4) as scale, working(database) as made, made.client() as anna:
        number = await edited(anna, scale)
        scale.faults.set(["slow:0.2"])
        uploading = asyncio.create_task(anna.post(f"/devices/{number}/upload"))
        await until(lambda: Step.ANNOUNCE in list(scale.transcript.steps()))
        uploading.cancel()

        async def over() -> bool:
            return len(await made.ends()) == 2

        await eventually(over)
        assert (await made.ends())[-1].outcome == "verified"
        await made.fresh.wait("device", "")
        assert await dirty(anna, number) is False


@pytest.mark.parametrize("kind", ["fetch", "verify", "probe", "upload", "refresh"])
async def test_an_operation_can_be_ordered_and_asked_for(database: str, kind: str) -> None:
    """(R22)"""
    async with inside(database) as made, made.client() as anna, a_scale(3) as scale:
        number = await registered(anna, scale)
        async with at_work(made.settings):
            await fetched(anna, number)
        ordered = await anna.post(f"/devices/{number}/operations", json={"kind": kind})
        assert ordered.json()["status"] == "queued"
        async with at_work(made.settings):
            job = await ended(anna, ordered)
        await made.fresh.wait("operation", "")
        listed = (await anna.get(f"/devices/{number}/operations")).json()

        assert job["outcome"] in ("done", "verified")
        assert job == (await anna.get(f"/operations/{job['id']}")).json()
        assert job in listed
        async with made.client(tenant="other") as stranger:
            assert (await stranger.get(f"/operations/{job['id']}")).status_code == 404
        bad = await anna.post(f"/devices/{number}/operations", json={"kind": "explode"})
        assert bad.status_code == 422


async def test_a_refresh_of_a_scale_nobody_read_reads_it_first(database: str) -> None:
    """(R13)"""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "refresh"})
        job = await ended(anna, ordered)
        cached = (await anna.get(f"/devices/{number}/products/cached")).json()["products"]

        assert job["outcome"] == "verified"
        assert cached["products"] == scale.base.products
        assert await dirty(anna, number) is False
        assert len({item["manufactureDate"] for item in scale.base.products}) == 1
