"""GTINs and GS1 element strings: valid ones are parsed, all others refused
(GS1 General Specifications; 7.9 has the check digits)."""

import re
from datetime import date
from decimal import Decimal

import pytest
from biip.gs1_application_identifiers import _GS1_APPLICATION_IDENTIFIERS as OTHERS
from hypothesis import given
from hypothesis import strategies as st

from libs.barcodes.elements import SEPARATOR, SYMBOLOGIES, Amount, read
from libs.barcodes.faults import (
    BadBarcode,
    BadElement,
    NotDigits,
    RepeatedElement,
    UnknownElement,
    WrongCheckDigit,
    WrongLength,
)
from libs.barcodes.gtin import LENGTHS, check_digit, checked, gtin14
from libs.barcodes.identifiers import IDENTIFIERS, identifier_at

TODAY = date(2026, 11, 21)
GTIN = "04600000000015"


def parsed(text: str) -> dict[str, object]:
    """The text of a scanner that adds the symbology identifier."""
    return dict(read(f"]C1{text}", today=TODAY))


def test_a_label_with_everything_on_it() -> None:
    parts = ("01", GTIN, "3103", "001250", "15", "261201", "10", "A-7", SEPARATOR)
    last = ("393", "2", "643", "19990", SEPARATOR, "21", "x/9")

    assert parsed("".join(parts + last)) == {
        "01": GTIN,
        "3103": Decimal("1.250"),
        "15": date(2026, 12, 1),
        "10": "A-7",
        "3932": Amount("643", Decimal("199.90")),
        "21": "x/9",
    }


def test_a_box_with_a_number_of_pieces() -> None:
    assert parsed(f"02{GTIN}37{12}{SEPARATOR}3922{450}") == {
        "02": GTIN,
        "37": 12,
        "3922": Decimal("4.50"),
    }
    assert parsed(f"30{8}") == {"30": 8}


@pytest.mark.parametrize(
    ("digits", "day"),
    [
        ("261100", date(2026, 11, 30)),
        ("280200", date(2028, 2, 29)),
        ("270228", date(2027, 2, 28)),
        ("760101", date(2076, 1, 1)),
        ("770101", date(1977, 1, 1)),
        ("991231", date(1999, 12, 31)),
    ],
)
def test_a_two_digit_year_is_the_nearest_and_day_00_the_last_of_the_month(
    digits: str, day: date
) -> None:
    for identifier in ("11", "13", "15", "17"):
        assert parsed(f"{identifier}{digits}") == {identifier: day}


def test_a_date_may_lie_in_the_next_century() -> None:
    assert read("]d217010101", today=date(2099, 1, 1)) == {"17": date(2101, 1, 1)}


def test_unnecessary_separators_are_ignored() -> None:
    text = f"{SEPARATOR}01{GTIN}{SEPARATOR}10A{SEPARATOR}"

    assert parsed(text) == parsed(f"01{GTIN}10A") == {"01": GTIN, "10": "A"}


def test_a_repeated_element_must_have_the_same_value() -> None:
    assert parsed(f"10A{SEPARATOR}10A") == {"10": "A"}
    with pytest.raises(RepeatedElement):
        parsed(f"10A{SEPARATOR}10B")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", BadElement),
        (SEPARATOR, BadElement),
        ("hello", UnknownElement),
        ("310", UnknownElement),
        ("310x001250", UnknownElement),
        ("00123", BadElement),
        ("00376104250021234568", WrongCheckDigit),
        ("31060012", BadElement),
        (f"01{GTIN[:-1]}4", WrongCheckDigit),
        (f"8006{GTIN[:-1]}40102", WrongCheckDigit),
        ("7006261100", BadElement),
        ("7007261101261301", BadElement),
        ("44", BadElement),
        ("44" + "A" * 91, BadElement),
        ("422RUS", BadElement),
        ("01123", BadElement),
        ("17261301", BadElement),
        ("17260231", BadElement),
        ("17260001", BadElement),
        ("17２６0101", BadElement),
        ("3103 01250", BadElement),
        ("3932643", BadElement),
        ("3932RUB100", BadElement),
        ("10", BadElement),
        ("10" + "A" * 21, BadElement),
        ("10Ж", BadElement),
        ("30123456789", BadElement),
        (f"10{SEPARATOR}21A", BadElement),
    ],
)
def test_an_invalid_barcode_is_refused_without_repeating_its_text(
    text: str, fault: type[BadBarcode]
) -> None:
    with pytest.raises(fault) as refused:
        parsed(text)

    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("mark", [*SYMBOLOGIES, SEPARATOR])
def test_a_marked_text_is_read(mark: str) -> None:
    assert read(f"{mark}101234", today=TODAY) == {"10": "1234"}


@pytest.mark.parametrize("mark", ["", "]C0", "]E0", "]d1", "]Q1", "]X1"])
@pytest.mark.parametrize(
    "text", ["3004505491", "101234", f"01{GTIN}", "00376104250021234569", "5901234123457", "91A"]
)
def test_an_unmarked_text_is_refused(mark: str, text: str) -> None:
    with pytest.raises(UnknownElement, match="not marked") as refused:
        read(mark + text, today=TODAY)

    assert text not in str(refused.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for marked in (text, f"]C1{text}", f"{SEPARATOR}{text}"):
        try:
            assert read(marked, today=TODAY)
        except BadBarcode:
            continue


def test_the_weight_after_a_signature_is_read() -> None:
    text = f"01{GTIN}215Qbag!{SEPARATOR}93Zjqw{SEPARATOR}3103000353"

    assert read(text, today=TODAY) == {
        "01": GTIN,
        "21": "5Qbag!",
        "93": "Zjqw",
        "3103": Decimal("0.353"),
    }


@pytest.mark.parametrize(
    ("text", "identifier", "value"),
    [
        ("00376104250021234569", "00", "376104250021234569"),
        ("22A2", "22", "A2"),
        ("240REF/1", "240", "REF/1"),
        ("713123", "713", "123"),
        ("91EE06", "91", "EE06"),
        ("92dGVz+dA==", "92", "dGVz+dA=="),
        ("16261100", "16", date(2026, 11, 30)),
        ("7006261101", "7006", date(2026, 11, 1)),
        ("7007261101261103", "7007", "261101261103"),
        ("70032611011530", "7003", "2611011530"),
        ("3302001250", "3302", Decimal("12.50")),
        ("39011999", "3901", Decimal("199.9")),
        ("39406430", "3940", Decimal(6430)),
        ("391264319990", "3912", Amount("643", Decimal("199.90"))),
        ("422643", "422", "643"),
        ("4307KZ", "4307", "KZ"),
        # GS1 has not assigned these (yet).
        ("4499x", "44", "99x"),
        ("4340ab", "4340", "ab"),
        ("7999z", "79", "99z"),
    ],
)
def test_every_identifier_is_read_among_any_others(
    text: str, identifier: str, value: object
) -> None:
    for around in (f"{text}", f"{text}{SEPARATOR}10A", f"10A{SEPARATOR}{text}{SEPARATOR}37{4}"):
        elements = parsed(around)
        assert elements[identifier] == value
        assert set(elements) <= {identifier, "10", "37"}


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("3106001250", {"3106": "001250"}),
        ("18261101", {"18": "261101"}),
        ("4184600000000015", {"418": "4600000000015"}),
    ],
)
def test_an_unassigned_identifier_of_predefined_length_ends_by_itself(
    text: str, elements: dict[str, object]
) -> None:
    assert parsed(f"{text}10A") == elements | {"10": "A"}


LOOSER = {"30", "7004", "8003", "8010", "7258", *(f"433{digit}" for digit in range(4))}
"""Here the other list allows nothing behind the identifier, or we leave a part unchecked."""
ESCAPED = {digits for digits, other in OTHERS.items() if "|%[" in other.pattern}
"""The other list counts `%2B` here as one character; the standard's file counts three."""


def test_the_identifiers_are_those_of_other_implementations() -> None:
    assert set(IDENTIFIERS) == set(OTHERS)
    for digits, ours in IDENTIFIERS.items():
        theirs = re.compile(OTHERS[digits].pattern)
        lengths = [bool(theirs.fullmatch(digits + "1" * length)) for length in range(100)]
        assert OTHERS[digits].separator_required == (ours.length is None), digits
        if digits not in LOOSER:
            assert [bool(ours.pattern.fullmatch("1" * n)) for n in range(100)] == lengths, digits


@given(st.data(), st.sampled_from(sorted(set(OTHERS) - LOOSER - ESCAPED)))
def test_values_accepted_by_other_implementations_are_accepted(
    data: st.DataObject, digits: str
) -> None:
    text = data.draw(st.from_regex(re.compile(OTHERS[digits].pattern, re.ASCII), fullmatch=True))
    found = identifier_at(text)

    assert found is not None
    assert found.digits == digits
    assert found.pattern.fullmatch(text.removeprefix(digits))


@given(
    st.text("0123456789", min_size=13, max_size=13),
    st.integers(0, 999_999),
    st.integers(0, 5),
    st.dates(date(1980, 1, 1), date(2070, 12, 31)),
    st.text("ABCxyz019-/", min_size=1, max_size=20),
)
def test_a_written_element_string_is_read_back(
    body: str, grams: int, places: int, day: date, batch: str
) -> None:
    gtin = body + check_digit(body)
    text = f"10{batch}{SEPARATOR}01{gtin}310{places}{grams:06}17{day:%y%m%d}"

    assert parsed(text) == {
        "10": batch,
        "01": gtin,
        f"310{places}": Decimal(grams).scaleb(-places),
        "17": day,
    }


GTINS = st.sampled_from(LENGTHS).flatmap(
    lambda length: st.text("0123456789", min_size=length - 1, max_size=length - 1)
)


@pytest.mark.parametrize(
    "code", ["96385074", "95012346", "036000291452", "5901234123457", "6291041500213"]
)
def test_gtins_of_real_goods_are_valid(code: str) -> None:
    assert checked(code) == code


def test_the_standards_example_and_the_gtin_of_14_digits() -> None:
    assert check_digit("37610425002123456") == "9"
    assert gtin14("036000291452") == gtin14("0036000291452") == "00036000291452"


@pytest.mark.parametrize("code", ["", "123", "590123412345", "59012341234570"[:11]])
def test_a_wrong_length_is_refused(code: str) -> None:
    with pytest.raises((WrongLength, WrongCheckDigit, NotDigits)):
        checked(code)


def test_only_the_digits_0_to_9_count() -> None:
    """Other digits of Unicode do not count."""
    for code in ("590123412345X", "5901234123457 ", "٥٩٠١٢٣٤١٢٣٤٥٧"):
        with pytest.raises(NotDigits):
            checked(code)


@given(GTINS, st.data())
def test_one_misread_digit_is_always_detected(body: str, data: st.DataObject) -> None:
    code = body + check_digit(body)
    place = data.draw(st.integers(0, len(code) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != code[place]]))

    assert checked(code) == code
    with pytest.raises(WrongCheckDigit):
        checked(code[:place] + other + code[place + 1 :])
