"""Who looks at an operation sees how far it is, and the log is not told."""

from pathlib import Path
from typing import Any

import pytest

from libs.postgres.pool import acquired
from services.scale_bridge.adapters import progress
from services.scale_bridge.adapters.progress import Moved
from services.scale_bridge.handlers import execute
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.bridge_daemon import daemon, enrolled
from tests.services.scale_bridge.bridging import PASSWORD, TENANT, standing, until
from tests.services.scale_bridge.inside import BORIS, ended, eventually, registered, working

ITEMS = 600


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "PROGRESS_SECONDS", 0.05)


async def test_progress_is_shown_while_it_is_made(database: str) -> None:
    async with (
        a_scale(ITEMS, "slow:0.1") as scale,
        working(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
    ):
        number = await registered(anna, scale)
        ordered = await anna.post(f"/devices/{number}/operations", json={"kind": "fetch"})
        path = ordered.headers["Location"]
        seen: list[Any] = []

        async def moving() -> bool:
            told = (await anna.get(path)).json()
            seen.append(told["progress"])
            return told["progress"] is not None and told["progress"]["done_bytes"] > 0

        await eventually(moving)
        alike = (await anna.get(f"/operations/{ordered.json()['id']}")).json()
        assert alike["progress"]["done_bytes"] >= seen[-1]["done_bytes"]
        assert (await boris.get(f"/operations/{ordered.json()['id']}")).status_code == 404
        scale.faults.set([])
        over = await ended(anna, ordered)

        assert over["progress"] is None
        assert over["items"] == ITEMS
        assert {type(event).__name__ for event in await made.events()} == {
            "DeviceRegistered",
            "OperationQueued",
            "OperationSending",
            "CatalogueFetched",
            "ProductsShown",
            "OperationEnded",
        }


async def test_an_upload_knows_how_much_there_is_to_do(database: str) -> None:
    async with a_scale(ITEMS) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await anna.get(f"/devices/{number}/products")
        scale.faults.set(["slow:0.1"])
        order = {"kind": "upload", "full": True}
        ordered = await anna.post(f"/devices/{number}/operations", json=order)
        found: list[Any] = []

        async def sending() -> bool:
            told = (await anna.get(ordered.headers["Location"])).json()
            if told["progress"] and told["progress"]["total_bytes"]:
                found.append(told["progress"])
            return bool(found)

        await eventually(sending)
        scale.faults.set([])
        assert (await ended(anna, ordered))["outcome"] == "verified"
        assert 0 < found[0]["done_bytes"] <= found[0]["total_bytes"]


async def test_a_daemons_progress_is_shown_too(database: str, tmp_path: Path) -> None:
    async with standing(database) as house, a_scale(ITEMS, password=PASSWORD) as scale:
        enrolled(tmp_path, house.url)
        device_id = await house.device(scale)
        scale.faults.set(["slow:0.1"])
        operation_id = await house.order(device_id, "fetch")

        async def moved() -> Moved | None:
            async with acquired(house.desk.pool) as connection:
                return await progress.of(connection, TENANT, operation_id)

        async def moving() -> bool:
            found = await moved()
            return found is not None and found.done > 0

        async with daemon(tmp_path):
            await until(moving)
            scale.faults.set([])
            assert (await house.end(operation_id)).outcome == "done"
        assert await moved() is None
