"""Labels of variable measure: code, measure and check digits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.barcodes.faults import BadRule, DoesNotFit, WrongCheckDigit
from libs.barcodes.gtin import check_digit
from libs.barcodes.measured import (
    PREFIXES,
    Measure,
    MeasuredItem,
    Rule,
    decode,
    encode,
    measure_check_digit,
    overlapping,
)

BY_WEIGHT = Rule(prefix="20", code_digits=5, measure=Measure.WEIGHT_G, measure_digits=5)
BY_PRICE = Rule(
    prefix="02",
    code_digits=5,
    measure=Measure.PRICE_MINOR,
    measure_digits=4,
    price_check_digit=True,
)


@st.composite
def rules(draw: st.DrawFn, prefix: str | None = None) -> Rule:
    """Any valid rule."""
    begins = draw(st.sampled_from(PREFIXES)) if prefix is None else prefix
    more = "" if prefix is not None else draw(st.text("0123456789", max_size=3))
    room = 12 - len(begins) - len(more)
    with_digit = draw(st.booleans())
    digits = draw(st.sampled_from((4, 5)) if with_digit else st.integers(1, room - 1))
    return Rule(
        prefix=begins + more,
        code_digits=room - digits - with_digit,
        measure=draw(st.sampled_from(Measure)),
        measure_digits=digits,
        price_check_digit=with_digit,
    )


@st.composite
def labels(draw: st.DrawFn) -> tuple[Rule, int, int]:
    """A rule with a code and a measure that fit."""
    rule = draw(rules())
    code = draw(st.integers(0, 10**rule.code_digits - 1))
    return rule, code, draw(st.integers(0, 10**rule.measure_digits - 1))


@given(labels())
def test_an_encoded_label_is_decoded_back(label: tuple[Rule, int, int]) -> None:
    rule, code, measure = label
    barcode = encode(rule, code, measure)

    assert len(barcode) == 13
    assert decode([rule], barcode) == MeasuredItem(
        code=code, measure=rule.measure, value=measure, rule=rule
    )


@given(labels(), st.data())
def test_a_misread_digit_is_refused_or_changes_the_prefix(
    label: tuple[Rule, int, int], data: st.DataObject
) -> None:
    rule, code, measure = label
    barcode = encode(rule, code, measure)
    place = data.draw(st.integers(0, 12))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != barcode[place]]))
    misread = barcode[:place] + other + barcode[place + 1 :]

    if place < len(rule.prefix):
        assert decode([rule], misread) is None
    else:
        with pytest.raises(WrongCheckDigit):
            decode([rule], misread)


@given(labels(), st.data())
def test_a_check_digit_of_the_measure_is_verified(
    label: tuple[Rule, int, int], data: st.DataObject
) -> None:
    """Two misread digits may satisfy the last check digit, but not this one."""
    rule, code, measure = label
    if not rule.price_check_digit:
        return
    body = encode(rule, code, measure)[:-1]
    place = data.draw(st.integers(len(body) - rule.measure_digits, len(body) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != body[place]]))
    body = body[:place] + other + body[place + 1 :]

    with pytest.raises(WrongCheckDigit):
        decode([rule], body + check_digit(body))


@given(st.data(), st.integers(0, 9))
def test_the_longest_prefix_wins(data: st.DataObject, more: int) -> None:
    short = data.draw(rules(prefix="21"))
    long = data.draw(rules(prefix=f"21{more}"))
    order = data.draw(st.permutations([short, long, BY_WEIGHT]))
    read = decode(order, encode(long, 1, 2))

    assert read is not None
    assert (read.rule, read.code, read.value) == (long, 1, 2)
    assert overlapping(short, long)
    assert overlapping(long, short)
    assert not overlapping(short, BY_WEIGHT)


def test_a_label_by_weight_and_one_by_price() -> None:
    assert encode(BY_WEIGHT, 150, 1234) == "2000150012340"
    assert encode(BY_PRICE, 150, 2875) == "0200150928753"


def test_the_standards_examples_of_measure_check_digits() -> None:
    assert (measure_check_digit("2875"), measure_check_digit("14685")) == ("9", "6")
    for wrong in ("287", "146850", "28a5"):
        with pytest.raises(DoesNotFit):
            measure_check_digit(wrong)


def test_a_upc_a_is_read_with_a_leading_zero() -> None:
    barcode = encode(BY_PRICE, 7, 1999)

    assert decode([BY_PRICE], barcode[1:]) == decode([BY_PRICE], barcode)


@pytest.mark.parametrize("code", ["", "5901234123457", "100015001234", "200015001234X", "2" * 14])
def test_a_barcode_without_a_matching_rule_is_not_decoded(code: str) -> None:
    assert decode([BY_WEIGHT, BY_PRICE], code) is None


def test_a_value_with_too_many_digits_is_not_encoded() -> None:
    for code, measure in ((100_000, 1), (1, 100_000), (-1, 1), (1, -1)):
        with pytest.raises(DoesNotFit):
            encode(BY_WEIGHT, code, measure)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": "19"},
        {"prefix": ""},
        {"prefix": "2x"},
        {"prefix": "²0"},
        {"code_digits": 0, "measure_digits": 10},
        {"code_digits": 6},
        {"code_digits": 11, "measure_digits": -1},
        {"price_check_digit": True},
        {"price_check_digit": True, "measure_digits": 6, "code_digits": 3},
    ],
)
def test_an_impossible_rule_is_refused(wrong: dict[str, Any]) -> None:
    given = {"prefix": "20", "code_digits": 5, "measure": Measure.COUNT, "measure_digits": 5}
    with pytest.raises(BadRule):
        Rule(**{**given, **wrong})
