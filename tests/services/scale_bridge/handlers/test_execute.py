"""The bridge at work: one at a time per scale, not for ever, and nothing is left undone."""

import asyncio
from contextlib import AsyncExitStack

from libs.postgres.pool import acquired
from tests.services.scale_bridge.at_hand import a_scale, until
from tests.services.scale_bridge.inside import (
    BORIS,
    at_work,
    edited,
    fetched,
    registered,
    working,
)


async def test_two_who_write_to_one_scale_never_meet_on_the_wire(database: str) -> None:
    """(R1, S1) The scale itself asserts it; it is registered twice, by two people."""
    async with (
        a_scale(20) as scale,
        working(database) as made,
        at_work(made.settings),
        made.client() as anna,
        made.client(BORIS) as boris,
    ):
        first, second = await edited(anna, scale), await edited(boris, scale)
        scale.faults.set(["slow:0.02"])
        answers = await asyncio.gather(
            *(anna.post(f"/devices/{first}/upload") for _ in range(4)),
            *(boris.post(f"/devices/{second}/upload") for _ in range(4)),
            *(boris.get(f"/devices/{second}/products") for _ in range(2)),
        )

        assert {answer.status_code for answer in answers} <= {200, 409}
        assert 200 in {answer.status_code for answer in answers}
        await made.one_end_each()


async def test_who_finds_a_scale_busy_is_told_to_come_back(database: str) -> None:
    """(R1)"""
    async with (
        a_scale(4) as scale,
        working(database, busy_seconds=0.2, reply_seconds=5) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        asked = scale.transcript.count
        scale.faults.set(["late:14:2"])
        fetching = asyncio.create_task(anna.get(f"/devices/{number}/products"))
        await until(lambda: scale.transcript.count > asked)
        busy = await anna.post(f"/devices/{number}/upload")

        assert (busy.status_code, busy.json()["code"]) == (409, "Busy")
        assert isinstance(busy.json()["detail"], str)
        assert int(busy.headers["Retry-After"]) >= 1
        assert (await fetching).status_code == 200
        await made.one_end_each()


async def test_an_operation_is_over_at_its_deadline(database: str) -> None:
    """(R2)"""
    async with (
        a_scale(3) as scale,
        working(database, operation_seconds=1.0, reply_seconds=0.5) as made,
        made.client() as anna,
    ):
        number = await registered(anna, scale)
        await fetched(anna, number)
        scale.faults.set(["drip:0.1"])
        answer = await anna.get(f"/devices/{number}/products")

        assert (answer.status_code, answer.json()["code"]) == (504, "Timeout")
        await until(lambda: scale.open_connections == 0)


async def test_while_50_scales_hang_everybody_else_is_answered(database: str) -> None:
    """(R20)"""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(working(database, reply_seconds=30))
        anna = await stack.enter_async_context(made.client())
        scales = [await stack.enter_async_context(a_scale(1, "mute:14")) for _ in range(50)]
        numbers = [await registered(anna, scale) for scale in scales]
        hanging = [
            asyncio.create_task(anna.get(f"/devices/{number}/products")) for number in numbers
        ]
        await until(lambda: all(scale.open_connections for scale in scales))

        listed = await anna.get("/devices")
        other = await anna.post(
            "/devices", json={"name": "x", "ip": "10.0.0.1", "password": "1234"}
        )
        cached = await anna.get(f"/devices/{numbers[0]}/products/cached")
        assert len(listed.json()) == 50
        assert (other.status_code, cached.status_code) == (201, 200)
        assert not [task for task in hanging if task.done()]
        async with acquired(made.deps.desk.pool) as connection:
            held = await connection.fetchval(
                """SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state = 'idle in transaction'"""
            )
        assert held == 0
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
