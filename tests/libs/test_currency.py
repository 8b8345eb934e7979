"""Minor units are ISO 4217's, and what has none is no currency to sell in."""

import pytest
from iso4217 import raw_table

from libs.currency import UnknownCurrency, minor_unit_digits


def test_every_currency_has_the_decimal_places_of_the_standard() -> None:
    published = {
        code: int(str(entry["CcyMnrUnts"]))
        for code, entry in raw_table.items()
        if str(entry["CcyMnrUnts"]).isdigit()
    }

    assert {code: minor_unit_digits(code) for code in published} == published


@pytest.mark.parametrize(
    ("code", "digits"),
    [
        *[("RUB", 2), ("CLP", 0), ("XOF", 0), ("JOD", 3), ("CLF", 4), ("MGA", 2)],
        # Daily life, and so CLDR, has other ones.
        *[("IQD", 3), ("LBP", 2), ("HUF", 2)],
    ],
)
def test_a_currency_without_two_decimal_places_is_no_exception(code: str, digits: int) -> None:
    assert minor_unit_digits(code) == digits


@pytest.mark.parametrize("code", ["", "RUR", "ABC", "rub", "RUB ", "643", "XAU", "XXX"])
def test_what_has_no_minor_unit_is_refused(code: str) -> None:
    with pytest.raises(UnknownCurrency):
        minor_unit_digits(code)
