"""What each model of scale can hold, and what of a catalogue it cannot (SCL-8)."""

from typing import Any

import pytest

from services.scale_bridge.domain import model
from services.scale_bridge.domain.problems import Problem, Rule, beyond_model, problems
from services.scale_bridge.domain.product import BadFields, BeyondModel, fault_in, patched
from tests.services.scale_bridge.copies import a_product

SMALL = model.Limits(
    most_products=2, longest_name=5, longest_text=4, highest_plu=100, highest_price=99.99
)


def test_a_model_nobody_named_or_knows_allows_all_that_is_allowed() -> None:
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


def test_a_field_that_is_wrong_anyhow_is_no_matter_of_the_model() -> None:
    with pytest.raises(BadFields) as caught:
        patched(a_product(1), {"price": -1, "name": "longer"}, others=(), limits=SMALL)
    assert not isinstance(caught.value, BeyondModel)
    assert caught.value.reasons.keys() == {"price", "name"}


def test_what_the_scale_has_already_may_be_sent_along() -> None:
    """(§1.4: the client sends every field, also those that nobody changed)"""
    product = a_product(1, name="longer than five", price=1000)
    fields = {"name": "longer than five", "price": 1000, "shelfLife": 9}

    assert patched(product, fields, others=(), limits=SMALL)["shelfLife"] == 9


@pytest.mark.parametrize(("name", "value"), [("name", 5), ("price", "x"), ("pluNumber", "x")])
def test_of_other_types_a_limit_says_nothing(name: str, value: Any) -> None:
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

    found = [(one.plu, one.field, one.rule) for one in problems(document, SMALL)]

    assert found == [
        ("", "products", Rule.MODEL),
        ("", "messages.3", Rule.MODEL),
        ("1", "name", Rule.MODEL),
        ("1", "price", Rule.FIELD),
        ("7", "pluNumber", Rule.UNIQUE),
        ("7", "sellByDate", Rule.FIELD),
        ("7", "pluNumber", Rule.UNIQUE),
        ("101", "pluNumber", Rule.MODEL),
    ]


def test_a_good_catalogue_has_no_problems() -> None:
    document = {"products": [a_product(1), a_product(2)], "messages": "?"}

    assert problems(document, SMALL) == []
    assert fault_in("pluNumber", "0007") is None
    assert fault_in("pluNumber", "9" * 5000) == "must be a whole number from 1 to 999999"


def test_only_what_was_not_there_before_counts() -> None:
    before = {
        "products": [a_product(n, name="longer", price=1000) for n in (1, 2, 3)],
        "messages": [{"id": 1, "value": "milk, salt"}],
    }
    assert list(beyond_model(before, SMALL, before=before)) == []

    after = {**before, "products": [a_product(1, name="longer", price=1001)]}
    assert list(beyond_model(after, SMALL, before=before)) == [
        Problem(plu="1", field="price", rule=Rule.MODEL, why="this model takes 99.99 at most")
    ]


def test_the_table_is_flat_and_has_the_models_of_the_driver() -> None:
    assert {"M-ER 725", "M-ER 727", "M-ER 828"} <= model.MODELS.keys()
    assert all(isinstance(limits, model.Limits) for limits in model.MODELS.values())
    assert model.MODELS["M-ER 725, 2-byte PLU"] == model.TWO_BYTES
