"""Edits of a revision that is outdated by now are refused (SCL-3, RFC 9110 §13)."""

import asyncio
from dataclasses import replace
from typing import Any

from httpx import AsyncClient, Response

from contracts.scale_bridge import ProductEdited
from tests.services.scale_bridge.service import Device, open_device, open_service


async def edit(
    device: Device, plu: int | str, tag: str, client: AsyncClient | None = None, **fields: Any
) -> Response:
    path = f"{device.path}/products/{plu}"
    headers = {"If-Match": tag}
    return await (client or device.owner).patch(path, json={"fields": fields}, headers=headers)


async def cached(device: Device, tag: str | None = None) -> Response:
    headers = {} if tag is None else {"If-None-Match": tag}
    return await device.owner.get(f"{device.path}/products/cached", headers=headers)


async def tag_of(device: Device) -> str:
    return (await cached(device)).headers["ETag"]


async def test_every_answer_names_the_revision_it_shows(database: str) -> None:
    async with open_device(database, read=False) as device:
        empty = await cached(device)
        read = await device.get("/products")
        same = await device.get("/products")
        edited = await device.patch(1, price=5)
        nothing = await device.patch(1, price=5)

        tags = [one.headers["ETag"] for one in (empty, read, same, edited, nothing)]
        assert tags[1] == tags[2]
        assert tags[3] == tags[4] == await tag_of(device)
        assert len(set(tags)) == 3
        assert all(tag.startswith('"') and tag.endswith('"') for tag in tags)


async def test_a_copy_that_is_known_is_not_sent_again(database: str) -> None:
    async with open_device(database) as device:
        tag = await tag_of(device)
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await cached(device, known)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == tag
        await device.set_price(1, 5)
        changed = await cached(device, tag)
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag


async def test_an_edit_of_the_present_revision_is_stored(database: str) -> None:
    async with open_device(database) as device:
        first = await edit(device, 1, await tag_of(device), price=5)
        second = await edit(device, 2, f'"x", {first.headers["ETag"]}', price=6)
        third = await edit(device, 3, "*", price=7)

        assert [one.status_code for one in (first, second, third)] == [200, 200, 200]
        assert [item["price"] for item in (await device.cached())["products"]] == [5, 6, 7]


async def test_any_other_revision_is_412_and_nothing_is_stored(database: str) -> None:
    """RFC 9110 §13.2.1: but what is not there, or cannot be, is refused for that first."""
    async with open_device(database) as device:
        before = await cached(device)
        tag = before.headers["ETag"]
        for wanted in ('"0"', "W/{}", "1", "", "garbage", '"0", W/{}'):
            answer = await edit(device, 1, wanted.format(tag), price=5)
            assert answer.status_code == 412, wanted
            assert isinstance(answer.json()["detail"], str)
            assert answer.json()["code"] == "PreconditionFailed"
            assert answer.headers["ETag"] == tag
        assert (await edit(device, 77, '"0"', price=5)).status_code == 404
        assert (await edit(replace(device, number=999_999), 1, '"0"', price=5)).status_code == 404
        assert (await edit(device, 1, tag, price=-1)).status_code == 422
        assert (await cached(device)).content == before.content
        assert await device.service.events(ProductEdited) == []


async def test_of_twenty_edits_of_one_revision_one_is_in_time(database: str) -> None:
    """In two processes, whose edits do not wait for each other."""
    async with open_device(database, 20) as device:
        tag = await tag_of(device)
        async with (
            open_service(database, beside=device.service) as twin,
            twin.client() as also_anna,
        ):
            clients = (also_anna, device.owner)
            answers = await asyncio.gather(
                *(
                    edit(device, plu, tag, clients[plu % 2], price=1000.0 + plu)
                    for plu in range(1, 21)
                )
            )

        assert sorted(one.status_code for one in answers) == [200] + [412] * 19
        [done] = await device.service.events(ProductEdited)
        assert done.after == {"price": 1000.0 + int(done.plu)}
        [won] = [one for one in answers if one.status_code == 200]
        assert won.headers["ETag"] == await tag_of(device)
