"""Uploads: what is sent, what is read back, who is blamed, and what the flag says (R4, R8, R15)."""

import asyncio

from libs.testing.waiting import eventually
from services.scale_bridge.adapters.wire import Step
from tests.services.scale_bridge.service import Device, open_device


def announced(device: Device) -> int:
    """How many uploads the scale was announced."""
    return list(device.scale.transcript.steps()).count(Step.ANNOUNCE)


async def test_nothing_to_send_is_409_and_no_scale_is_spoken_to(database: str) -> None:
    """(R16)"""
    async with open_device(database, read=False) as device:
        answer = await device.post("/upload")

        assert (answer.status_code, answer.json()["code"]) == (409, "NothingCached")
        assert device.scale.transcript.count == 0


async def test_no_answer_says_where_a_scale_is(database: str) -> None:
    """(R16)"""
    async with open_device(database, 3, "off", read=False) as device:
        answer = await device.get("/products")

        assert answer.status_code == 503
        assert device.scale.host not in answer.text
        assert str(device.scale.port) not in answer.text


async def test_the_product_a_scale_refuses_is_found_without_emptying_it(database: str) -> None:
    """(R15)"""
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
    """(R15)"""
    async with open_device(database, 8, diagnose=True) as device:
        await device.set_price(2, 99.5)
        device.scale.faults.set(["pw"])
        answer = await device.post("/upload")

        assert "PLU" not in answer.json()["detail"]
        assert announced(device) == 1


async def test_an_edit_during_a_transfer_leaves_the_flag_dirty(database: str) -> None:
    """(R8)"""
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


async def test_a_client_that_leaves_stops_nothing(database: str) -> None:
    """(R22)"""
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


async def test_only_what_differs_is_sent_unless_all_is_ordered(database: str) -> None:
    """(SCL-7)"""
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


async def test_what_the_scale_gained_or_lost_by_itself_is_put_right(database: str) -> None:
    """(R26)"""
    async with open_device(database, 5) as device:
        await device.set_price(2, 99.5)
        await device.upload()
        # As if the power had failed: it is as it was before.
        base = device.scale.base
        base.keep({**base.document, "products": base.products[:1]})
        verified = await device.post("/verify")
        assert (verified.status_code, verified.json()["code"]) == (503, "NotShown")
        assert await device.is_listed_dirty() is True

        await device.upload()
        assert len(base.products) == 5
        assert await device.is_listed_dirty() is False
        assert (await device.post("/verify")).json()["outcome"] == "verified"


async def test_what_is_unknown_is_resolved_by_a_later_check(database: str) -> None:
    """(R4)"""
    async with open_device(database, 4) as device:
        await device.set_price(2, 99.5)
        device.scale.faults.set(["rst:13/09", "rst:14"])
        unknown = await device.post("/upload")
        assert unknown.json()["code"] == "UnknownOutcome"
        assert await device.is_listed_dirty() is True
        device.scale.faults.set([])

        assert (await device.post("/verify")).status_code == 200
        assert await device.is_listed_dirty() is False
