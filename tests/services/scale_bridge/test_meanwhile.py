"""Every operation that takes its time beside every change that may come meanwhile: what was
answered with 200 is not lost, whether the operation waits for a worker or speaks to the scale."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from httpx import Response

from contracts.scale_bridge import PriceOverridden, PriceTaken
from libs.clock import utc_now
from libs.eventsourcing.log import Metadata
from libs.testing.polling import eventually
from services.scale_bridge.catalogue.domain.catalogue import Edit
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores.cache import CatalogueCache
from services.scale_bridge.devices.domain.device import device_id_of
from services.scale_bridge.driver.domain.wire import Step
from tests.services.scale_bridge.at_hand import a_scale, endpoint
from tests.services.scale_bridge.catalogue.api.test_label import a_base, set_text
from tests.services.scale_bridge.pricing import announce, changed, store_price
from tests.services.scale_bridge.service import (
    ANNA,
    Device,
    a_device,
    open_device,
    open_service,
    running_worker,
)
from tests.services.scale_bridge.test_faults import is_quiet

FIELDS: dict[int, dict[str, Any]] = {
    1: {"price": 700},
    2: {"name": "Сыр", "tare": 0.1},
    3: {"manufactureDate": "01-01-26", "sellByDate": "31-12-26"},
    4: {"pluNumber": 44, "price": 4.5},
}
"""By PLU, what is set while an operation is under way."""


async def edited(device: Device) -> list[Response]:
    """The answers to edits of every kind that can be made again on another catalogue."""
    answers = [await device.patch(plu, **fields) for plu, fields in FIELDS.items()]
    answers.append(await set_text(device, 2, "Состав: рожь"))
    return [*answers, await set_text(device, 9, "Новый"), await device.delete("/messages/3")]


async def assert_edited(device: Device) -> None:
    """Everything that `edited` set is in the copy."""
    document = await device.cached()
    of_code = {item["code"]: item for item in document["products"]}
    for plu, fields in FIELDS.items():
        assert {**of_code[49 + plu], **fields} == of_code[49 + plu], plu
    texts = {one["id"]: one["value"] for one in document["messages"] if not one["deleted"]}
    assert texts == {1: "Состав 1", 2: "Состав: рожь", 9: "Новый"}


@asynccontextmanager
async def waiting(database: str, kind: str, **more: Any) -> AsyncIterator[Device]:
    """The operation is ordered, and no worker is there in the block."""
    async with (
        a_scale(base=a_base(6)) as scale,
        open_service(database) as service,
        service.client() as anna,
    ):
        async with running_worker(service.settings):
            device = await a_device(service, anna, scale)
            await device.set_price(6, 66.0)
        await device.order(kind, **more)
        yield device
        async with running_worker(service.settings):
            await eventually(lambda: is_quiet(service))
            await assert_settled(device)


@asynccontextmanager
async def under_way(database: str, kind: str, **more: Any) -> AsyncIterator[Device]:
    """The operation has begun to speak to the scale, which is slow in the block."""
    async with open_device(database, base=a_base(6), reply_seconds=30) as device:
        await device.set_price(6, 66.0)
        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:1.5", "late:13/02:1.5"])
        await device.order(kind, **more)
        await eventually(lambda: device.scale.transcript.count > requests)
        yield device
        await eventually(lambda: is_quiet(device.service))
        device.scale.faults.set([])
        await assert_settled(device)


async def assert_settled(device: Device) -> None:
    """The edits are in the copy, and after an upload on the scale; the flag is true (R8)."""
    await assert_edited(device)
    await device.upload()
    await assert_edited(device)
    assert await device.is_dirty() is False
    shown = {item["code"]: item for item in device.scale.base.products}
    for plu, fields in FIELDS.items():
        assert {**shown[49 + plu], **fields} == shown[49 + plu], plu
    assert (await device.post("/verify")).json()["outcome"] == "verified"
    # And for a process that begins with what is kept of the catalogue.
    fresh = replace(device.service.deps, catalogues=CatalogueCache())
    copy = (await catalogue.load(fresh, "demo", device_id_of(device.number))).catalogue
    assert copy.document == await device.cached()


OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in ("fetch", "refresh", "verify", "upload")),
    ("upload", {"full": True}),
]
REPLACING = [one for one in OPERATIONS if one[0] in ("fetch", "refresh") or one[1]]
"""Those that may put another catalogue, or the whole of it, in the place of one."""


@pytest.mark.parametrize("stage", [waiting, under_way], ids=["waiting", "under way"])
@pytest.mark.parametrize(("kind", "more"), OPERATIONS, ids=str)
async def test_no_edit_is_lost_by_an_operation(
    database: str, stage: Callable[..., Any], kind: str, more: dict[str, Any]
) -> None:
    """(R7, R8, R13)"""
    async with stage(database, kind, **more) as device:
        assert {answer.status_code for answer in await edited(device)} == {200, 204}


@pytest.mark.parametrize("stage", [waiting, under_way], ids=["waiting", "under way"])
@pytest.mark.parametrize(("kind", "more"), REPLACING, ids=str)
async def test_no_price_of_the_shop_is_lost_by_an_operation(
    database: str, stage: Callable[..., Any], kind: str, more: dict[str, Any]
) -> None:
    """(R7, SCL-16) Neither of a product that people edit meanwhile nor of another."""
    async with stage(database, kind, **more) as device:
        await edited(device)
        for article in (52, 54):
            assert await announce(device.service, changed(77_700, article=article)) == 1
        taken = await device.service.events(PriceTaken)
        assert {one.plu for one in taken} == {"3", "5"}
    shown = {item["code"]: item["price"] for item in device.scale.base.products}
    assert (shown[52], shown[54]) == (777.0, 777.0)


async def test_an_edit_before_a_fetch_gives_way_to_the_scale(database: str) -> None:
    """(R7)"""
    async with open_device(database, base=a_base(6)) as device:
        await edited(device)
        assert await device.fetch() == device.scale.base.document
        assert await device.is_dirty() is False


async def test_a_fetch_answers_with_the_edit_that_came_meanwhile(database: str) -> None:
    async with open_device(database, 6, reply_seconds=30) as device:
        device.scale.base.products[0]["price"] = 5.0
        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:1"])
        fetching = asyncio.create_task(device.fetch())
        await eventually(lambda: device.scale.transcript.count > requests)
        await device.set_price(5, 700)

        prices = [item["price"] for item in (await fetching)["products"]]
        assert (prices[0], prices[4]) == (5.0, 700)
        assert await device.is_listed_dirty() is True


@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "under way"])
async def test_what_a_stale_copy_had_already_is_not_lost_by_a_fetch(
    database: str, waits: bool
) -> None:
    async with open_device(database, base=a_base(6), reply_seconds=30) as device:
        copy, base = await device.cached(), device.scale.base
        fifth, text = copy["products"][4], copy["messages"][0]["value"]
        base.products[4] = fifth | {"price": 5.0, "name": "Чужое"}
        base.document["messages"][0]["value"] = "Чужой"
        if waits:
            another = "INSERT INTO lease VALUES ($1, 'another', now() + interval '2 s')"
            await device.service.execute(another, str(endpoint(device.scale)))
        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:1.5"])
        fetching = asyncio.create_task(device.fetch())
        claimed = "SELECT count(*) FROM work WHERE claimed_by IS NOT NULL"
        await eventually(lambda: device.service.fetch_value(claimed))
        await eventually(lambda: waits or device.scale.transcript.count > requests)
        answers = [
            await device.patch(5, price=fifth["price"]),
            await device.patch(5, name=fifth["name"], tare=0.1),
            await set_text(device, 1, text),
        ]
        assert {answer.status_code for answer in answers} == {200}

        document = await fetching
        assert document["products"][4] == {**fifth, "tare": 0.1}
        assert document["messages"] == copy["messages"]
        assert await device.is_listed_dirty() is True


async def test_a_revision_brought_back_during_a_fetch_stays(database: str) -> None:
    async with open_device(database, 6, reply_seconds=30) as device:
        await device.set_price(1, 5.0)
        first = await device.read("/revisions/1")
        await device.upload()
        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:1"])
        fetching = asyncio.create_task(device.fetch())
        await eventually(lambda: device.scale.transcript.count > requests)
        assert (await device.post("/revisions/1/revert")).status_code == 200
        await device.set_price(2, 9.0)

        products = (await fetching)["products"]
        assert products[0] == first["products"]["products"][0]
        assert products[1]["price"] == 9.0
        assert await device.is_listed_dirty() is True
        device.scale.faults.set([])
        await device.upload()
        assert device.scale.base.products == products


async def test_an_edit_of_what_the_scale_has_no_more_ends_a_fetch_with_409(database: str) -> None:
    async with open_device(database, 6, reply_seconds=30) as device:
        del device.scale.base.products[5]
        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:1"])
        fetching = asyncio.create_task(device.get("/products"))
        await eventually(lambda: device.scale.transcript.count > requests)
        await device.set_price(6, 9.0)
        before = await device.cached()

        answer = await fetching
        assert (answer.status_code, answer.json()["code"]) == (409, "EditedMeanwhile")
        assert await device.cached() == before
        assert await device.is_listed_dirty() is True
        await device.fetch()
        assert (await device.cached())["products"] == device.scale.base.products


async def test_a_revision_is_not_brought_back_over_an_edit_that_came_meanwhile(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_device(database, 6) as device:
        await device.set_price(1, 5.0)
        # As another process has it, which does not wait for this one.
        elsewhere = replace(device.service.deps, catalogues=CatalogueCache())
        edit = Edit(
            device_id=device_id_of(device.number),
            plu="2",
            fields={"price": 9.0},
            source="person",
            edited_by=str(ANNA),
            now=utc_now(),
        )
        metadata = Metadata(tenant="demo")
        edits = [lambda: catalogue.change(elsewhere, edit.device_id, edit, metadata)]
        monkeypatch.setattr(catalogue, "at_revision", after(catalogue.at_revision, edits))

        refused = await device.post("/revisions/1/revert")

        assert (refused.status_code, refused.json()["code"]) == (409, "EditedMeanwhile")
        assert [item["price"] for item in (await device.cached())["products"][:2]] == [5.0, 9.0]
        assert (await device.post("/revisions/1/revert")).status_code == 200


async def test_a_price_that_a_person_sets_during_a_fetch_is_not_led_back_to_the_shops(
    database: str,
) -> None:
    """Neither while the scale is read, nor between that and the shop's prices."""
    async with open_device(database, 3, read=False, reply_seconds=30) as device:
        await announce(device.service, changed())
        await announce(device.service, changed(article=52, amount=5_000))
        await device.fetch()
        assert [item["price"] for item in (await device.cached())["products"][1:]] == [123.45, 50.0]
        await eventually(lambda: is_quiet(device.service))
        await announce(device.service, changed(article=50, amount=100))
        assert (await device.cached())["products"][0]["price"] == 1.0

        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:1"])
        fetching = asyncio.create_task(device.fetch())
        await eventually(lambda: device.scale.transcript.count > requests)
        await device.set_price(2, 9.0)
        await fetching

        assert [item["price"] for item in (await device.cached())["products"]] == [1.0, 9.0, 50.0]
        overridden = await device.service.events(PriceOverridden)
        assert [(one.plu, one.price) for one in overridden] == [("2", 9.0)]


async def test_a_price_that_a_person_sets_during_a_fetch_overrules_one_not_known_there_before(
    database: str,
) -> None:
    async with open_device(database, 3, reply_seconds=30) as device:
        change = changed()
        await store_price(device.service, change)
        requests = device.scale.transcript.count
        device.scale.faults.set(["late:14:1"])
        fetching = asyncio.create_task(device.fetch())
        await eventually(lambda: device.scale.transcript.count > requests)
        await device.set_price(2, 9.0)
        await fetching

        assert (await device.cached())["products"][1]["price"] == 9.0
        [taken] = await device.service.events(PriceTaken)
        [overridden] = await device.service.events(PriceOverridden)
        assert (taken.price_id, taken.changed) == (change.price_id, False)
        assert (overridden.price, overridden.overridden_by) == (9.0, str(ANNA))
        device.scale.faults.set([])
        await device.fetch()
        assert (await device.cached())["products"][1]["price"] != 123.45


async def test_a_verification_counts_against_what_was_changed_and_sent_meanwhile(
    database: str,
) -> None:
    """(R8)"""
    async with open_device(database, 3) as device:
        where = str(endpoint(device.scale))
        another = "INSERT INTO lease VALUES ($1, 'another', now() + interval '2 s')"
        await device.service.execute(another, where)
        verifying = await device.order("verify")
        claimed = "SELECT count(*) FROM work WHERE claimed_by IS NOT NULL"
        await eventually(lambda: device.service.fetch_value(claimed))
        # Time for it to look up what it is to compare with: it waits for the lease then.
        await asyncio.sleep(0.5)
        await device.set_price(2, 700)
        device.scale.base.products[1]["price"] = 700

        ended = await device.ended(verifying)
        assert (ended["outcome"], ended["revision"]) == ("verified", 2)
        assert await device.is_dirty() is False


async def test_of_two_uploads_the_later_catalogue_is_shown_in_the_end(database: str) -> None:
    """(R8) Whichever of them comes to the scale first."""
    async with open_device(database, 4, reply_seconds=30) as device:
        await device.set_price(1, 5.0)
        device.scale.faults.set(["late:13/02:0.5"])
        orders = [await device.order("upload")]
        await eventually(lambda: Step.ANNOUNCE in device.scale.transcript.steps())
        for number in range(3):
            await device.set_price(2, 9.0 + number)
            orders.append(await device.order("upload"))
        for one in orders:
            assert (await device.ended(one))["outcome"] == "verified"
        await eventually(lambda: is_quiet(device.service))
        assert device.scale.base.products[1]["price"] == 11.0
        await eventually(device.is_dirty, False)


def after(
    function: Callable[..., Awaitable[Any]], then: list[Callable[[], Any]]
) -> Callable[..., Awaitable[Any]]:
    """The function, after which each of these is done once."""

    async def called(*given: Any, **named: Any) -> Any:
        result = await function(*given, **named)
        while then:
            await then.pop()()
        return result

    return called
