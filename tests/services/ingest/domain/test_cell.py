"""A text in a cell of a table, there and back."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.cell import barcode, harmless, restored, scanned

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text(
    "'=+-@\t\r\"a"
)


def test_what_begins_like_a_formula_gets_an_apostrophe_and_all_else_stays_as_it_is() -> None:
    for first in "=+-@\t\r":
        assert harmless(f"{first}1+1") == f"'{first}1+1"
    for text in ("", "ivancov/8", "a=1", " =1", "'", "'quoted'", "—", "🌻", "<b>"):
        assert harmless(text) == restored(text) == text


def test_an_apostrophe_that_was_there_is_not_taken_for_ours() -> None:
    assert harmless("'=1") == "''=1"
    assert restored("''=1") == "'=1"


def test_a_barcode_is_a_formula_that_yields_a_text() -> None:
    assert barcode("2042469234860") == '="2042469234860"'
    assert barcode('1"&A1&"') == '="1""&A1&"""'
    assert barcode("") == ""
    for cell in ("2042469234860", '="1"+1', '="1""', "=1", ""):  # without the wrapper
        assert scanned(cell) == cell


@given(TEXTS)
def test_every_text_comes_back_and_no_cell_is_a_formula_of_its_own(text: str) -> None:
    cell, code = harmless(text), barcode(text)

    assert restored(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r"))
    assert scanned(code) == text
    assert '"' not in code[2:-1].replace('""', "")
