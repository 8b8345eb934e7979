"""Killed at moments nobody chose, again and again: the truth comes out without a human (SCL-12)."""

import asyncio
import random
from pathlib import Path

import pytest

from services.scale_bridge.handlers.bridge_desk import BridgeDesk
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import daemon, enrolled
from tests.services.scale_bridge.bridging import (
    PASSWORD,
    standing,
    until,
)

ROUNDS = 20


@pytest.mark.slow
async def test_a_daemon_killed_twenty_times_converges(database: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    async with standing(database) as house, a_scale(60, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        async with daemon(tmp_path):
            device_id = await house.read(scale)
        scale.scale.faults.set(["slow:0.01"])
        ordered = []
        for number in range(ROUNDS):
            plu = scale.base.products[number]["pluNumber"]
            await house.price(device_id, plu, 100.0 + number)
            ordered.append(await house.order(device_id, "upload"))
            async with daemon(tmp_path) as desk:
                # Now and then before it has begun, now and then when all is over.
                await until(lambda desk=desk: desk.running)
                await asyncio.sleep(chance.uniform(0.0, 0.4))
        scale.scale.faults.set([])
        async with daemon(tmp_path) as desk:
            ended = [await house.end(operation_id) for operation_id in ordered]
            last = await house.done(device_id, "upload")
            await until(lambda: nothing_to_tell(desk))

        assert last.outcome == "verified"
        prices = [product["price"] for product in scale.base.products[:ROUNDS]]
        assert prices == [100.0 + number for number in range(ROUNDS)]
        copy = await house.copy(device_id)
        assert not copy.dirty
        assert copy.document == scale.base.document
        assert {one.outcome for one in ended} <= {"verified", "done", "unknown", "failed"}
        for one in ended:
            assert len(await house.ends(one.operation_id)) == 1


async def nothing_to_tell(desk: BridgeDesk) -> bool:
    """Whether all that the daemon knew is settled."""
    return not await desk.store.reports()
