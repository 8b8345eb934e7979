"""Texts and times of cells, and the escaping of texts."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.export.cells import (
    LONGEST,
    escape_formula,
    is_truncated,
    truncated,
    unescape_formula,
    unwrap_barcode,
    wrap_barcode,
)
from services.ingest.imports.domain.spreadsheet import (
    DAY_ZERO,
    Cell,
    Lost,
    Unfit,
    code_of,
    is_blank,
    moment_of,
    text_of,
)
from tests.services.ingest.history import ZONE

BERLIN = ZoneInfo("Europe/Berlin")


def moment(cell: Cell, zone: ZoneInfo = ZONE) -> datetime:
    return moment_of(cell, "ts", zone=zone, day_zero=DAY_ZERO)


@pytest.mark.parametrize(
    "cell",
    [
        "31.10.2025 08:02:05",
        " 31.10.2025 8:02:05 ",
        "31.10.2025, 08:02:05",
        "2025-10-31 08:02:05",
        "2025-10-31T08:02:05",
        "2025-10-31T08:02:05+03:00",
        "2025-10-31T05:02:05Z",
        "2025-10-31T05:02:05.000Z",
        datetime.fromisoformat("2025-10-31 08:02:05"),
        45961 + (8 * 3600 + 2 * 60 + 5) / 86_400,
        1_761_886_925_000,
        "1761886925000",
    ],
    ids=repr,
)
def test_every_format_of_a_time_is_read_as_moscow_time(cell: Cell) -> None:
    assert moment(cell) == datetime(2025, 10, 31, 5, 2, 5, tzinfo=UTC)


def test_day_and_month_are_never_swapped() -> None:
    assert moment("05.11.2025 00:30:00") == datetime(2025, 11, 4, 21, 30, tzinfo=UTC)


@pytest.mark.parametrize("cell", ["27.11.2026 9:01", " 27.11.2026, 09:01", "2026-11-27T09:01"])
def test_a_time_without_seconds_is_refused(cell: Cell) -> None:
    with pytest.raises(Unfit) as unfit:
        moment(cell)

    assert unfit.value.code == "lost_seconds"


def test_in_its_own_history_moscow_was_not_always_three_hours_ahead() -> None:
    assert moment("01.07.2012 12:00:00") == datetime(2012, 7, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "cell",
    ["вчера", "31.10.2025", "2025-10-31", "31.02.2026 08:02:05", "10/31/2025 08:02:05",
     "31.10.25 08:02:05", "31.10.2025 25:02:05", "2025-10-31T08:02:05 Moscow", "1761887",
     "٣١.١٠.٢٠٢٥ 08:02:05", "99.99.9999 99:99:99", "01.01.0001 00:00:00", 1_761_886_925, -5, 0.25,
     float("nan"), float("inf"), True, "", None, Lost("is a formula")],
    ids=repr,
)  # fmt: skip
def test_a_value_that_is_no_time_is_refused(cell: Cell) -> None:
    with pytest.raises(Unfit) as unfit:
        moment(cell)

    assert unfit.value.code == "bad_time"


def test_a_repeated_hour_is_the_first_one_and_a_skipped_one_is_refused() -> None:
    assert moment("26.10.2025 02:30:00", BERLIN) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert moment("2025-10-26T02:30:00+01:00", BERLIN) == datetime(2025, 10, 26, 1, 30, tzinfo=UTC)
    with pytest.raises(Unfit) as unfit:
        moment("30.03.2025 02:30:00", BERLIN)
    assert unfit.value.code == "no_such_time"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (2042469234860, "2042469234860"),
        (2042469234860.0, "2042469234860"),
        (1152921504606846977, "1152921504606846977"),
        (0, "0"),
        (500_000_000_017, "500000000017"),
        (1_234_567_890_123_450_001, "1234567890123450001"),
        ("0042", "0042"),
        (" a ", " a "),
        (None, ""),
    ],
)
def test_all_digits_of_a_number_and_all_letters_of_a_text_are_read(cell: Cell, text: str) -> None:
    assert text_of(cell, "code", escaped=False) == text
    assert code_of(cell, escaped=True) == text


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (datetime.fromisoformat("2025-12-05"), "became_a_date"),
        (Lost("is the error #REF!"), "no_value"),
        (1.2345678901234567e19, "lost_digits"),
        (float("inf"), "lost_digits"),
        (float("nan"), "lost_digits"),
        (1_234_567_890_123_450, "lost_digits"),
        (460_000_000_012_345_000, "lost_digits"),
        (5e12, "lost_digits"),
        (5_012_350_000_000, "lost_digits"),
        (12.5, "became_a_number"),
        (0.00001, "became_a_number"),
        (True, "became_a_truth_value"),
    ],
)
def test_a_spoilt_value_is_refused(cell: Cell, code: str) -> None:
    with pytest.raises(Unfit) as unfit:
        text_of(cell, "box", escaped=False)

    assert unfit.value.code == code


@pytest.mark.parametrize(
    "cell",
    ["2.04247E+12", "2,04247E+12", "5E+12", "5e-05", "1234567890123450", "460000000012345000",
     "5000000000000", "4600000000017,00", "4600000000017.0", "4 600 000 000 017",
     "4\xa0600\xa0000\xa0000\xa0017", "#REF!", "#Н/Д", "########"],
    ids=ascii,
)  # fmt: skip
def test_a_bare_code_in_a_csv_that_may_be_rounded_is_refused(cell: str) -> None:
    with pytest.raises(Unfit) as unfit:
        code_of(cell, escaped=True)

    assert unfit.value.code == "lost_digits"
    assert code_of(f'="{cell}"', escaped=True) == cell
    assert code_of(cell, escaped=False) == cell


@pytest.mark.parametrize(
    "code", ["4600000000017", "00012345678901234500", "123456789012345678", "12E5", "-", "1 000"]
)
def test_any_other_bare_code_is_the_code(code: str) -> None:
    assert code_of(code, escaped=True) == code


def test_texts_are_unescaped_only_in_an_escaped_table() -> None:
    assert text_of("'=1+1", "box", escaped=True) == "=1+1"
    assert text_of("'=1+1", "box", escaped=False) == "'=1+1"
    assert text_of("'tis", "box", escaped=True) == "'tis"
    assert code_of('="20""42"', escaped=True) == '20"42'
    assert code_of('="20""42"', escaped=False) == '="20""42"'


def test_a_cell_of_space_is_blank() -> None:
    blank: list[Cell] = [None, "", " \t\xa0\n"]
    full: list[Cell] = [0, False, "0", Lost("is a formula")]

    assert [is_blank(cell) for cell in blank + full] == [True] * 3 + [False] * 4


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text(
    "'=+-@\t\r\n\" ,;:|a1"
)


def test_a_text_that_begins_like_a_formula_gets_an_apostrophe() -> None:
    for first in "=+-@\t\r\n＝＋－＠":
        assert escape_formula(f"{first}1+1").startswith(f"'{first}")
    for text in ("", "ivancov/8", "a=1", "a@b", "5-7", "a - b", "с +7 999 до -5 ", "'", "'quoted'",
                 "—", "🌻", "<b>", "it's"):  # fmt: skip
        assert escape_formula(text) == unescape_formula(text) == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("x,=1", "x,'=1"),
        ("x;@A1", "x;'@A1"),
        ("x,'=1", "x,''=1"),
        ("x, -1+1", "x,' '-1+1"),
        ("x\n=1", "x\n'=1"),
        ("x|=1", "x|'=1"),
        ("x =1", "x '=1"),
        ("x:-1", "x:'-1"),
        ('x,"=1"', 'x,"\'=1"'),
    ],
)
def test_a_formula_behind_a_possible_separator_gets_an_apostrophe(text: str, cell: str) -> None:
    assert escape_formula(text) == cell
    assert unescape_formula(cell) == text
    assert wrap_barcode(text) == '="{}"'.format(cell.replace('"', '""'))


def test_an_apostrophe_of_the_text_is_read_back() -> None:
    assert escape_formula("'=1") == "''=1"
    assert unescape_formula("''=1") == "'=1"


def test_a_barcode_is_a_formula_that_yields_a_text() -> None:
    assert wrap_barcode("2042469234860") == '="2042469234860"'
    assert wrap_barcode('1"&A1&"') == '="1""&A1&"""'
    assert wrap_barcode("") == ""
    for cell in ("2042469234860", '="1"+1', '="1""', "=1", ""):  # without the wrapper
        assert unwrap_barcode(cell) == cell


@given(TEXTS)
def test_every_text_is_read_back_and_no_cell_is_a_formula(text: str) -> None:
    cell, code = escape_formula(text), wrap_barcode(text)

    assert unescape_formula(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r"))
    assert unwrap_barcode(code) == text
    assert '"' not in code[2:-1].replace('""', "")


@given(st.integers(0, 3), st.sampled_from(["x", "🌻", "x🌻"]))
def test_a_truncated_text_ends_with_its_length(more: int, letter: str) -> None:
    units = len(letter.encode("utf-16-le")) // 2
    longest, text = LONGEST // units, letter * (LONGEST // units + more)

    cell = truncated(text)

    assert len(cell.encode("utf-16-le")) // 2 <= LONGEST
    assert is_truncated(cell) == (more > 0)
    assert more or truncated(letter * longest) == letter * longest
    if more:
        assert f"{len(text)} characters" in cell
        with pytest.raises(Unfit, match="export it as CSV"):
            text_of(cell, "details", escaped=False)
