"""The profile of a device, the limits of its model, and relaxed rules (SCL-1, SCL-8, R5)."""

from datetime import timedelta
from typing import Any, Final

import pytest
from httpx import Response

from contracts.scale_bridge import CatalogueFetched, DeviceProfiled, ProductEdited, StrictnessSet
from libs.clock import utc_now
from services.scale_bridge.catalogue.domain.model import MODELS
from services.scale_bridge.devices.domain.validation_overrides import RULES
from services.scale_bridge.driver.simulator.adapters.products import ProductBase
from services.scale_bridge.driver.simulator.domain.goods import catalogue
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.service import ANNA, Device, a_device, open_device

BLANK: Final[dict[str, Any]] = {
    **dict.fromkeys(("shop", "group", "price_list", "model", "serial_number"), ""),
    "next_verification": None,
    "verification_days": None,
}
SEVEN: Final = {"id", "name", "description", "ip", "port", "protocol", "cached_dirty"}
"""The keys of a device, which stay as they were (§1.2)."""


async def describe(device: Device, **fields: Any) -> Response:
    return await device.put("/profile", **fields)


async def relax(device: Device, *rules: str, reason: str = "old firmware") -> Response:
    return await device.put("/strictness", relaxed=list(rules), reason=reason)


async def problems(device: Device) -> list[tuple[str, str, str]]:
    listed = (await device.read("/products/problems"))["problems"]
    return [(one["plu"], one["field"], one["rule"]) for one in listed]


async def test_a_profile_is_set_in_parts_and_cleared_by_null(database: str) -> None:
    async with open_device(database, read=False) as device:
        assert await device.read("/profile") == BLANK

        today = utc_now().astimezone(device.service.settings.zone).date()
        day = (today + timedelta(days=12)).isoformat()
        given = {"shop": "Мясницкая, 8", "model": "M-ER 725", "next_verification": day}
        first = await describe(device, **given, unknown=1)
        assert first.json() == BLANK | given | {"verification_days": 12}
        second = await describe(device, group="Сыры", serial_number="0017", shop=None)
        expected = BLANK | given | {"shop": "", "group": "Сыры", "serial_number": "0017"}
        assert second.json() == expected | {"verification_days": 12}
        assert (await describe(device)).json() == second.json()
        third = (await describe(device, next_verification=None)).json()
        assert third["next_verification"] is third["verification_days"] is None
        assert await device.read("/profile") == third

        events = await device.service.events(DeviceProfiled)
        expected_places = [("Мясницкая, 8", ""), ("", "Сыры"), ("", "Сыры")]
        assert [(one.profile.shop, one.profile.group) for one in events] == expected_places
        assert {one.profiled_by for one in events} == {str(ANNA)}
        assert (await device.read()).keys() == SEVEN
        assert (await device.owner.get("/devices")).json()[0].keys() == SEVEN

        listed = {one["model"]: one for one in (await device.owner.get("/models")).json()}
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


NAME_LIMIT: Final = "this model takes 56 characters at most"
PRICE_LIMIT: Final = "this model takes 9999.99 at most"
BEYOND: Final[list[tuple[dict[str, Any], dict[str, str]]]] = [
    ({"name": "м" * 57}, {"name": NAME_LIMIT}),
    ({"price": 10_000}, {"price": PRICE_LIMIT}),
    (
        {"pluNumber": 65_536, "discountPrice": 1e6, "tare": 0.1},
        {"pluNumber": "this model takes PLUs from 1 to 65535", "discountPrice": PRICE_LIMIT},
    ),
]


async def test_an_edit_beyond_the_model_is_422_and_nothing_is_stored(database: str) -> None:
    """At edit time, with field and limit (SCL-8); without a model all of it is allowed (R11)."""
    async with open_device(database) as device:
        await describe(device, model="M-ER 725, 2-byte PLU")
        for fields, named in BEYOND:
            answer = await device.patch(2, **fields)
            body = answer.json()
            assert (answer.status_code, body["code"]) == (422, "BeyondModel")
            assert {fault["loc"][-1]: fault["msg"] for fault in body["detail"]} == named
            assert all(fault["loc"][:2] == ["body", "fields"] for fault in body["detail"])

            wrong = await device.patch(2, **fields, productType="?")
            assert (wrong.status_code, wrong.json()["code"]) == (422, "UnprocessableEntity")
        assert await device.service.events(ProductEdited) == []
        assert not await device.is_listed_dirty()

        await describe(device, model=None)
        for fields, _ in BEYOND:
            assert (await device.patch(2, **fields)).status_code == 200


async def test_values_from_before_the_model_was_known_stay_and_are_listed(database: str) -> None:
    """Limits are checked for edited fields only, and never at upload."""
    async with open_device(database) as device:
        assert await problems(device) == []
        name = "м" * 60
        await device.patch(2, name=name)
        await describe(device, model="M-ER 725")

        problem = {"plu": "2", "field": "name", "rule": "model", "detail": NAME_LIMIT}
        expected = {"revision": 2, "model": "M-ER 725", "count": 1, "problems": [problem]}
        assert await device.read("/products/problems") == expected
        assert (await device.read("/products/problems", limit=0))["count"] == 1
        assert (await device.patch(2, name=name, price=5)).status_code == 200
        await device.upload()
        assert device.scale.base.products[1]["name"] == name


async def test_a_revision_beyond_the_model_is_not_restored(database: str) -> None:
    async with open_device(database) as device:
        await device.set_price(2, 20_000)
        await device.set_price(2, 5)
        await describe(device, model="M-ER 725")

        answer = await device.post("/revisions/2/revert")
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "BeyondModel")
        assert [(one["loc"], one["msg"]) for one in body["detail"]] == [
            (["body", "products", "2", "price"], PRICE_LIMIT)
        ]
        assert (await device.cached())["products"][1]["price"] == 5
        assert (await device.post("/revisions/1/revert")).status_code == 200


def every_key(*relaxed: str) -> dict[str, bool]:
    return {name: name not in relaxed for name in RULES}


async def test_a_new_scale_must_follow_every_rule_until_some_are_relaxed(database: str) -> None:
    async with open_device(database, read=False) as device:
        blank: dict[str, Any] = {"relaxed": [], "reason": "", "set_by": None, "set_at": None}
        assert await device.read("/strictness") == {"rules": every_key(), **blank}

        answer = (await relax(device, "unique_plus", "hash")).json()
        assert answer == await device.read("/strictness")
        assert answer["rules"] == every_key("hash", "unique_plus")
        assert answer["relaxed"] == ["hash", "unique_plus"]
        assert (answer["set_by"], answer["reason"]) == (str(ANNA), "old firmware")
        [event] = await device.service.events(StrictnessSet)
        assert (event.relaxed, event.set_by) == (("hash", "unique_plus"), str(ANNA))
        assert answer["set_at"] == event.set_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("fault", "rule"), [("badhash", "hash"), ("nan", "finite_numbers"), ("dupkeys", "unique_keys")]
)
async def test_a_relaxed_rule_accepts_exactly_what_it_refused(
    database: str, fault: str, rule: str
) -> None:
    """Relaxing one rule relaxes no other, and none of another scale."""
    async with (
        open_device(database, 3, fault, read=False, breaker_failures=99) as device,
        a_scale(3, fault) as scale,
    ):
        strict = await a_device(device.service, device.owner, scale, read=False)
        others = [name for name in RULES if name != rule]
        for rules in ([], others):
            assert not rules or (await relax(device, *rules)).status_code == 200
            refused = await device.get("/products")
            assert (refused.status_code, refused.json()["code"]) == (502, "BadCatalogue")
        assert await device.service.events(CatalogueFetched) == []

        assert (await relax(device, rule)).status_code == 200
        document = await device.fetch()
        assert len(document["products"]) == 3
        assert (await strict.get("/products")).status_code == 502
        events = await device.service.events(StrictnessSet)
        assert [one.relaxed for one in events] == [tuple(others), (rule,)]

        assert (await relax(device, reason="mended")).status_code == 200
        assert (await device.get("/products")).status_code == 502
        assert await device.cached() == document
        await device.service.assert_one_end_each()


async def test_nan_becomes_null_and_is_listed(database: str) -> None:
    """The stored catalogue is JSON, whatever is relaxed."""
    async with open_device(database, 3, "nan", read=False) as device:
        await relax(device, "finite_numbers")
        document = await device.fetch()
        await device.service.caught_up()

        (plu,) = [one["pluNumber"] for one in document["products"] if one["price"] is None]
        assert await problems(device) == [(str(plu), "price", "field")]
        await device.set_price(plu, 7.5)
        device.scale.faults.set([])
        await device.upload()
        prices = {one["pluNumber"]: one["price"] for one in device.scale.base.products}
        assert prices[plu] == 7.5


async def test_two_products_with_one_plu_can_be_fetched_and_corrected(database: str) -> None:
    document = catalogue(3)
    document["products"][2]["pluNumber"] = 1
    async with open_device(database, base=ProductBase(document), read=False) as device:
        assert (await device.get("/products")).status_code >= 400
        await relax(device, "unique_plus")
        await device.fetch()
        await device.service.caught_up()

        assert {*await problems(device)} == {("1", "pluNumber", "unique")}
        assert (await device.patch(1, pluNumber=9)).status_code == 200
        assert await problems(device) == []
