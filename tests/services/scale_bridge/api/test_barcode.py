"""Rules of a tenant's labels, and what a label means on its owner's scales (SCL-13)."""

from typing import Any

import pytest
from httpx import AsyncClient

from contracts.scale_bridge import BarcodeRulesSet
from libs.barcodes.measured import Measure, Rule, encode
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.inside import (
    BORIS,
    Inside,
    fetched,
    inside,
    patch,
    registered,
    working,
)

BY_WEIGHT = {
    "name": "весовой",
    "prefix": "20",
    "code_digits": 5,
    "measure": "weight_g",
    "measure_digits": 5,
    "price_check_digit": False,
}
BY_PRICE = {
    "name": "по цене",
    "prefix": "02",
    "code_digits": 5,
    "measure": "price_minor",
    "measure_digits": 4,
    "price_check_digit": True,
}


def printed(rule: dict[str, Any], code: int, measure: int) -> str:
    said = {name: value for name, value in rule.items() if name != "name"}
    return encode(Rule(**{**said, "measure": Measure(rule["measure"])}), code, measure)


async def put(client: AsyncClient, *rules: dict[str, Any]) -> Any:
    return await client.put("/barcodes/rules", json={"rules": list(rules)})


async def decoded(client: AsyncClient, code: str) -> Any:
    return await client.post("/barcodes/decode", json={"code": code})


async def test_rules_are_kept_as_they_are_set_and_told_once(database: str) -> None:
    async with inside(database) as made, made.client() as anna, made.client(BORIS) as boris:
        assert (await anna.get("/barcodes/rules")).json() == {"rules": []}
        for _ in range(2):
            assert (await put(anna, BY_WEIGHT, BY_PRICE)).json() == {"rules": [BY_WEIGHT, BY_PRICE]}
        assert (await boris.get("/barcodes/rules")).json() == {"rules": [BY_WEIGHT, BY_PRICE]}
        assert len(await made.events(BarcodeRulesSet)) == 1
        assert (await put(anna)).json() == {"rules": []}
        assert (await boris.get("/barcodes/rules")).json() == {"rules": []}


async def test_another_tenant_has_rules_of_its_own(database: str) -> None:
    async with inside(database) as made, made.client() as anna, made.client(tenant="other") as spy:
        await put(anna, BY_WEIGHT)

        assert (await spy.get("/barcodes/rules")).json() == {"rules": []}
        said = (await decoded(spy, printed(BY_WEIGHT, 51, 1000))).json()
        assert said["kind"] == "gtin"


@pytest.mark.parametrize(
    "wrong",
    [
        [BY_WEIGHT, {**BY_PRICE, "prefix": "20"}],
        [BY_WEIGHT, {**BY_WEIGHT, "name": "x", "prefix": "201", "code_digits": 4}],
        [BY_WEIGHT, {**BY_PRICE, "name": BY_WEIGHT["name"]}],
        [{**BY_WEIGHT, "code_digits": 6}],
        [{**BY_WEIGHT, "prefix": "46"}],
        [{**BY_WEIGHT, "prefix": "2x"}],
        [{**BY_WEIGHT, "price_check_digit": True}],
        [{**BY_WEIGHT, "measure": "litres"}],
        [{**BY_WEIGHT, "name": ""}],
        [{**BY_WEIGHT, "name": f"{number}"} for number in range(101)],
    ],
    ids=str,
)
async def test_rules_that_cannot_be_are_422_and_nothing_is_stored(
    database: str, wrong: list[dict[str, Any]]
) -> None:
    async with inside(database) as made, made.client() as anna:
        await put(anna, BY_PRICE)
        answer = await put(anna, *wrong)

        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][:2] == ["body", "rules"]
        assert (await anna.get("/barcodes/rules")).json() == {"rules": [BY_PRICE]}


async def test_a_label_means_a_product_on_ones_own_scales(database: str) -> None:
    async with (
        a_scale(4) as scale,
        a_scale(3) as twin,
        working(database) as made,
        made.client() as anna,
        made.client(BORIS) as boris,
    ):
        named = {"front": scale, "back": twin}
        numbers = [await registered(anna, one, name=name) for name, one in named.items()]
        for number in numbers:
            await fetched(anna, number)
        theirs = await registered(boris, scale)
        await fetched(boris, theirs)
        await patch(anna, numbers[1], 2, price=123.5, name="Сыр")
        await put(anna, BY_WEIGHT, BY_PRICE)

        answer = await decoded(anna, f" {printed(BY_WEIGHT, 51, 1234)}\r\n")
        assert answer.json() == {
            "kind": "label",
            "rule": "весовой",
            "code": 51,
            "measure": "weight_g",
            "value": 1234,
            "products": [
                sold(numbers[0], "front", scale.base.products[1]),
                sold(numbers[1], "back", {"name": "Сыр", "price": 123.5}),
            ],
        }
        by_price = (await decoded(boris, printed(BY_PRICE, 51, 9990))).json()
        assert (by_price["measure"], by_price["value"]) == ("price_minor", 9990)
        assert [one["device_id"] for one in by_price["products"]] == [theirs]
        assert (await decoded(anna, printed(BY_WEIGHT, 99_999, 1))).json()["products"] == []
        await stops_selling(made, anna, numbers[0])


def sold(number: int, device: str, product: dict[str, Any]) -> dict[str, Any]:
    return {
        "device_id": number,
        "device": device,
        "plu": "2",
        "name": product["name"],
        "price": product["price"],
        "product_type": product.get("productType", "WEIGHT"),
    }


async def stops_selling(made: Inside, anna: AsyncClient, number: int) -> None:
    """A scale that is nobody's any more sells nothing."""
    before = (await decoded(anna, printed(BY_WEIGHT, 52, 1))).json()["products"]
    assert (await anna.delete(f"/devices/{number}")).status_code == 204
    after = (await decoded(anna, printed(BY_WEIGHT, 52, 1))).json()["products"]

    assert number in [one["device_id"] for one in before]
    assert after == [one for one in before if one["device_id"] != number]


async def test_other_barcodes_say_what_they_say(database: str) -> None:
    async with inside(database) as made, made.client() as anna:
        await put(anna, BY_WEIGHT)

        assert (await decoded(anna, "5901234123457")).json() == {
            "kind": "gtin",
            "gtin": "05901234123457",
        }
        said = "]C10105901234123457" + "3103001250" + "15261100" + "3932643" + "19990" + "\x1d10A"
        assert (await decoded(anna, said)).json() == {
            "kind": "elements",
            "gtin": "05901234123457",
            "elements": {
                "01": "05901234123457",
                "3103": "1.250",
                "15": "2026-11-30",
                "3932": {"currency": "643", "value": "199.90"},
                "10": "A",
            },
        }


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("2000051012341", "WrongCheckDigit"),
        ("5901234123458", "WrongCheckDigit"),
        ("hello", "UnknownElement"),
        ("01123", "BadElement"),
        ("   ", "BadElement"),
        ("10a\x1d10b", "RepeatedElement"),
    ],
)
async def test_what_was_misread_is_422_with_a_code(database: str, code: str, why: str) -> None:
    async with inside(database) as made, made.client() as anna:
        await put(anna, BY_WEIGHT)
        answer = await decoded(anna, code)

        assert (answer.status_code, answer.json()["code"]) == (422, why)
        assert code.strip() == "" or code not in answer.text


async def test_who_may_only_read_sets_no_rules(database: str) -> None:
    async with (
        inside(database) as made,
        made.client(scopes=["scales:read"]) as reader,
        made.nobody() as nobody,
    ):
        assert (await put(reader, BY_WEIGHT)).status_code == 403
        assert (await decoded(reader, "5901234123457")).status_code == 200
        assert (await reader.get("/barcodes/rules")).status_code == 200
        assert (await decoded(nobody, "5901234123457")).status_code == 401
        assert (await nobody.get("/barcodes/rules")).status_code == 401
