"""Operations without a waiting client, their progress, and how they are listed (R22)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.scale_bridge import OperationSending
from libs.postgres.pool import acquired
from libs.testing.waiting import eventually
from services.scale_bridge.adapters import progress
from services.scale_bridge.adapters.progress import Moved
from services.scale_bridge.handlers import execute
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.remote import PASSWORD, TENANT, open_daemon, open_remote
from tests.services.scale_bridge.service import (
    BORIS,
    a_device,
    open_device,
    open_service,
    working_bridge,
)

ITEMS = 600


async def test_a_probe_needs_no_password_and_says_what_the_scale_is(database: str) -> None:
    async with open_device(database, 3, "pw", read=False) as device:
        answer = await device.post("/probe")

        assert answer.status_code == 200
        assert "M-ER 725" in answer.json()["detail"]


async def test_attempts_are_recorded_and_there_are_three_at_most(database: str) -> None:
    """(R3, R24)"""
    async with open_device(database, read=False) as device:
        device.scale.faults.set(["rst:14"])
        await device.get("/products")

        begun = [event.attempt for event in await device.service.events(OperationSending)]
        assert begun == [1, 2, 3]
        assert [end.attempts for end in await device.service.ends()] == [3]


async def test_an_operation_of_each_kind_can_be_ordered_and_followed(database: str) -> None:
    """(R22)"""
    async with (
        a_scale(3) as scale,
        open_service(database) as service,
        service.client() as anna,
    ):
        async with working_bridge(service.settings):
            device = await a_device(service, anna, scale)
        kinds = ("fetch", "verify", "probe", "upload", "refresh")
        orders = [await device.order(kind) for kind in kinds]
        assert [ordered.json()["status"] for ordered in orders] == ["queued"] * len(kinds)
        async with working_bridge(service.settings):
            jobs = [await device.ended(ordered) for ordered in orders]
        await service.caught_up()
        listed = await device.read("/operations")

        for job in jobs:
            assert job["outcome"] in ("done", "verified")
            assert job == (await anna.get(f"/operations/{job['id']}")).json()
            assert job in listed


async def test_a_refresh_of_a_scale_that_was_never_read_reads_it_first(database: str) -> None:
    """(R13)"""
    async with open_device(database, read=False) as device:
        job = await device.ended(await device.order("refresh"))
        base = device.scale.base

        assert job["outcome"] == "verified"
        assert (await device.cached())["products"] == base.products
        assert await device.is_listed_dirty() is False
        assert len({item["manufactureDate"] for item in base.products}) == 1


@pytest.fixture
def _progress_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "PROGRESS_SECONDS", 0.05)


@pytest.mark.usefixtures("_progress_often")
async def test_progress_is_answered_while_it_is_made_and_not_recorded(database: str) -> None:
    async with open_device(database, ITEMS, "slow:0.1", read=False) as device:
        fetching = await device.order("fetch")
        fetched = await eventually(moving(device.owner, fetching.headers["Location"]))
        by_id = f"/operations/{fetching.json()['id']}"
        alike = (await device.owner.get(by_id)).json()["progress"]
        assert alike["done_bytes"] >= fetched["done_bytes"] > 0
        async with device.service.client(BORIS) as boris:
            assert (await boris.get(by_id)).status_code == 404
        device.scale.faults.set([])
        over = await device.ended(fetching)
        assert (over["progress"], over["items"]) == (None, ITEMS)
        assert {type(event).__name__ for event in await device.service.events()} == {
            "DeviceRegistered",
            "OperationQueued",
            "OperationSending",
            "CatalogueFetched",
            "ProductsShown",
            "OperationEnded",
        }

        device.scale.faults.set(["slow:0.1"])
        uploading = await device.order("upload", full=True)
        location = uploading.headers["Location"]
        sent = await eventually(moving(device.owner, location, known="total_bytes"))
        device.scale.faults.set([])
        assert (await device.ended(uploading))["outcome"] == "verified"
        assert 0 < sent["done_bytes"] <= sent["total_bytes"]


def moving(client: Any, path: str, *, known: str = "done_bytes") -> Callable[[], Awaitable[Any]]:
    """The progress of an operation once something of it is known."""

    async def found() -> Any:
        so_far = (await client.get(path)).json()["progress"]
        return so_far if so_far and so_far[known] else None

    return found


@pytest.mark.usefixtures("_progress_often")
async def test_a_daemons_progress_is_shown_too(database: str, tmp_path: Path) -> None:
    async with open_remote(database) as remote, a_scale(ITEMS, password=PASSWORD) as scale:
        device_id = await remote.register(scale)
        scale.faults.set(["slow:0.1"])
        operation_id = await remote.order(device_id, "fetch")

        async def moved() -> Moved | None:
            async with acquired(remote.desk.pool) as connection:
                return await progress.of(connection, TENANT, operation_id)

        async def is_moving() -> bool:
            so_far = await moved()
            return so_far is not None and so_far.done > 0

        async with open_daemon(tmp_path, remote):
            await eventually(is_moving)
            scale.faults.set([])
            assert (await remote.end(operation_id)).outcome == "done"
        await eventually(moved, None)
