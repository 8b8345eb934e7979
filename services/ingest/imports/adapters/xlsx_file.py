"""Tables in workbooks of Excel and its like, read row by row."""

import asyncio
import re
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from zipfile import ZipFile

from services.ingest.imports.adapters.table import (
    PAGE,
    Choice,
    Pages,
    Row,
    Unreadable,
    Worksheet,
    first_row,
)
from services.ingest.imports.domain.cell import scanned
from services.ingest.imports.domain.spreadsheet import Cell, Lost

BROKEN: Final = "it is no workbook that can be read: damaged, or of another kind than .xlsx"
HEADER_WITHIN: Final = 100
"""How far down the first row with anything in it is looked for."""

_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
"""How the format writes what XML cannot hold, and such a text itself (ECMA-376, ST_Xstring)."""
_NOUGHTS: Final = re.compile("0{2,}")
"""The format of a number that is shown with as many digits, noughts in front."""

Result = TypeVar("Result")


@asynccontextmanager
async def open_xlsx(path: Path, choice: Choice) -> AsyncIterator[Sequence[Worksheet]]:
    """The chosen worksheets of a workbook that have any rows.

    Every part of the file is checked against its checksum first. Its table of texts is held in
    memory, the rows are not. Raises Unreadable.
    """
    with path.open("rb") as file:
        book = await asyncio.to_thread(_calmly, lambda: _open(file))
        there = {sheet.title: sheet for sheet in book.worksheets}
        opened = [_worksheet(there[name], book.epoch) for name in choice.chosen(list(there))]
        found = [sheet for sheet in opened if sheet is not None]
        if not found:
            raise Unreadable("it is empty: there is no first row with the names of the columns")
        yield found


def _open(file: BinaryIO) -> Any:
    with ZipFile(file) as parts:
        if parts.testzip() is not None:
            raise Unreadable(BROKEN)
    # Formulas, not what they once came to: a file need not hold that, and would not say so.
    # Only who imports needs it, and the memory it takes.
    from openpyxl import load_workbook

    return load_workbook(file, read_only=True, data_only=False, keep_links=False)


def _worksheet(sheet: Any, day_zero: datetime) -> Worksheet | None:
    last = sheet.max_row
    # What a file says of its size may be wrong, and rows would be cut to it.
    sheet.reset_dimensions()
    with closing(_rows(sheet)) as rows:
        header = _calmly(lambda: first_row(list(islice(rows, HEADER_WITHIN))))
    if header is None:
        return None
    return Worksheet(
        name=sheet.title,
        header=header[1],
        rows=last - header[0] if last and last > header[0] else None,
        pages=lambda: _pages(sheet, header[0]),
        day_zero=day_zero,
    )


async def _pages(sheet: Any, header: int) -> Pages:
    with closing(_rows(sheet)) as rows:
        behind = islice(rows, header, None)
        while page := await asyncio.to_thread(_calmly, lambda: list(islice(behind, PAGE))):
            yield page


def _rows(sheet: Any) -> Generator[Row]:
    with closing(sheet.iter_rows()) as rows:
        for number, cells in enumerate(rows, 1):
            yield number, tuple(_cell(cell) for cell in cells)


def _cell(cell: Any) -> Cell:
    value = cell.value
    if cell.data_type == "f":
        # Only `="…"`, which keeps a barcode's digits, says what it comes to.
        code = scanned(_unescaped(value)) if isinstance(value, str) else value
        return code if code != value else Lost("is a formula, not its result")
    if cell.data_type == "e":
        return Lost(f"is the error {value}")
    if isinstance(value, str):
        return _unescaped(value)
    if type(value) is int and value >= 0 and _NOUGHTS.fullmatch(cell.number_format or ""):
        return str(value).zfill(len(cell.number_format))
    if value is None or isinstance(value, int | float | datetime):
        return value
    return Lost("is a time without a date")


def _unescaped(text: str) -> str:
    if "_x" not in text:
        return text
    plain = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), text)
    # Two halves of a letter, each written by itself, are the letter.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _calmly(read: Callable[[], Result]) -> Result:
    """What `read` returns, in silence; whatever goes wrong in a workbook is Unreadable."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return read()
    except (Unreadable, MemoryError):
        raise
    # The parsers of zip, XML and their contents each have errors of their own, documented nowhere.
    except Exception as error:
        raise Unreadable(BROKEN) from error
