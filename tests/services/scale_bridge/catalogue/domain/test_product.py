"""Edits of a product's fields (R11, R13), limits of models and problems of a catalogue (SCL-8),
and the dates on a label in the shop's time zone."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.scale_bridge.catalogue.domain import model
from services.scale_bridge.catalogue.domain.dates import format_date, is_date, refreshed, sell_by
from services.scale_bridge.catalogue.domain.problems import (
    Problem,
    RuleKind,
    beyond_model,
    problems,
)
from services.scale_bridge.catalogue.domain.product import BadFields, BeyondModel, fault_in, patched
from services.scale_bridge.driver.simulator.domain.goods import product as goods
from tests.services.scale_bridge.catalogues import a_product

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
    with pytest.raises(BadFields) as caught:
        patched(MILK, {"price": 1, name: value}, others={"1", "2"})

    assert list(caught.value.reasons) == [name]


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(BadFields) as caught:
        patched(MILK, {"price": -1, "name": "", "tare": 1}, others=())

    assert set(caught.value.reasons) == {"price", "name"}


def test_without_fields_nothing_changes() -> None:
    assert patched(MILK, {}, others=()) is MILK


def test_a_plu_kept_as_text_stays_text() -> None:
    assert patched({"pluNumber": "4"}, {"pluNumber": 9}, others=())["pluNumber"] == "9"
    with pytest.raises(BadFields):
        patched({"pluNumber": "4"}, {"pluNumber": 9}, others={"9"})


def test_an_edit_of_the_shelf_life_also_sets_the_days() -> None:
    hours = {"shelfLife": 36, "shelfLifeType": "HOURS", "shelfLifeInDays": 2}

    assert patched(hours, {"shelfLife": 40}, others=())["shelfLifeInDays"] == 2
    assert patched(hours, {"shelfLifeType": "DAYS"}, others=())["shelfLifeInDays"] == 36
    assert patched({"shelfLife": 3}, {"shelfLife": 4}, others=())["shelfLifeInDays"] == 4


def test_an_invalid_stored_shelf_life_is_not_copied_into_the_days() -> None:
    junk = {"shelfLife": "many", "shelfLifeType": "HOURS"}

    assert "shelfLifeInDays" not in patched(junk, {"shelfLifeType": "DAYS"}, others=())


SMALL = model.Limits(
    most_products=2, longest_name=5, longest_text=4, highest_plu=100, highest_price=99.99
)


def test_an_unnamed_or_unknown_model_has_no_limits() -> None:
    assert model.limits_of("") is model.limits_of("gone") is model.PERMISSIVE
    for name, value in (("name", "м" * 200), ("price", 1e300), ("pluNumber", 999_999)):
        assert model.beyond(model.PERMISSIVE, name, value) is None


@pytest.mark.parametrize("name", ["M-ER 725", "M-ER 828"])
def test_plus_have_four_bytes_or_two(name: str) -> None:
    """(§3)"""
    assert model.MODELS[name].highest_plu == 999_999
    short = model.MODELS[f"{name}, 2-byte PLU"]
    assert (short.lowest_plu, short.highest_plu) == (1, 65_535)
    for plu in (65_536, "65536"):
        assert model.beyond(short, "pluNumber", plu) == "this model takes PLUs from 1 to 65535"
    assert model.beyond(short, "pluNumber", "9" * 5000) is not None


@pytest.mark.parametrize(
    ("name", "fits", "too_much"),
    [
        *(("name", "м" * 5, "м" * 6), ("pluNumber", 100, 101)),
        *(("price", 99.99, 100), ("discountPrice", 99.99, 99.995)),
    ],
)
def test_each_limit_is_the_last_that_fits(name: str, fits: Any, too_much: Any) -> None:
    product = a_product(1)
    assert patched(product, {name: fits}, others=(), limits=SMALL)[name] == fits

    with pytest.raises(BeyondModel) as caught:
        patched(product, {name: too_much, "tare": 1}, others=(), limits=SMALL)
    assert list(caught.value.reasons) == [name]
    assert "this model takes" in caught.value.reasons[name]


def test_an_invalid_field_is_not_reported_as_beyond_the_model() -> None:
    with pytest.raises(BadFields) as caught:
        patched(a_product(1), {"price": -1, "name": "longer"}, others=(), limits=SMALL)
    assert not isinstance(caught.value, BeyondModel)
    assert caught.value.reasons.keys() == {"price", "name"}


def test_unchanged_fields_may_exceed_the_limits() -> None:
    """(§1.4: the client sends all fields, also unchanged ones)"""
    product = a_product(1, name="longer than five", price=1000)
    fields = {"name": "longer than five", "price": 1000, "shelfLife": 9}

    assert patched(product, fields, others=(), limits=SMALL)["shelfLife"] == 9


@pytest.mark.parametrize(("name", "value"), [("name", 5), ("price", "x"), ("pluNumber", "x")])
def test_limits_ignore_values_of_other_types(name: str, value: Any) -> None:
    assert model.beyond(SMALL, name, value) is None


def test_problems_name_plu_field_and_rule() -> None:
    document = {
        "products": [
            a_product(1, name="longer", price="12"),
            a_product(2, pluNumber="7", sellByDate="31-02-26", id=None, code=-1),
            a_product(3, pluNumber=7),
            a_product(4, pluNumber=101, deleted="?"),
        ],
        "messages": [{"id": 3, "value": "milk, salt"}, {"id": 4, "value": "salt"}, "?", {}],
    }

    listed = [(one.plu, one.field, one.rule) for one in problems(document, SMALL)]

    assert listed == [
        ("", "products", RuleKind.MODEL),
        ("", "messages.3", RuleKind.MODEL),
        ("1", "name", RuleKind.MODEL),
        ("1", "price", RuleKind.FIELD),
        ("7", "pluNumber", RuleKind.UNIQUE),
        ("7", "sellByDate", RuleKind.FIELD),
        ("7", "pluNumber", RuleKind.UNIQUE),
        ("101", "pluNumber", RuleKind.MODEL),
    ]


def test_a_good_catalogue_has_no_problems() -> None:
    document = {"products": [a_product(1), a_product(2)], "messages": "?"}

    assert problems(document, SMALL) == []
    assert fault_in("pluNumber", "0007") is None
    assert fault_in("pluNumber", "9" * 5000) == "must be a whole number from 1 to 999999"


def test_only_changed_values_are_checked_against_the_limits() -> None:
    before = {
        "products": [a_product(n, name="longer", price=1000) for n in (1, 2, 3)],
        "messages": [{"id": 1, "value": "milk, salt"}],
    }
    assert list(beyond_model(before, SMALL, before=before)) == []

    after = {**before, "products": [a_product(1, name="longer", price=1001)]}
    assert list(beyond_model(after, SMALL, before=before)) == [
        Problem(plu="1", field="price", rule=RuleKind.MODEL, why="this model takes 99.99 at most")
    ]


def test_the_table_is_flat_and_has_the_models_of_the_driver() -> None:
    assert {"M-ER 725", "M-ER 727", "M-ER 828"} <= model.MODELS.keys()
    assert all(isinstance(limits, model.Limits) for limits in model.MODELS.values())
    assert model.MODELS["M-ER 725, 2-byte PLU"] == model.TWO_BYTES


MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=MOSCOW)

LIVES: list[tuple[dict[str, Any], str | None]] = [
    *(({"shelfLife": life}, "01-12-26") for life in (10, 10.0, "10")),
    *(({"shelfLife": 0}, "21-11-26"), ({"shelfLife": 9999}, "07-04-54")),
    ({"shelfLife": 10, "shelfLifeType": "DAYS", "shelfLifeInDays": 3}, "01-12-26"),
    ({"shelfLife": 10, "shelfLifeType": None}, "01-12-26"),
    ({"shelfLife": 11, "shelfLifeType": "HOURS"}, "21-11-26"),
    ({"shelfLife": 12, "shelfLifeType": "HOURS"}, "22-11-26"),
    ({"shelfLifeInDays": 2}, "23-11-26"),
    *(({"shelfLife": life, "shelfLifeInDays": 2}, "23-11-26") for life in (None, "x")),
    ({"shelfLifeType": "HOURS", "shelfLifeInDays": 2}, "23-11-26"),
    ({"shelfLife": 5, "shelfLifeType": "MONTHS", "shelfLifeInDays": 2}, "23-11-26"),
    *(({"shelfLife": life}, None) for life in (None, "soon", True, -1, 10**30, float("nan"), [1])),
    ({}, None),
]


@pytest.mark.parametrize(("product", "end"), LIVES, ids=[str(life) for life, _ in LIVES])
def test_a_product_is_sold_until_the_end_of_its_shelf_life(
    product: dict[str, Any], end: str | None
) -> None:
    day = sell_by(product, NOON)

    assert (format_date(day) if day else None) == end


def test_only_the_two_dates_change_and_unusable_shelf_lives_are_skipped() -> None:
    lots = [{"id": 1, "manufactureDate": "01-01-20"}]
    bad = {"pluNumber": 2, "shelfLife": "soon", "sellByDate": "01-01-20"}
    document = {
        "lotsOfProduct": lots,
        "products": [{"pluNumber": 1, "shelfLife": 1, "x": [1]}, bad, {"shelfLifeInDays": 0}],
    }

    dated = refreshed(document, NOON)

    today = {"manufactureDate": "21-11-26", "sellByDate": "21-11-26"}
    assert dated.document == {
        "lotsOfProduct": lots,
        "products": [
            {"pluNumber": 1, "shelfLife": 1, "x": [1], **today, "sellByDate": "22-11-26"},
            bad,
            {"shelfLifeInDays": 0, **today},
        ],
    }
    assert (dated.changed, dated.left_alone) == (2, 1)
    again = refreshed(dated.document, NOON)
    assert (again.document, again.changed) == (dated.document, 0)


def test_today_is_the_day_in_the_shops_time_zone() -> None:
    late = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)

    shop = refreshed({"products": [{"shelfLife": 0}]}, late.astimezone(MOSCOW))
    server = refreshed({"products": [{"shelfLife": 0}]}, late)

    assert shop.document["products"][0]["sellByDate"] == "21-11-26"
    assert server.document["products"][0]["sellByDate"] == "20-11-26"


def test_an_hour_is_an_hour_when_clocks_change() -> None:
    before = datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN)

    assert sell_by({"shelfLife": 24, "shelfLifeType": "HOURS"}, before) == date(2026, 10, 25)
    assert sell_by({"shelfLife": 25, "shelfLifeType": "HOURS"}, before) == date(2026, 10, 26)


@pytest.mark.parametrize(
    ("text", "real"),
    [("29-02-28", True), ("29-02-27", False), ("31-12-99", True), ("1-1-26", False), ("", False)],
)
def test_a_date_is_a_real_day_with_two_digits_each(text: str, real: bool) -> None:
    assert is_date(text) is real
