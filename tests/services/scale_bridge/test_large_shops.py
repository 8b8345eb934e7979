"""A thousand scales, ten thousand products, long lists page after page, many revisions: they are
listed, compared, brought back, and bounded (R7, R9, R13, R19, R21)."""

import re
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

import asyncpg

from contracts.scale_bridge import DatesRefreshed, ProductsShown
from libs.postgres.rls import application_role
from services.scale_bridge.bootstrap import SERVICE
from services.scale_bridge.catalogue.handlers import catalogue
from services.scale_bridge.catalogue.stores import document_store
from services.scale_bridge.catalogue.stores.cache import CatalogueCache
from tests.services.scale_bridge.at_hand import priced
from tests.services.scale_bridge.service import ANNA, Device, a_device, open_device, open_service


async def test_what_a_fetch_replaced_can_be_seen_and_brought_back(database: str) -> None:
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
    return await document_store.tidy(device.service.deps.system, revisions=revisions)


def forget_cached(device: Device) -> None:
    """Empty the cache of this process."""
    remembered = device.service.deps.catalogues
    assert isinstance(remembered, CatalogueCache)
    remembered._known.clear()


async def test_revisions_are_bounded_and_the_present_one_survives_it(database: str) -> None:
    async with open_device(database, 4, revisions=5) as device:
        for price in range(60):
            await device.set_price(1, price)
        device.scale.base.replace_document(priced(4, 5.0))
        await device.fetch()
        for price in range(60):
            await device.set_price(1, 100 + price)
        for fetched in (7.0, 8.0):
            device.scale.base.replace_document(priced(4, fetched))
            await device.fetch()
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
        old = (await device.read(f"/revisions/{listed[1]['revision']}"))["products"]
        for document, amount in ((old, 7.0), (last, 8.0)):
            assert {product["price"] for product in document["products"]} == {amount}
        assert (await device.get("/revisions/2")).status_code == 404


async def test_a_snapshot_is_what_the_log_says_without_any(database: str) -> None:
    async with open_device(database) as device:
        for price in range(catalogue.SNAPSHOT_EVENTS + 3):
            await device.set_price(1 + price % 3, price)
        last = await device.cached()
        query = "SELECT count(*) FROM catalogue_copy WHERE version IS NOT NULL"
        snapshots = await device.service.fetch_value(query)
        assert snapshots == 2
        await device.upload()
        forget_cached(device)
        assert await device.cached() == last

        await device.service.execute("UPDATE catalogue_copy SET version = NULL")
        forget_cached(device)
        assert await device.cached() == last
        assert await device.is_listed_dirty() is False


async def test_of_a_scale_that_is_gone_no_catalogue_is_stored(database: str) -> None:
    async with open_device(database) as device:
        await device.set_price(2, 99.5)
        other = await a_device(device.service, device.owner, device.scale)
        for gone, left in ((device, 1), (other, 0)):
            await gone.delete()
            await tidy(device, revisions=50)
            assert await contents_of(device) == left


SCALES: Final = 1000
PRODUCTS: Final = 10_000
ROW: Final = """
INSERT INTO scale_bridge.device (tenant, device_id, version, number, owner, name, description, ip,
    port, protocol, removed, revision, confirmed)
SELECT 'demo', gen_random_uuid(), 1, 1000000 + n, $1, 'scale ' || n, '', '10.0.0.1', 1111, 'TCP',
    false, n, n - n % 2 FROM generate_series(1, $2::int) AS n
"""
NEXT: Final = re.compile(r'<(\?[^>]+)>; rel="next"')


async def test_a_thousand_scales_are_listed_without_looking_at_a_catalogue(database: str) -> None:
    role = application_role(SERVICE.name)
    async with open_service(database) as service, service.client() as anna:
        # What the application may not do.
        connection: Any = await asyncpg.connect(database)
        await connection.execute(ROW, ANNA, SCALES)
        await connection.execute(ROW, uuid4(), 1)
        for table in ("content", "catalogue_copy", "events"):
            await connection.execute(f"REVOKE ALL ON scale_bridge.{table} FROM {role}")
        await connection.close()
        listed = (await anna.get("/devices")).json()

    assert len(listed) == SCALES
    assert sum(1 for one in listed if one["cached_dirty"]) == SCALES // 2


async def test_ten_thousand_products_are_read_edited_dated_and_written(database: str) -> None:
    """(R13, R21) What is recorded of them fits into the log."""
    async with open_device(database, PRODUCTS, read=False, reply_seconds=60) as device:
        assert len((await device.fetch())["products"]) == PRODUCTS
        await device.set_price(PRODUCTS, 3.0)
        await device.upload()
        job = await device.ended(await device.order("refresh"))
        await device.service.caught_up()

        assert job["outcome"] == "verified"
        assert await device.is_listed_dirty() is False
        assert device.scale.base.products[-1]["price"] == 3.0
        dated = await device.service.events(DatesRefreshed)
        assert sum(len(part.dates) for part in dated) == PRODUCTS
        shown = await device.service.events(ProductsShown)
        assert sum(len(part.shown) for part in shown) >= PRODUCTS


async def page(device: Device, path: str, query: str) -> tuple[Any, str | None]:
    """What is on a page, and the query of the next one."""
    answer = await device.get(path + query)
    assert answer.status_code == 200, answer.text
    found = NEXT.fullmatch(answer.headers.get("Link", ""))
    assert (found is None) == ("Link" not in answer.headers)
    return answer.json(), found and found[1]


async def pages(device: Device, path: str, query: str) -> list[Any]:
    """All pages, one after the other."""
    found: list[Any] = []
    following: str | None = query
    while following is not None:
        items, following = await page(device, path, following)
        found.append(items)
    return found


async def test_operations_are_listed_page_after_page(database: str) -> None:
    async with open_device(database, 2, read=False) as device:
        for _ in range(5):
            assert (await device.post("/probe")).status_code == 200
        whole, more = await page(device, "/operations", "")
        first, following = await page(device, "/operations", "?limit=2")
        # What comes meanwhile moves nothing from one page to another.
        await device.post("/probe")
        assert following is not None
        rest = await pages(device, "/operations", following)
        skipped, _ = await page(device, "/operations", "?limit=2&offset=5")

        assert more is None
        assert [len(part) for part in rest] == [2, 1]
        assert [*first, *rest[0], *rest[1]] == whole
        assert skipped == whole[4:]


async def test_what_was_shown_is_listed_page_after_page(database: str) -> None:
    async with open_device(database, 2) as device:
        for price in (11, 12, 13, 14):
            await device.set_price(2, price)
            await device.upload()
        whole, more = await page(device, "/shown/history", "?plu=2")
        parts = await pages(device, "/shown/history", "?plu=2&limit=2")

        assert more is None
        assert [one["shown"]["price"] for one in whole][:4] == [14, 13, 12, 11]
        assert [len(part) for part in parts] == [2, 2, 1]
        assert [one for part in parts for one in part] == whole


async def test_drift_is_listed_page_after_page(database: str) -> None:
    """The next page is requested as the last one was."""
    async with open_device(database, 12) as device:
        for plu in range(1, 13):
            await device.set_price(plu, 5000.0 + plu)
        whole, more = await page(device, "/drift", "")
        parts = await pages(device, "/drift", "?limit=5")
        none, _ = await page(device, "/drift", "?limit=0")

        assert more is None
        assert {part["count"] for part in (whole, none, *parts)} == {12}
        assert none["products"] == []
        assert [len(part["products"]) for part in parts] == [5, 5, 2]
        assert [one for part in parts for one in part["products"]] == whole["products"]
        assert [one["plu"] for one in whole["products"]] == [str(plu) for plu in range(1, 13)]

        _, following = await page(device, "/drift", "?limit=1&other=a%26b")
        assert following is not None
        query = parse_qs(following[1:])
        assert (query["limit"], query["other"], len(query["cursor"])) == (["1"], ["a&b"], 1)
