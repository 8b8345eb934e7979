"""GTINs: what is one, what is not, and what is misread (GS1 General Specifications, 7.9)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.barcodes.faults import NotDigits, WrongCheckDigit, WrongLength
from libs.barcodes.gtin import LENGTHS, check_digit, checked, gtin14

GTINS = st.sampled_from(LENGTHS).flatmap(
    lambda length: st.text("0123456789", min_size=length - 1, max_size=length - 1)
)


@pytest.mark.parametrize(
    "code", ["96385074", "95012346", "036000291452", "5901234123457", "6291041500213"]
)
def test_numbers_of_real_goods_are_numbers(code: str) -> None:
    assert checked(code) == code


def test_the_check_digit_of_the_standards_own_example() -> None:
    assert check_digit("37610425002123456") == "9"


def test_one_item_has_one_number_of_14_digits() -> None:
    assert gtin14("036000291452") == gtin14("0036000291452") == "00036000291452"


@pytest.mark.parametrize("code", ["", "123", "590123412345", "59012341234570"[:11]])
def test_what_is_too_long_or_too_short_is_none(code: str) -> None:
    with pytest.raises((WrongLength, WrongCheckDigit, NotDigits)):
        checked(code)


def test_only_the_digits_0_to_9_count() -> None:
    """What Unicode calls a digit is none that a printer prints."""
    for code in ("590123412345X", "5901234123457 ", "٥٩٠١٢٣٤١٢٣٤٥٧"):
        with pytest.raises(NotDigits):
            checked(code)


@given(GTINS, st.data())
def test_one_misread_digit_is_always_noticed(body: str, data: st.DataObject) -> None:
    code = body + check_digit(body)
    place = data.draw(st.integers(0, len(code) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != code[place]]))

    assert checked(code) == code
    with pytest.raises(WrongCheckDigit):
        checked(code[:place] + other + code[place + 1 :])
