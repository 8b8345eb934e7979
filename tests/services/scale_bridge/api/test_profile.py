"""What a scale is, over HTTP: its profile, its model, the rules it breaks (SCL-1, SCL-8)."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.scale_bridge import DeviceProfiled, ProductEdited
from libs.clock import utc_now
from services.scale_bridge.domain.model import MODELS
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    ANNA,
    dirty,
    fetched,
    inside,
    patch,
    registered,
    working,
)
from tests.services.scale_bridge.scheduled import a_device

BLANK: dict[str, Any] = {
    "shop": "",
    "group": "",
    "price_list": "",
    "model": "",
    "serial_number": "",
    "next_verification": None,
    "verification_days": None,
}
SEVEN = {"id", "name", "description", "ip", "port", "protocol", "cached_dirty"}
"""The keys of a device, which stay as they were (§1.2)."""


async def put(client: Any, number: int, **said: Any) -> Any:
    return await client.put(f"/devices/{number}/profile", json=said)


async def test_a_profile_is_set_in_parts_and_cleared_by_null(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)
        path = f"/devices/{number}/profile"
        assert (await anna.get(path)).json() == BLANK

        today = utc_now().astimezone(made.settings.zone).date()
        day = (today + timedelta(days=12)).isoformat()
        said = {"shop": "Мясницкая, 8", "model": "M-ER 725", "next_verification": day}
        first = await put(anna, number, **said, unknown=1)
        assert first.json() == BLANK | said | {"verification_days": 12}
        second = await put(anna, number, group="Сыры", serial_number="0017", shop=None)
        expected = BLANK | said | {"shop": "", "group": "Сыры", "serial_number": "0017"}
        assert second.json() == expected | {"verification_days": 12}
        assert (await put(anna, number)).json() == second.json()
        third = await put(anna, number, next_verification=None)
        assert third.json()["next_verification"] is third.json()["verification_days"] is None
        assert (await anna.get(path)).json() == third.json()

        told = await made.events(DeviceProfiled)
        assert [(one.shop, one.group) for one in told] == [
            ("Мясницкая, 8", ""),
            ("", "Сыры"),
            ("", "Сыры"),
        ]
        assert {one.profiled_by for one in told} == {str(ANNA)}
        assert (await anna.get(f"/devices/{number}")).json().keys() == SEVEN
        assert (await anna.get("/devices")).json()[0].keys() == SEVEN


@pytest.mark.parametrize(
    "said",
    [
        {"shop": "м" * 121},
        {"group": "a\0"},
        {"serial_number": 5},
        {"model": "M-ER 1"},
        {"next_verification": "31-12-2026"},
        {"next_verification": "2026-02-30"},
    ],
    ids=str,
)
async def test_what_cannot_be_is_422_and_nothing_is_stored(
    database: str, said: dict[str, Any]
) -> None:
    async with inside(database) as made, made.client() as anna:
        number = await a_device(anna)

        answer = await put(anna, number, **({"price_list": "x"} | said))

        assert (answer.status_code, bool(answer.json()["detail"])) == (422, True)
        assert await made.events(DeviceProfiled) == []


async def test_the_models_are_listed_with_what_they_hold(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        listed = {one["model"]: one for one in (await anna.get("/models")).json()}

        assert listed.keys() == MODELS.keys()
        assert listed["M-ER 725, 2-byte PLU"] == {
            "model": "M-ER 725, 2-byte PLU",
            "most_products": None,
            "longest_name": 56,
            "longest_text": None,
            "lowest_plu": 1,
            "highest_plu": 65_535,
            "highest_price": 9_999.99,
        }


async def test_who_may_only_read_describes_and_relaxes_nothing(database: str) -> None:
    async with (
        inside(database) as made,
        made.client() as anna,
        made.client(scopes=["scales:read"]) as reader,
        made.nobody() as nobody,
    ):
        number = await a_device(anna)
        for rest, body in (("profile", {}), ("strictness", {"relaxed": [], "reason": "x"})):
            path = f"/devices/{number}/{rest}"
            assert (await reader.get(path)).status_code == 200
            assert (await reader.put(path, json=body)).status_code == 403
            assert (await nobody.get(path)).status_code == 401
        for path in ("/models", "/shops"):
            assert (await reader.get(path)).status_code == 200
            assert (await nobody.get(path)).status_code == 401


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": "м" * 57}, {"name": "this model takes 56 characters at most"}),
        ({"price": 10_000}, {"price": "this model takes 9999.99 at most"}),
        (
            {"pluNumber": 65_536, "discountPrice": 1e6, "tare": 0.1},
            {
                "pluNumber": "this model takes PLUs from 1 to 65535",
                "discountPrice": "this model takes 9999.99 at most",
            },
        ),
    ],
    ids=["name", "price", "two"],
)
async def test_an_edit_beyond_the_model_is_422_and_nothing_is_stored(
    database: str, fields: dict[str, Any], named: dict[str, str]
) -> None:
    """At edit time, with field and limit (SCL-8); without a model all of it is allowed (R11)."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await put(anna, number, model="M-ER 725, 2-byte PLU")

        answer = await patch(anna, number, 2, **fields)
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "BeyondModel")
        assert {fault["loc"][-1]: fault["msg"] for fault in body["detail"]} == named
        assert all(fault["loc"][:2] == ["body", "fields"] for fault in body["detail"])
        assert await made.events(ProductEdited) == []
        assert not await dirty(anna, number)

        wrong = await patch(anna, number, 2, **fields, productType="?")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "UnprocessableEntity")

        await put(anna, number, model=None)
        assert (await patch(anna, number, 2, **fields)).status_code == 200


async def test_what_was_there_before_the_model_was_known_stays_and_is_told(database: str) -> None:
    """Neither other fields nor uploads wait for it: limits are looked at when they are edited."""
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        path = f"/devices/{number}/products/problems"
        assert (await anna.get(path)).json()["problems"] == []
        name = "м" * 60
        await patch(anna, number, 2, name=name)
        await put(anna, number, model="M-ER 725")

        told = (await anna.get(path)).json()
        assert told == {
            "revision": 2,
            "model": "M-ER 725",
            "count": 1,
            "problems": [
                {
                    "plu": "2",
                    "field": "name",
                    "rule": "model",
                    "detail": "this model takes 56 characters at most",
                }
            ],
        }
        assert (await anna.get(path, params={"limit": 0})).json()["count"] == 1
        assert (await patch(anna, number, 2, name=name, price=5)).status_code == 200
        assert (await anna.post(f"/devices/{number}/upload")).status_code == 200
        assert scale.base.products[1]["name"] == name


async def test_a_revision_beyond_the_model_is_not_brought_back(database: str) -> None:
    async with a_scale(3) as scale, working(database) as made, made.client() as anna:
        number = await registered(anna, scale)
        await fetched(anna, number)
        await patch(anna, number, 2, price=20_000)
        await patch(anna, number, 2, price=5)
        await put(anna, number, model="M-ER 725")

        answer = await anna.post(f"/devices/{number}/revisions/2/revert")
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "BeyondModel")
        assert [(one["loc"], one["msg"]) for one in body["detail"]] == [
            (["body", "products", "2", "price"], "this model takes 9999.99 at most")
        ]
        cached = (await anna.get(f"/devices/{number}/products/cached")).json()["products"]
        assert cached["products"][1]["price"] == 5
        assert (await anna.post(f"/devices/{number}/revisions/1/revert")).status_code == 200
