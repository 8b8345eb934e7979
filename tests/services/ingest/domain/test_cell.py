"""A text in a cell of a table, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.cell import barcode, harmless, restored, scanned

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text(
    "'=+-@\t\r\"a"
)


@pytest.mark.parametrize("first", "=+-@\t\r")
def test_what_begins_like_a_formula_stands_behind_an_apostrophe(first: str) -> None:
    assert harmless(f"{first}1+1") == f"'{first}1+1"


@pytest.mark.parametrize("text", ["", "ivancov/8", "a=1", " =1", "'", "'quoted'", "—", "🌻", "<b>"])
def test_what_does_not_stays_as_it_is(text: str) -> None:
    assert harmless(text) == restored(text) == text


def test_an_apostrophe_that_was_there_is_not_taken_for_ours() -> None:
    assert harmless("'=1") == "''=1"
    assert restored("''=1") == "'=1"


@given(TEXTS)
def test_every_text_comes_back_and_no_cell_is_a_formula(text: str) -> None:
    cell = harmless(text)

    assert restored(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r"))


def test_a_barcode_is_a_formula_that_yields_a_text() -> None:
    assert barcode("2042469234860") == '="2042469234860"'
    assert barcode('1"&A1&"') == '="1""&A1&"""'
    assert barcode("") == ""


@given(TEXTS)
def test_every_code_comes_back(code: str) -> None:
    assert scanned(barcode(code)) == code


@given(TEXTS)
def test_nothing_in_a_code_ends_its_text(code: str) -> None:
    inside = barcode(code)[2:-1]

    assert '"' not in inside.replace('""', "")


@pytest.mark.parametrize("cell", ["2042469234860", '="1"+1', '="1""', "=1", ""])
def test_a_cell_without_the_wrapper_is_the_code_itself(cell: str) -> None:
    assert scanned(cell) == cell
