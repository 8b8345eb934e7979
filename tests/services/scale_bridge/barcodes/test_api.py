"""The rules of an owner's labels, and the products that a label means (SCL-13)."""

from typing import Any, Final

import pytest
from httpx import AsyncClient, Response

from contracts.scale_bridge import BarcodeRulesSet
from libs.barcodes.measured import Measure, Rule, encode
from services.scale_bridge.barcodes import handlers as barcode
from tests.services.scale_bridge.at_hand import a_scale
from tests.services.scale_bridge.service import BORIS, a_device, open_devices, open_service

BY_WEIGHT: Final[dict[str, Any]] = {
    "name": "весовой",
    "prefix": "20",
    "code_digits": 5,
    "measure": "weight_g",
    "measure_digits": 5,
    "price_check_digit": False,
}
BY_PRICE: Final[dict[str, Any]] = BY_WEIGHT | {
    "name": "по цене",
    "prefix": "02",
    "measure": "price_minor",
    "measure_digits": 4,
    "price_check_digit": True,
}
MISREAD: Final = [
    ("2000051012341", "WrongCheckDigit"),
    ("5901234123458", "WrongCheckDigit"),
    ("hello", "UnknownElement"),
    ("101234", "UnknownElement"),
    ("3004505491", "UnknownElement"),
    ("]C101123", "BadElement"),
    ("   ", "BadElement"),
    ("10a\x1d10b", "RepeatedElement"),
]


def printed(rule: dict[str, Any], code: int, measure: int) -> str:
    """The barcode of a label."""
    given = {name: value for name, value in rule.items() if name != "name"}
    return encode(Rule(**{**given, "measure": Measure(rule["measure"])}), code, measure)


async def put(client: AsyncClient, *rules: dict[str, Any]) -> Response:
    return await client.put("/barcodes/rules", json={"rules": list(rules)})


async def decoded(client: AsyncClient, code: str) -> Response:
    return await client.post("/barcodes/decode", json={"code": code})


async def test_rules_are_their_owners_and_stored_once(database: str) -> None:
    async with (
        open_service(database) as service,
        service.client() as anna,
        service.client(BORIS) as boris,
        service.client(tenant="other") as stranger,
    ):
        none: dict[str, Any] = {"rules": []}
        both = {"rules": [BY_WEIGHT, BY_PRICE]}
        assert (await anna.get("/barcodes/rules")).json() == none
        for _ in range(2):
            assert (await put(anna, BY_WEIGHT, BY_PRICE)).json() == both
        assert len(await service.events(BarcodeRulesSet)) == 1
        for other in (boris, stranger):
            assert (await other.get("/barcodes/rules")).json() == none
            assert (await decoded(other, printed(BY_WEIGHT, 51, 1000))).json()["kind"] == "gtin"
        assert (await put(boris, BY_PRICE)).json() == {"rules": [BY_PRICE]}
        assert (await anna.get("/barcodes/rules")).json() == both
        assert (await put(anna)).json() == none
        assert (await boris.get("/barcodes/rules")).json() == {"rules": [BY_PRICE]}


async def test_rules_are_the_same_after_they_left_the_cache(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barcode, "MOST_OWNERS", 1)
    async with (
        open_service(database) as service,
        service.client() as anna,
        service.client(BORIS) as boris,
    ):
        for client, rule in ((anna, BY_WEIGHT), (boris, BY_PRICE), (anna, BY_WEIGHT)):
            assert (await put(client, rule)).json() == {"rules": [rule]}
        for client, rule in ((anna, BY_WEIGHT), (boris, BY_PRICE)):
            assert (await client.get("/barcodes/rules")).json() == {"rules": [rule]}

        assert len(service.deps.rules) == 1


def sold(device: int, name: str, product: dict[str, Any]) -> dict[str, Any]:
    return {
        "device_id": device,
        "device": name,
        "plu": "2",
        "name": product["name"],
        "price": product["price"],
        "product_type": product.get("productType", "WEIGHT"),
    }


async def test_a_label_means_a_product_on_the_callers_scales(database: str) -> None:
    async with (
        open_devices(database, 4, 3) as (front, back),
        a_scale(4) as another,
        front.service.client(BORIS) as boris,
    ):
        anna = front.owner
        for device, name in ((front, "front"), (back, "back")):
            await device.put(name=name)
        theirs = await a_device(front.service, boris, another)
        await back.patch(2, price=123.5, name="Сыр")
        await put(anna, BY_WEIGHT, BY_PRICE)

        answer = await decoded(anna, f" {printed(BY_WEIGHT, 51, 1234)}\r\n")
        assert answer.json() == {
            "kind": "label",
            "rule": "весовой",
            "code": 51,
            "measure": "weight_g",
            "value": 1234,
            "products": [
                sold(front.number, "front", front.scale.base.products[1]),
                sold(back.number, "back", {"name": "Сыр", "price": 123.5}),
            ],
        }
        await put(boris, BY_PRICE)
        by_price = (await decoded(boris, printed(BY_PRICE, 51, 9990))).json()
        assert (by_price["measure"], by_price["value"]) == ("price_minor", 9990)
        assert [one["device_id"] for one in by_price["products"]] == [theirs.number]
        assert (await decoded(anna, printed(BY_WEIGHT, 99_999, 1))).json()["products"] == []

        before = (await decoded(anna, printed(BY_WEIGHT, 52, 1))).json()["products"]
        assert (await front.delete()).status_code == 204
        after = (await decoded(anna, printed(BY_WEIGHT, 52, 1))).json()["products"]
        assert [one["device_id"] for one in before] == [front.number, back.number]
        assert [one["device_id"] for one in after] == [back.number]


async def test_other_barcodes_are_decoded_and_misread_ones_are_422_with_a_code(
    database: str,
) -> None:
    async with open_service(database) as service, service.client() as anna:
        await put(anna, BY_WEIGHT)

        gtin = "05901234123457"
        answer = await decoded(anna, "5901234123457")
        assert answer.json() == {"kind": "gtin", "gtin": gtin}
        scanned = "]C10105901234123457" + "3103001250" + "15261100" + "3932643" + "19990\x1d10A"
        assert (await decoded(anna, scanned)).json() == {
            "kind": "elements",
            "gtin": gtin,
            "elements": {
                "01": gtin,
                "3103": "1.250",
                "15": "2026-11-30",
                "3932": {"currency": "643", "value": "199.90"},
                "10": "A",
            },
        }
        for code, why in MISREAD:
            answer = await decoded(anna, code)
            assert (answer.status_code, answer.json()["code"]) == (422, why), code
            assert code.strip() == "" or code not in answer.text
