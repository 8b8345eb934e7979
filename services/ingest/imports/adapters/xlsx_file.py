"""Tables in .xlsx workbooks, read row by row."""

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

from libs.export.cells import unwrap_barcode
from services.ingest.imports.adapters.table import (
    PAGE,
    Pages,
    Row,
    Unreadable,
    Worksheet,
    WorksheetChoice,
    first_row,
)
from services.ingest.imports.domain.spreadsheet import Cell, Lost

BROKEN: Final = "it is no workbook that can be read: damaged, or of another kind than .xlsx"
HEADER_WITHIN: Final = 100
"""The rows among which the header must be."""

_ESCAPED: Final = re.compile("_x([0-9A-Fa-f]{4})_")
"""The escape for characters that XML cannot hold, and for such texts (ECMA-376, ST_Xstring)."""
_NOUGHTS: Final = re.compile("0{2,}")
"""The number format with leading zeros: the number is shown with as many digits."""

Result = TypeVar("Result")


@asynccontextmanager
async def open_xlsx(path: Path, choice: WorksheetChoice) -> AsyncIterator[Sequence[Worksheet]]:
    """The worksheets of `choice` that have rows.

    The checksum of every part of the file is verified first. The table of texts is held in memory,
    the rows are not. Raises Unreadable.
    """
    with path.open("rb") as file:
        workbook = await asyncio.to_thread(_read_quietly, lambda: _open(file))
        sheets = {sheet.title: sheet for sheet in workbook.worksheets}
        selected = choice.select(list(sheets))
        parsed = [_worksheet(sheets[name], workbook.epoch) for name in selected]
        worksheets = [sheet for sheet in parsed if sheet is not None]
        if not worksheets:
            raise Unreadable("it is empty: there is no first row with the names of the columns")
        yield worksheets


def _open(file: BinaryIO) -> Any:
    with ZipFile(file) as parts:
        if parts.testzip() is not None:
            raise Unreadable(BROKEN)
    # Formulas instead of their cached results, which may be missing or outdated.
    # Imported here: only an import needs the memory it takes.
    from openpyxl import load_workbook

    return load_workbook(file, read_only=True, data_only=False, keep_links=False)


def _worksheet(sheet: Any, day_zero: datetime) -> Worksheet | None:
    last = sheet.max_row
    # The stored size may be wrong, and rows would be truncated to it.
    sheet.reset_dimensions()
    with closing(_rows(sheet)) as rows:
        header = _read_quietly(lambda: first_row(list(islice(rows, HEADER_WITHIN))))
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
        while page := await asyncio.to_thread(_read_quietly, lambda: list(islice(behind, PAGE))):
            yield page


def _rows(sheet: Any) -> Generator[Row]:
    with closing(sheet.iter_rows()) as rows:
        for number, cells in enumerate(rows, 1):
            yield number, tuple(_cell(cell) for cell in cells)


def _cell(cell: Any) -> Cell:
    value = cell.value
    if cell.data_type == "f":
        # The result is known only of `="…"`, the wrapper of a barcode.
        code = unwrap_barcode(_unescaped(value)) if isinstance(value, str) else value
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
    # Two separately escaped surrogates are one character.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _read_quietly(read: Callable[[], Result]) -> Result:
    """The result of `read`, without warnings. Raises Unreadable for any error of the parsers."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return read()
    except (Unreadable, MemoryError):
        raise
    # The parsers of ZIP, XML and their contents raise undocumented errors of many kinds.
    except Exception as error:
        raise Unreadable(BROKEN) from error
