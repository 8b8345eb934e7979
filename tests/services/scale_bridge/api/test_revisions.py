"""What was replaced stays: revisions are listed, compared, brought back, and bounded (R7, R19)."""

import pytest

from services.scale_bridge.adapters import contents
from services.scale_bridge.handlers import catalogue
from services.scale_bridge.handlers.desk import Remembered
from tests.services.scale_bridge.at_hand import priced
from tests.services.scale_bridge.service import Device, a_device, open_device


async def test_what_a_fetch_replaced_can_be_seen_and_brought_back(database: str) -> None:
    """(R7)"""
    async with open_device(database, 4) as device:
        await device.set_price(2, 99.5)
        pending = await device.cached()
        await device.fetch()
        listed = await device.read("/revisions")
        diff = await device.read("/revisions/diff?from=2&to=3")

        assert [one["revision"] for one in listed] == [3, 2, 1]
        assert [one["confirmed"] for one in listed] == [True, False, False]
        assert listed[1]["after"]["price"] == 99.5
        assert diff["changed"]["2"]["price"]["before"] == 99.5
        assert (await device.read("/revisions/2"))["products"] == pending

        reverted = await device.post("/revisions/2/revert")
        assert reverted.json()["products"] == pending
        assert await device.is_listed_dirty() is True
        await device.upload()
        assert device.scale.base.products[1]["price"] == 99.5

        for answer in (
            await device.get("/revisions/9"),
            await device.get("/revisions/0"),
            await device.post("/revisions/9/revert"),
            await device.get("/revisions/diff?from=1&to=9"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "RevisionUnknown")


async def contents_of(device: Device) -> int:
    """How many catalogues are stored."""
    count: int = await device.service.fetch_value("SELECT count(*) FROM content")
    return count


async def tidy(device: Device, revisions: int) -> int:
    """Forget old catalogues, as if all had been written yesterday; how many were forgotten."""
    await device.service.execute("UPDATE content SET created_at = now() - interval '1 day'")
    return await contents.tidy(device.service.deps.desk.pool, revisions=revisions)


def forget_cached(device: Device) -> None:
    """Empty the cache of this process."""
    remembered = device.service.deps.desk.remembered
    assert isinstance(remembered, Remembered)
    remembered._known.clear()


async def test_only_the_last_revisions_are_stored(database: str) -> None:
    """(R7, R19)"""
    async with open_device(database, revisions=3, read=False) as device:
        for price in range(1, 9):
            device.scale.base.keep(priced(3, float(price)))
            await device.fetch()
        gone = await tidy(device, revisions=3)
        left = await contents_of(device)
        newest = max(one["revision"] for one in await device.read("/revisions"))
        old = (await device.read(f"/revisions/{newest - 1}"))["products"]
        now = await device.cached()

    assert (gone, left) == (8 - left, pytest.approx(3, abs=1))
    assert {product["price"] for product in old["products"]} == {7.0}
    assert {product["price"] for product in now["products"]} == {8.0}


async def test_revisions_are_bounded_and_the_present_one_survives_it(database: str) -> None:
    """(R19)"""
    async with open_device(database, 4, revisions=5) as device:
        for price in range(60):
            await device.set_price(1, price)
        device.scale.base.keep(priced(4, 5.0))
        await device.fetch()
        for price in range(60):
            await device.set_price(1, 100 + price)
        last = await device.cached()
        before = await contents_of(device)
        assert await tidy(device, revisions=5) > 0
        assert await contents_of(device) < before

        forget_cached(device)
        assert await device.cached() == last
        listed = await device.read("/revisions")
        assert len(listed) == 5
        for back in range(5):
            await device.read(f"/revisions/{listed[0]['revision'] - back}")
        assert (await device.get("/revisions/2")).status_code == 404


async def test_without_any_snapshot_the_log_says_it_all(database: str) -> None:
    """(R9)"""
    async with open_device(database, 4) as device:
        await device.set_price(2, 99.5)
        await device.upload()
        last = await device.cached()
        await device.service.execute("UPDATE catalogue_copy SET version = NULL")
        forget_cached(device)

        assert await device.cached() == last
        assert await device.is_listed_dirty() is False


async def test_a_snapshot_is_what_the_log_says(database: str) -> None:
    async with open_device(database) as device:
        for price in range(catalogue.UNKEPT + 3):
            await device.set_price(1 + price % 3, price)
        last = await device.cached()
        query = "SELECT count(*) FROM catalogue_copy WHERE version IS NOT NULL"
        snapshots = await device.service.fetch_value(query)
        forget_cached(device)

        assert snapshots == 2
        assert await device.cached() == last


async def test_of_a_scale_that_is_gone_no_catalogue_is_stored(database: str) -> None:
    """(R19)"""
    async with open_device(database) as device:
        await device.set_price(2, 99.5)
        other = await a_device(device.service, device.owner, device.scale)
        for gone, left in ((device, 1), (other, 0)):
            await gone.delete()
            await tidy(device, revisions=50)
            assert await contents_of(device) == left
