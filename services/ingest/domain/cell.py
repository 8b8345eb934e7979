"""A text in a cell of a table that people open in a spreadsheet program, there and back.

Such a program takes what begins like a formula for one, and a barcode for a number.
"""

import re
from typing import Final

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_WRAPPED: Final = re.compile(r'="((?:[^"]|"")*)"')


def harmless(text: str) -> str:
    """`text`, behind an apostrophe if it begins like a formula: with `= + - @`, tab or CR (§2.9).

    Apostrophes before such a beginning count as part of it, so `restored` can tell ours from
    those that were there: `=1` becomes `'=1`, and `'=1` becomes `''=1`.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def restored(cell: str) -> str:
    """What `harmless` was given: without the apostrophe it would have put there."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def barcode(code: str) -> str:
    """`="…"`: a formula that yields the code as a text, whatever is in it. Nothing for no code."""
    return '="{}"'.format(code.replace('"', '""')) if code else ""


def scanned(cell: str) -> str:
    """What `barcode` was given; a cell without the wrapper is the code itself."""
    wrapped = _WRAPPED.fullmatch(cell)
    return wrapped[1].replace('""', '"') if wrapped else cell
