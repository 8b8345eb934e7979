"""A text in a cell of a table that people open in a spreadsheet program, there and back.

Such a program takes what begins like a formula for one, a barcode for a number, and holds only so
much in one cell of a workbook. Which character separates the cells of a CSV file is its guess or
its user's choice, so a cell may be cut wherever a text holds one that might.
"""

import re
from typing import Final

LONGEST: Final = 32_767
"""The most that one cell of a workbook holds, in UTF-16 units."""

SPOILT: Final = "#SPOILT "
"""Behind it a list of rejected rows shows a date, number or truth value that was no text. A text
that begins with it is guarded like a formula, so that the two are never taken for each other."""

_SIGN: Final = r"[=@+\-＝＠＋－]"
_ANY_SIGN: Final = re.compile(rf"{_SIGN}|[\t\r\n]|{SPOILT}")
_PREFIX: Final = rf"\A(?=[ ']*{_SIGN}|'*[\t\r\n]|'*{SPOILT})"
"""What no cell may begin with (§2.9); the wide signs count in spreadsheets of East Asia."""
_INSIDE: Final = rf"(?<=[,;|:\t\r\n\"])(?=[ ']*{_SIGN})|(?<= )(?='*(?!- |[+\-][\d.,]+ ){_SIGN})"
"""The same behind what may separate cells. Behind a blank, which separates words far more often
than cells, a number and a dash stay as they are if another blank ends them."""
# What is found has no length: there an apostrophe goes in, or comes out.
_GUARD: Final = re.compile(f"{_PREFIX}|{_INSIDE}")
_ESCAPED: Final = re.compile(f"(?:{_PREFIX}|{_INSIDE})'")
_GUARD_INSIDE: Final = re.compile(_INSIDE)
_GUARDED_INSIDE: Final = re.compile(f"(?:{_INSIDE})'")
_WRAPPED: Final = re.compile(r'="((?:[^"]|"")*)"')
_CUT: Final = "… [cut: {} characters do not fit into a cell; the CSV has them all]"
_IS_CUT: Final = re.compile(re.escape(_CUT).replace(r"\{\}", r"\d+") + r"\Z")


def escape_formula(text: str) -> str:
    """`text` with an apostrophe before whatever a spreadsheet might take for a formula (§2.9).

    That is `= + - @` (at the beginning also tab, CR, LF), at the beginning and behind a character
    that separates cells in some dialect: comma, semicolon, tab, colon, bar, blank, line end; and
    behind a quote.

    Apostrophes before such a sign count as part of it, so `unescape_formula` can tell ours from
    those that were there: `=1` becomes `'=1`, and `'=1` becomes `''=1`.
    """
    # Most texts hold no sign at all, and looking for one is quick.
    return _GUARD.sub("'", text) if _ANY_SIGN.search(text) else text


def unescape_formula(cell: str) -> str:
    """What `escape_formula` was given: without the apostrophes it would have put there."""
    return _ESCAPED.sub("", cell) if "'" in cell else cell


def barcode(code: str) -> str:
    """`="…"`: a formula that yields the code as a text, whatever is in it. Nothing for no code.

    A formula of the code's own is guarded as in `escape_formula`.
    """
    return '="{}"'.format(_GUARD_INSIDE.sub("'", code).replace('"', '""')) if code else ""


def scanned(cell: str) -> str:
    """What `barcode` was given; a cell without the wrapper is the code itself."""
    wrapped = _WRAPPED.fullmatch(cell)
    return _GUARDED_INSIDE.sub("", wrapped[1].replace('""', '"')) if wrapped else cell


def fitted(text: str) -> str:
    """`text` if one cell of a workbook holds it, otherwise its beginning and how long it is."""
    if len(text) <= LONGEST // 2 or _units(text) <= LONGEST:
        return text
    notice = _CUT.format(len(text))
    start = text.encode("utf-16-le", "surrogatepass")[: 2 * (LONGEST - len(notice))]
    return start.decode("utf-16-le", "ignore") + notice


def is_cut(cell: str) -> bool:
    """Whether `fitted` had to cut what is in a cell."""
    return _IS_CUT.search(cell) is not None and _units(cell) >= LONGEST - 1


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
