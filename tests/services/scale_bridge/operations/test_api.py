"""Operations over HTTP: what an upload sends and reads back, the dirty flag, and failures (R4, R8,
R13, R15, R16, SCL-7); operations without a waiting client, attempts and progress (R22, R24)."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.scale_bridge import OperationSending
from libs.jobs import worker
from libs.jobs.queue import Progress
from libs.postgres.pool import acquire
from libs.testing.polling import eventually
from services.scale_bridge.driver.domain.wire import Step
from services.scale_bridge.operations.stores import progress
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.remote import PASSWORD, TENANT, open_agent, open_remote
from tests.services.scale_bridge.service import (
    BORIS,
    Device,
    a_device,
    open_device,
    open_service,
    running_worker,
)


def announced(device: Device) -> int:
    """How many uploads the scale was sent."""
    return list(device.scale.transcript.steps()).count(Step.ANNOUNCE)


async def test_no_answer_contains_the_address_of_a_scale(database: str) -> None:
    async with open_device(database, 3, "off", read=False) as device:
        answer = await device.get("/products")

        assert answer.status_code == 503
        assert device.scale.host not in answer.text
        assert str(device.scale.port) not in answer.text


async def test_the_refused_product_is_identified_without_clearing_the_scale(database: str) -> None:
    async with open_device(database, 16, diagnose=True) as device:
        for plu in range(1, 17):
            await device.set_price(plu, 500.0 + plu)
        device.scale.faults.set(["badproduct:11:no such barcode"])
        answer = await device.post("/upload")

        assert answer.status_code == 503
        assert "PLU 11" in answer.json()["detail"]
        assert "no such barcode" in answer.json()["detail"]
        assert len(device.scale.base.products) == 16
        assert announced(device) <= 1 + 2 * 5


async def test_a_wrong_password_blames_no_product(database: str) -> None:
    async with open_device(database, 8, diagnose=True) as device:
        await device.set_price(2, 99.5)
        device.scale.faults.set(["pw"])
        answer = await device.post("/upload")

        assert "PLU" not in answer.json()["detail"]
        assert announced(device) == 1


async def test_an_edit_during_an_upload_leaves_the_catalogue_dirty(database: str) -> None:
    async with open_device(database, 4, reply_seconds=30) as device:
        await device.set_price(2, 99.5)
        device.scale.faults.set(["slow:0.3"])
        uploading = asyncio.create_task(device.post("/upload"))
        await eventually(lambda: announced(device))
        await device.set_price(3, 33.0)
        answer = await uploading

        assert answer.status_code == 200
        assert device.scale.base.products[1]["price"] == 99.5
        assert await device.is_listed_dirty() is True
        device.scale.faults.set([])
        await device.upload()
        assert device.scale.base.products[2]["price"] == 33.0
        assert await device.is_listed_dirty() is False


async def test_an_operation_goes_on_when_the_client_disconnects(database: str) -> None:
    async with open_device(database, 4) as device:
        await device.set_price(2, 99.5)
        device.scale.faults.set(["slow:0.2"])
        uploading = asyncio.create_task(device.post("/upload"))
        await eventually(lambda: announced(device))
        uploading.cancel()

        await eventually(device.service.all_ended)
        assert [end.outcome for end in await device.service.ends()] == ["done", "verified"]
        await device.service.caught_up()
        assert await device.is_listed_dirty() is False


async def test_only_differences_are_sent_unless_the_upload_is_full(database: str) -> None:
    async with open_device(database, 300) as device:
        await device.set_price(2, 99.5)
        await device.upload()
        some = device.sent_bytes
        await device.upload()
        assert device.sent_bytes == some
        await device.ended(await device.order("upload", full=True))

        assert 0 < some < 3000
        assert device.sent_bytes - some > 50_000
        assert await device.is_listed_dirty() is False


async def test_changes_made_on_the_scale_are_corrected(database: str) -> None:
    async with open_device(database, 5) as device:
        await device.set_price(2, 99.5)
        await device.upload()
        # As if the power had failed: it is as it was before.
        base = device.scale.base
        base.replace_document({**base.document, "products": base.products[:1]})
        verified = await device.post("/verify")
        assert (verified.status_code, verified.json()["code"]) == (503, "NotShown")
        assert await device.is_listed_dirty() is True

        await device.upload()
        assert len(base.products) == 5
        assert await device.is_listed_dirty() is False
        assert (await device.post("/verify")).json()["outcome"] == "verified"


async def test_an_unknown_outcome_is_resolved_by_a_verification(database: str) -> None:
    async with open_device(database, 4) as device:
        await device.set_price(2, 99.5)
        device.scale.faults.set(["rst:13/09", "rst:14"])
        unknown = await device.post("/upload")
        assert unknown.json()["code"] == "UnknownOutcome"
        assert await device.is_listed_dirty() is True
        device.scale.faults.set([])

        assert (await device.post("/verify")).status_code == 200
        assert await device.is_listed_dirty() is False


ITEMS = 600


async def test_at_most_three_attempts_are_made_and_recorded(database: str) -> None:
    async with open_device(database, read=False) as device:
        device.scale.faults.set(["rst:14"])
        await device.get("/products")

        begun = [event.attempt for event in await device.service.events(OperationSending)]
        assert begun == [1, 2, 3]
        assert [end.attempts for end in await device.service.ends()] == [3]


async def test_an_operation_of_each_kind_can_be_queued_and_followed(database: str) -> None:
    async with a_scale(3) as scale, open_service(database) as service, service.client() as anna:
        async with running_worker(service.settings):
            device = await a_device(service, anna, scale)
        kinds = ("fetch", "verify", "probe", "upload")
        orders = [await device.order(kind) for kind in kinds]
        assert [ordered.json()["status"] for ordered in orders] == ["queued"] * len(kinds)
        async with running_worker(service.settings):
            jobs = [await device.ended(ordered) for ordered in orders]
            # Alone, for it edits what a verification that is under way compares with.
            jobs.append(await device.ended(await device.order("refresh")))
        await service.caught_up()
        listed = await device.read("/operations")

        assert "M-ER 725" in jobs[kinds.index("probe")]["detail"]
        for job in jobs:
            assert job["outcome"] in ("done", "verified")
            assert job == (await anna.get(f"/operations/{job['id']}")).json()
            assert job in listed


async def test_a_refresh_of_a_scale_that_was_never_read_reads_it_first(database: str) -> None:
    async with open_device(database, read=False) as device:
        job = await device.ended(await device.order("refresh"))
        base = device.scale.base

        assert job["outcome"] == "verified"
        assert (await device.cached())["products"] == base.products
        assert await device.is_listed_dirty() is False
        assert len({item["manufactureDate"] for item in base.products}) == 1


@pytest.fixture
def _progress_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 0.05)


@pytest.mark.usefixtures("_progress_often")
async def test_progress_of_a_running_operation_is_answered_and_no_event(database: str) -> None:
    async with open_device(database, ITEMS, "slow:0.3", read=False) as device:
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

        device.scale.faults.set(["slow:0.3"])
        uploading = await device.order("upload", full=True)
        location = uploading.headers["Location"]
        sent = await eventually(moving(device.owner, location, known="total_bytes"))
        device.scale.faults.set([])
        assert (await device.ended(uploading))["outcome"] == "verified"
        assert 0 < sent["done_bytes"] <= sent["total_bytes"]


def moving(client: Any, path: str, *, known: str = "done_bytes") -> Callable[[], Awaitable[Any]]:
    """The progress of an operation once it has one."""

    async def current() -> Any:
        so_far = (await client.get(path)).json()["progress"]
        return so_far if so_far and so_far[known] else None

    return current


@pytest.mark.usefixtures("_progress_often")
async def test_the_progress_of_an_agent_is_answered_too(database: str, tmp_path: Path) -> None:
    async with (
        open_remote(database, tmp_path) as remote,
        a_scale(ITEMS, password=PASSWORD) as scale,
    ):
        device_id = await remote.register(scale)
        scale.faults.set(["slow:0.3"])
        operation_id = await remote.order(device_id, "fetch")

        async def moved() -> Progress | None:
            async with acquire(remote.context.system) as connection:
                return await progress.get(connection, TENANT, operation_id)

        async def is_moving() -> bool:
            so_far = await moved()
            return so_far is not None and so_far.done > 0

        async with open_agent(remote):
            await eventually(is_moving)
            scale.faults.set([])
            assert (await remote.end(operation_id)).outcome == "done"
        await eventually(moved, None)
