"""Texts in the cells of a table for spreadsheet programs: escaped, and back.

Such a program reads a text that begins like a formula as one, a barcode as a number, and limits
the length of a cell in a workbook. The separator of a CSV file is its guess or its user's choice,
so a cell may begin behind any character that may be a separator.
"""

import re
from typing import Final

LONGEST: Final = 32_767
"""The longest text of a cell in a workbook, in UTF-16 units."""

SPOILT: Final = "#SPOILT "
"""Marks a date, number or boolean in place of a text in a file of rejected rows. A text with this
beginning is escaped like a formula."""

_SIGN: Final = r"[=@+\-＝＠＋－]"
_ANY_SIGN: Final = re.compile(rf"{_SIGN}|[\t\r\n]|{SPOILT}")
_PREFIX: Final = rf"\A(?=[ ']*{_SIGN}|'*[\t\r\n]|'*{SPOILT})"
"""A cell must not begin so (§2.9); wide signs count in East Asian spreadsheets."""
_INSIDE: Final = rf"(?<=[,;|:\t\r\n\"])(?=[ ']*{_SIGN})|(?<= )(?='*(?!- |[+\-][\d.,]+ ){_SIGN})"
"""The same behind a possible separator. Behind a blank, which mostly separates words, a number or
a dash is not escaped if another blank follows."""
# The matches are empty: positions at which an apostrophe is inserted or removed.
_GUARD: Final = re.compile(f"{_PREFIX}|{_INSIDE}")
_ESCAPED: Final = re.compile(f"(?:{_PREFIX}|{_INSIDE})'")
_GUARD_INSIDE: Final = re.compile(_INSIDE)
_GUARDED_INSIDE: Final = re.compile(f"(?:{_INSIDE})'")
_WRAPPED: Final = re.compile(r'="((?:[^"]|"")*)"')
_CUT: Final = "… [cut: {} characters do not fit into a cell; the CSV has them all]"
_IS_CUT: Final = re.compile(re.escape(_CUT).replace(r"\{\}", r"\d+") + r"\Z")


def escape_formula(text: str) -> str:
    """`text` with an apostrophe before each part that a spreadsheet might read as a formula (§2.9).

    That is `= + - @` (at the beginning also tab, CR, LF), at the beginning and behind a character
    that separates cells in some dialect: comma, semicolon, tab, colon, bar, blank, line end; and
    behind a quote.

    Apostrophes before such a sign count as part of it, so `unescape_formula` can tell ours from
    those that were there: `=1` becomes `'=1`, and `'=1` becomes `''=1`.
    """
    # Most texts have no sign; this check is fast.
    return _GUARD.sub("'", text) if _ANY_SIGN.search(text) else text


def unescape_formula(cell: str) -> str:
    """The text before `escape_formula`."""
    return _ESCAPED.sub("", cell) if "'" in cell else cell


def wrap_barcode(code: str) -> str:
    """`="…"`: a formula with the code as its text; `""` for an empty code.

    Formulas inside the code are escaped as by `escape_formula`.
    """
    return '="{}"'.format(_GUARD_INSIDE.sub("'", code).replace('"', '""')) if code else ""


def unwrap_barcode(cell: str) -> str:
    """The code before `wrap_barcode`; a cell without the wrapper is the code itself."""
    wrapped = _WRAPPED.fullmatch(cell)
    return _GUARDED_INSIDE.sub("", wrapped[1].replace('""', '"')) if wrapped else cell


def truncated(text: str) -> str:
    """The text if it fits into a cell of a workbook, else its beginning and its length."""
    if len(text) <= LONGEST // 2 or _units(text) <= LONGEST:
        return text
    notice = _CUT.format(len(text))
    start = text.encode("utf-16-le", "surrogatepass")[: 2 * (LONGEST - len(notice))]
    return start.decode("utf-16-le", "ignore") + notice


def is_truncated(cell: str) -> bool:
    """Whether `truncated` has shortened the text of a cell."""
    return _IS_CUT.search(cell) is not None and _units(cell) >= LONGEST - 1


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
