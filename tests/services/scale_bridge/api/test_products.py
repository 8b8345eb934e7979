"""A catalogue is read, edited and answered as clients know it (§1.1, R11)."""

import asyncio
import json
from typing import Any

from contracts.scale_bridge import ProductEdited
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    dirty,
    fetched,
    inside,
    patch,
    registered,
    scale_settings,
    working,
)


async def test_what_is_unknown_cannot_be_edited(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        early = await patch(anna, number, 1, price=1)
        await fetched(anna, number)
        spelled = await patch(anna, number, "01", price=1)

        for answer in (early, spelled):
            assert answer.status_code == 404
            assert answer.json()["detail"] == "Product not found (plu)"


async def test_the_clients_own_body_is_taken(database: str) -> None:
    """(R11, R13)"""
    fields = {
        "name": "Сыр",
        "price": 599.9,
        "shelfLife": 7.0,
        "manufactureDate": "",
        "sellByDate": "",
    }
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        answer = await patch(anna, number, 2, **fields)
        nothing = await patch(anna, number, 2)

        product = answer.json()["products"]["products"][1]
        assert {name: product[name] for name in fields} == fields | {"shelfLife": 7}
        assert product["shelfLifeInDays"] == 7
        assert nothing.json() == answer.json()
        assert len(await made.events(ProductEdited)) == 1


BAD: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", "x" * 201),
    ("price", -1),
    ("price", "10"),
    ("price", True),
    ("discountPrice", -0.5),
    ("shelfLife", 1.5),
    ("shelfLife", 10_000),
    ("shelfLifeType", "WEEKS"),
    ("manufactureDate", "31-02-26"),
    ("sellByDate", "2026-01-01"),
    ("tare", -1),
    ("productType", "BOX"),
    ("pluNumber", 0),
    ("pluNumber", 2),
    ("id", 1),
    ("code", 1),
    ("deleted", True),
]


async def test_a_bad_field_is_named_and_nothing_is_stored(database: str) -> None:
    """(R11)"""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        before = await fetched(anna, number)
        for name, value in BAD:
            answer = await patch(anna, number, 1, **{"price": 5, name: value})
            assert answer.status_code == 422, (name, value)
            [fault] = answer.json()["detail"]
            assert fault["loc"] == ["body", "fields", name]
        cached = await anna.get(f"/devices/{number}/products/cached")
        assert cached.json() == {"products": before}
        assert await dirty(anna, number) is False


async def test_what_is_no_number_is_refused_in_any_spelling(database: str) -> None:
    """(R11)"""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        path = f"/devices/{number}/products/1"
        for text in ("NaN", "Infinity", "-Infinity", "1e999"):
            for name in ("price", "anything"):
                body = f'{{"fields": {{"{name}": {text}}}}}'
                headers = {"Content-Type": "application/json"}
                answer = await anna.patch(path, content=body, headers=headers)
                assert answer.status_code == 422, body
                json.loads(answer.text)


async def test_a_body_of_another_form_is_422(database: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with inside(database) as made, made.client() as anna:
        for body in (b"", b"{", b"[]", b'{"fields": null}', b'{"fields": [1]}'):
            answer = await anna.patch("/devices/1/products/1", content=body, headers=headers)
            assert answer.status_code == 422
            assert isinstance(answer.json()["detail"], list)


async def test_a_body_that_is_too_long_is_refused(database: str) -> None:
    """(R21)"""
    async with inside(database) as made, made.client() as anna:
        body = {"fields": {"name": "x" * 1024 * 1024}}
        answer = await anna.patch("/devices/1/products/1", json=body)

        assert answer.status_code == 413
        assert isinstance(answer.json()["detail"], str)


async def test_of_120_edits_at_once_120_survive(database: str) -> None:
    """(R9)"""
    async with a_scale(120) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        async with inside(database) as twin, twin.client() as also_anna:
            answers = await asyncio.gather(
                *(
                    patch(anna if plu % 2 else also_anna, number, plu, price=1000.0 + plu)
                    for plu in range(1, 121)
                )
            )
        cached = (await anna.get(f"/devices/{number}/products/cached")).json()["products"]

        assert {answer.status_code for answer in answers} == {200}
        prices = {item["pluNumber"]: item["price"] for item in cached["products"]}
        assert prices == {plu: 1000.0 + plu for plu in range(1, 121)}
        edits = await made.events(ProductEdited)
        assert sorted(edit.revision for edit in edits) == list(range(2, 122))
        # What was kept on the way is what the log says.
        async with inside(database) as fresh, fresh.client() as later:
            answer = await later.get(f"/devices/{number}/products/cached")
            assert answer.json()["products"] == cached


async def test_every_device_has_its_own_catalogue(database: str) -> None:
    async with (
        a_scale(3) as one,
        a_scale(4) as two,
        working(database) as made,
        made.client() as anna,
    ):
        first, second = await registered(anna, one), await registered(anna, two)

        assert len((await fetched(anna, first))["products"]) == 3
        assert len((await fetched(anna, second))["products"]) == 4


def test_the_originals_variables_are_understood() -> None:
    """(§1.5)"""
    settings = scale_settings("postgresql://unused")

    assert (settings.scheduler_interval, settings.diagnose) == (1440, False)
    assert settings.policy.special
