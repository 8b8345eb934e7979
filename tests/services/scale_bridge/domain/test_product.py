"""What a product's fields may be set to."""

from typing import Any

import pytest

from services.scale_bridge.adapters.simulator.goods import product as goods
from services.scale_bridge.domain.product import BadFields, patched

MILK = goods(4)

AS_GIVEN: list[dict[str, Any]] = [
    *({"name": name} for name in ("М", "м" * 200)),
    *({"price": price} for price in (0, 12.5)),
    *({"discountPrice": price} for price in (None, 3)),
    *({"shelfLifeInDays": 3}, {"shelfLife": 5, "shelfLifeType": "HOURS"}),
    *({"manufactureDate": "29-02-28"}, {"tare": 0.2, "pieceWeight": 1}, {"productType": "PIECE"}),
    *({"pluNumber": 77}, {"category": 2, "barcodeStructure": '{"a":1}'}),
    {"note": {"deep": [1, None, True, "x"]}},
]
GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *((fields, fields) for fields in AS_GIVEN),
    ({"shelfLife": 9.0}, {"shelfLife": 9, "shelfLifeInDays": 9}),
    ({"shelfLife": 9999}, {"shelfLife": 9999, "shelfLifeInDays": 9999}),
    ({"shelfLife": 5, "shelfLifeInDays": 3}, {"shelfLife": 5, "shelfLifeInDays": 5}),
    ({"manufactureDate": "", "sellByDate": None}, {"manufactureDate": "", "sellByDate": ""}),
    ({"pluNumber": 4}, {}),
]


@pytest.mark.parametrize(("fields", "set_"), GOOD, ids=[str(n) for n in range(len(GOOD))])
def test_good_fields_are_set_and_nothing_else(fields: dict[str, Any], set_: dict[str, Any]) -> None:
    """(R11, R13)"""
    assert patched(MILK, fields, others={"1", "2"}) == {**MILK, **set_}


BAD: list[tuple[str, Any]] = [
    *(("name", value) for value in ("", "м" * 201, 5, None, ["x"], "\ud800")),
    *(("price", value) for value in (-0.01, float("nan"), float("inf"), "12", None, True, 10**400)),
    *(("discountPrice", value) for value in (-1, "", float("nan"))),
    *(("shelfLife", value) for value in (-1, 10_000, 1.5, "5", None, True, float("inf"))),
    *(("shelfLifeInDays", value) for value in (-1, 10_000, 1.5, "5")),
    *(("shelfLifeType", value) for value in ("days", "", None, 1, ["DAYS"])),
    *(("manufactureDate", value) for value in ("31-02-26", "2026-11-21", "1-1-26", 5, "29-02-27")),
    *(("sellByDate", value) for value in ("00-01-26", "٠١-٠١-٢٦", "01-13-26", " 01-01-26")),
    *(("tare", value) for value in (-1, "0", None)),
    *(("pieceWeight", value) for value in (-1, float("nan"))),
    *(("productType", value) for value in ("piece", None)),
    *(("pluNumber", value) for value in (0, 1_000_000, 1.5, "5", None, 1, 2)),
    *(("id", 4), ("code", 53), ("deleted", False)),
    *(("", 1), ("x" * 65, 1), ("\ud800", 1), ("note", float("nan")), ("note", {"a": [1e400]})),
    ("note", {"\ud800": 1}),
]


@pytest.mark.parametrize(
    ("name", "value"),
    BAD,
    ids=[f"{n}-{name[:9].encode('ascii', 'replace').decode()}" for n, (name, _) in enumerate(BAD)],
)
def test_a_bad_field_is_named_and_nothing_is_set(name: str, value: Any) -> None:
    """(R11)"""
    with pytest.raises(BadFields) as caught:
        patched(MILK, {"price": 1, name: value}, others={"1", "2"})

    assert list(caught.value.reasons) == [name]


def test_every_bad_field_is_named_at_once() -> None:
    """(R11)"""
    with pytest.raises(BadFields) as caught:
        patched(MILK, {"price": -1, "name": "", "tare": 1}, others=())

    assert set(caught.value.reasons) == {"price", "name"}


def test_without_fields_nothing_changes() -> None:
    """(R11)"""
    assert patched(MILK, {}, others=()) is MILK


def test_a_plu_kept_as_text_stays_text() -> None:
    """(R11)"""
    assert patched({"pluNumber": "4"}, {"pluNumber": 9}, others=())["pluNumber"] == "9"
    with pytest.raises(BadFields):
        patched({"pluNumber": "4"}, {"pluNumber": 9}, others={"9"})


def test_what_becomes_days_also_sets_the_days() -> None:
    """(R13)"""
    hours = {"shelfLife": 36, "shelfLifeType": "HOURS", "shelfLifeInDays": 2}

    assert patched(hours, {"shelfLife": 40}, others=())["shelfLifeInDays"] == 2
    assert patched(hours, {"shelfLifeType": "DAYS"}, others=())["shelfLifeInDays"] == 36
    assert patched({"shelfLife": 3}, {"shelfLife": 4}, others=())["shelfLifeInDays"] == 4


def test_junk_that_was_there_is_not_copied_into_the_days() -> None:
    """(R13)"""
    junk = {"shelfLife": "many", "shelfLifeType": "HOURS"}

    assert "shelfLifeInDays" not in patched(junk, {"shelfLifeType": "DAYS"}, others=())
