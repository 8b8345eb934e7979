"""Tables in CSV files: any of three delimiters, in UTF-8, UTF-16 or Windows' Cyrillic."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from services.ingest.adapters.table import PAGE, Pages, Row, Unreadable, Worksheet
from services.ingest.domain.sheet import WrongSheet, columns_of

DELIMITERS: Final = ";,\t"
LONGEST_CELL: Final = 1_000_000
_BOMS: Final = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Survey:
    """What reading the whole file once has shown."""

    encoding: str
    delimiter: str
    header: Row
    last: int
    """The number of the last row."""


@asynccontextmanager
async def open_csv(path: Path) -> AsyncIterator[Sequence[Worksheet]]:
    """The one worksheet of a CSV file, named after it.

    The file is read to its end before anything is told of it, so what is told can be relied on.
    Raises Unreadable.
    """
    survey = await asyncio.to_thread(_survey, path)
    yield [
        Worksheet(
            name=path.stem,
            header=survey.header[1],
            rows=survey.last - survey.header[0],
            pages=lambda: _pages(path, survey),
            dressed=True,
        )
    ]


async def _pages(path: Path, survey: _Survey) -> Pages:
    with closing(_rows(path, survey.encoding, survey.delimiter)) as rows:
        behind = islice(rows, survey.header[0], None)
        while page := await asyncio.to_thread(list, islice(behind, PAGE)):
            yield page


def _survey(path: Path) -> _Survey:
    with path.open("rb") as file:
        bom = file.read(2)
    for encoding in [_BOMS[bom]] if bom in _BOMS else ["utf-8-sig", "cp1251"]:
        try:
            return _survey_in(path, encoding)
        except UnicodeError:
            continue
    raise Unreadable("it is no CSV file, or neither in UTF-8 nor in Windows-1251")


def _survey_in(path: Path, encoding: str) -> _Survey:
    delimiter = _delimiter(path, encoding)
    header, number = None, 0
    with closing(_rows(path, encoding, delimiter)) as rows:
        for number, cells in rows:
            if header is None and any(cells):
                header = (number, cells)
    if header is None:
        raise Unreadable("it is empty: there is no first row with the names of the columns")
    return _Survey(encoding=encoding, delimiter=delimiter, header=header, last=number)


def _rows(path: Path, encoding: str, delimiter: str) -> Generator[Row]:
    # The limit is the module's, not the reader's: for the whole process.
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        number = 0
        try:
            for number, cells in enumerate(reader, 1):
                yield number, tuple(cells)
        except csv.Error as error:
            raise Unreadable(f"row {number + 1} is broken: {error}") from error
        except OSError as error:
            raise Unreadable(f"it can be read only to row {number}: {error.strerror}") from error


def _delimiter(path: Path, encoding: str) -> str:
    """The delimiter by which the first line names most columns."""
    with path.open(encoding=encoding, newline="") as file:
        line = next((text for text in iter(lambda: file.readline(65_536), "") if text.strip()), "")
    return max(DELIMITERS, key=lambda delimiter: _names(line, delimiter))


def _names(line: str, delimiter: str) -> int:
    try:
        return len(columns_of(next(csv.reader(io.StringIO(line), delimiter=delimiter), [])))
    except (csv.Error, WrongSheet):
        return 0
