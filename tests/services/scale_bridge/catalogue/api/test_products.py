"""A catalogue is read, edited and sent in the known format (§1.1, R8, R9, R11); conditional
edits of an outdated revision are refused (SCL-3, RFC 9110 §13)."""

import asyncio
import json
from dataclasses import replace
from typing import Any, Final

from httpx import AsyncClient, Response

from contracts.scale_bridge import ProductEdited
from tests.services.scale_bridge.service import (
    Device,
    open_device,
    open_service,
    patch,
    scale_settings,
)

JSON: Final = {"Content-Type": "application/json"}


async def test_a_scale_is_fetched_edited_and_uploaded(database: str) -> None:
    async with open_device(database, 5, read=False) as device:
        assert await device.is_listed_dirty() is False
        assert await device.read("/products/cached") == {"products": {"products": []}}

        assert await device.fetch() == device.scale.base.document
        assert await device.is_listed_dirty() is False

        edited = await device.patch(3, price=77.5)
        assert edited.status_code == 200
        assert edited.json()["products"]["products"][2]["price"] == 77.5
        assert await device.is_listed_dirty() is True

        answer = await device.post("/upload")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert device.scale.base.products[2]["price"] == 77.5
        assert await device.is_listed_dirty() is False
        [read, sent] = await device.service.ends()
        assert (read.outcome, sent.outcome) == ("done", "verified")


async def test_an_unknown_catalogue_cannot_be_edited_or_sent(database: str) -> None:
    async with open_device(database, read=False) as device:
        early = await device.patch(1, price=1)
        unsent = await device.post("/upload")
        assert (unsent.status_code, unsent.json()["code"]) == (409, "NothingCached")
        assert device.scale.transcript.count == 0
        await device.fetch()
        for answer in (early, await device.patch("01", price=1)):
            assert answer.status_code == 404
            assert answer.json()["detail"] == "Product not found (plu)"


async def test_the_body_of_the_known_client_is_accepted(database: str) -> None:
    """(R11, R13)"""
    fields = {"name": "Сыр", "price": 599.9, "shelfLife": 7.0}
    fields |= {"manufactureDate": "", "sellByDate": ""}
    async with open_device(database) as device:
        answer = await device.patch(2, **fields)
        nothing = await device.patch(2)

        product = answer.json()["products"]["products"][1]
        assert {name: product[name] for name in fields} == fields | {"shelfLife": 7}
        assert product["shelfLifeInDays"] == 7
        assert nothing.json() == answer.json()
        assert len(await device.service.events(ProductEdited)) == 1


BAD: Final[list[tuple[str, Any]]] = [
    *(("name", ""), ("price", True), ("shelfLife", 1.5), ("sellByDate", "2026-01-01")),
    *(("pluNumber", 2), ("code", 1)),
]


async def test_a_bad_field_is_named_and_nothing_is_stored(database: str) -> None:
    """(R11) In any notation of NaN."""
    async with open_device(database) as device:
        before = await device.cached()
        for name, value in BAD:
            answer = await device.patch(1, **{"price": 5, name: value})
            assert answer.status_code == 422, (name, value)
            [fault] = answer.json()["detail"]
            assert fault["loc"] == ["body", "fields", name]
        for text in ("NaN", "Infinity", "-Infinity", "1e999"):
            for name in ("price", "anything"):
                body = f'{{"fields": {{"{name}": {text}}}}}'
                path = f"{device.path}/products/1"
                answer = await device.owner.patch(path, content=body, headers=JSON)
                assert answer.status_code == 422, body
                json.loads(answer.text)
        assert await device.cached() == before
        assert await device.is_listed_dirty() is False


async def test_a_body_of_another_form_or_length_is_refused(database: str) -> None:
    path = "/devices/1/products/1"
    async with open_service(database) as service, service.client() as anna:
        for body in (b"", b"{", b"[]", b'{"fields": null}', b'{"fields": [1]}'):
            answer = await anna.patch(path, content=body, headers=JSON)
            assert answer.status_code == 422
            assert isinstance(answer.json()["detail"], list)

        answer = await anna.patch(path, json={"fields": {"name": "x" * 1024 * 1024}})
        assert answer.status_code == 413
        assert isinstance(answer.json()["detail"], str)


async def test_of_120_edits_at_once_120_survive(database: str) -> None:
    async with open_device(database, 120) as device:
        async with (
            open_service(database, beside=device.service) as twin,
            twin.client() as also_anna,
        ):
            answers = await asyncio.gather(
                *(
                    patch((also_anna, device.owner)[plu % 2], device.number, plu, price=1000 + plu)
                    for plu in range(1, 121)
                )
            )
        cached = await device.cached()

        assert {answer.status_code for answer in answers} == {200}
        prices = {item["pluNumber"]: item["price"] for item in cached["products"]}
        assert prices == {plu: 1000.0 + plu for plu in range(1, 121)}
        edits = await device.service.events(ProductEdited)
        assert sorted(edit.revision for edit in edits) == list(range(2, 122))
        # What was cached on the way is what the log says.
        async with open_service(database) as fresh, fresh.client() as later:
            answer = await later.get(f"{device.path}/products/cached")
            assert answer.json()["products"] == cached


def test_the_originals_variables_are_understood() -> None:
    """(§1.5)"""
    settings = scale_settings("postgresql://unused")

    assert (settings.scheduler_interval, settings.diagnose) == (1440, False)
    assert (settings.policy.special, settings.shown_days) == (True, 400)


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


async def test_every_response_has_the_tag_of_its_revision(database: str) -> None:
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


async def test_a_catalogue_with_a_known_tag_is_not_sent_again(database: str) -> None:
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


async def test_an_edit_of_the_current_revision_is_stored(database: str) -> None:
    async with open_device(database) as device:
        first = await edit(device, 1, await tag_of(device), price=5)
        second = await edit(device, 2, f'"x", {first.headers["ETag"]}', price=6)
        third = await edit(device, 3, "*", price=7)

        assert [one.status_code for one in (first, second, third)] == [200, 200, 200]
        assert [item["price"] for item in (await device.cached())["products"]] == [5, 6, 7]


async def test_any_other_revision_is_412_and_nothing_is_stored(database: str) -> None:
    """RFC 9110 §13.2.1: an unknown product or a bad field is refused first."""
    async with open_device(database) as device:
        before = await cached(device)
        tag = before.headers["ETag"]
        for tags in ('"0"', "W/{}", "1", "", "garbage", '"0", W/{}'):
            answer = await edit(device, 1, tags.format(tag), price=5)
            assert answer.status_code == 412, tags
            assert isinstance(answer.json()["detail"], str)
            assert answer.json()["code"] == "PreconditionFailed"
            assert answer.headers["ETag"] == tag
        assert (await edit(device, 77, '"0"', price=5)).status_code == 404
        assert (await edit(replace(device, number=999_999), 1, '"0"', price=5)).status_code == 404
        assert (await edit(device, 1, tag, price=-1)).status_code == 422
        assert (await cached(device)).content == before.content
        assert await device.service.events(ProductEdited) == []


async def test_of_twenty_edits_of_one_revision_one_succeeds(database: str) -> None:
    """In two processes, whose edits do not share a lock."""
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
