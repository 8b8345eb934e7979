"""Tables in CSV files: three delimiters, in UTF-8, UTF-16 or Windows-1251.

The whole file has one encoding. A cell that is in another one, or that may be incomplete, is read
as `Lost` instead of a text.
"""

import asyncio
import codecs
import csv
import io
import re
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from services.ingest.imports.adapters.table import PAGE, Pages, Row, Unreadable, Worksheet
from services.ingest.imports.domain.sheet import WrongSheet, columns_of
from services.ingest.imports.domain.spreadsheet import Cell, Lost

DELIMITERS: Final = ";,\t"
LONGEST_CELL: Final = 1_000_000
_PART: Final = 1 << 20
_BOMS: Final = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_UTF_8, _WINDOWS, _NO_WINDOWS = "utf-8-sig", "cp1251", b"\x98"
_NAMES: Final = {"utf-16": "UTF-16", _UTF_8: "UTF-8", _WINDOWS: "Windows-1251"}

_DAMAGE: Final = "damaged"
"""The name of our error handler in `codecs` for invalid bytes."""
_BYTES: Final = re.compile("[\udc80-\udcff]")
"""Invalid bytes become these lone surrogates; files of rejected rows convert them back."""
_SECOND_BYTES: Final = bytes(byte for byte in range(0x80, 0xC0) if byte != _NO_WINDOWS[0]).decode(
    "cp1251"
)
_UTF_8_AS_WINDOWS: Final = re.compile(f"(?:[РС][{re.escape(_SECOND_BYTES)}]){{2,}}")
"""Cyrillic letters in UTF-8, read as Windows-1251."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Survey:
    """The result of reading the whole file once."""

    encoding: str
    delimiter: str
    torn: bool
    """Whether the last line has no line end: it may be incomplete."""
    header: Row
    last: int
    """The number of the last row."""


@asynccontextmanager
async def open_csv(path: Path) -> AsyncIterator[Sequence[Worksheet]]:
    """The one worksheet of a CSV file, named after the file.

    The file is read to its end first, so that encoding and number of rows are certain. Raises
    Unreadable.
    """
    survey = await asyncio.to_thread(_survey, path)
    yield [
        Worksheet(
            name=path.stem,
            header=survey.header[1],
            rows=survey.last - survey.header[0],
            pages=lambda: _pages(path, survey),
            escaped=True,
        )
    ]


async def _pages(path: Path, survey: _Survey) -> Pages:
    with closing(_rows(path, survey.encoding, survey.delimiter)) as rows:
        behind = islice(_checked(rows, survey), survey.header[0], None)
        while page := await asyncio.to_thread(list, islice(behind, PAGE)):
            yield page


def _checked(rows: Iterator[tuple[int, list[str]]], survey: _Survey) -> Iterator[Row]:
    """The rows, with `Lost` for cells that are damaged or incomplete."""
    for number, texts in rows:
        cells: list[Cell] = [*texts]
        if not "".join(texts).isascii():
            # In one cell `В№1` may be meant; a whole row of valid UTF-8 is UTF-8.
            foreign = survey.encoding == _WINDOWS and _is_utf_8("\n".join(texts))
            cells = [_cell(text, survey.encoding, foreign=foreign) for text in texts]
        if survey.torn and number == survey.last and texts:
            why = "may be torn: the file ends in it, without the end of the line"
            cells[-1] = Lost(why, "cut_short", texts[-1])
        yield number, tuple(cells)


def _is_utf_8(text: str) -> bool:
    """Whether a text read as Windows-1251 is valid UTF-8."""
    try:
        text.encode(_WINDOWS, "surrogateescape").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _cell(text: str, encoding: str, *, foreign: bool) -> Cell:
    if _BYTES.search(text):
        return Lost(f"is damaged: it holds bytes that are no {_NAMES[encoding]}", _DAMAGE, text)
    foreign = foreign and not text.isascii()
    if foreign or (encoding == _WINDOWS and _UTF_8_AS_WINDOWS.search(text)):
        own = text.encode(encoding).decode("utf-8", "surrogateescape")
        return Lost("is in UTF-8, but the file in Windows-1251", _DAMAGE, own)
    return text


def _survey(path: Path) -> _Survey:
    encoding = _encoding(path)
    delimiter = _delimiter(path, encoding)
    header, number = None, 0
    with closing(_rows(path, encoding, delimiter)) as rows:
        for number, cells in rows:
            if header is None and any(cells):
                header = (number, tuple(cells))
    if header is None:
        raise Unreadable("it is empty: there is no first row with the names of the columns")
    torn = _is_torn(path, encoding)
    return _Survey(encoding=encoding, delimiter=delimiter, torn=torn, header=header, last=number)


def _encoding(path: Path) -> str:
    """UTF-8, unless more bytes are invalid than valid; then Windows-1251 if that is possible."""
    letters = damaged = 0
    may_be_windows = True
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    with path.open("rb") as file:
        start = file.read(3)
        if start[:2] in _BOMS:
            return _BOMS[start[:2]]
        if start == codecs.BOM_UTF8:
            return _UTF_8
        file.seek(0)
        for part in iter(lambda: file.read(_PART), b""):
            may_be_windows = may_be_windows and _NO_WINDOWS not in part
            if not (text := decoder.decode(part)).isascii():
                invalid = len(_BYTES.findall(text))
                damaged += invalid
                letters += len(text) - len(text.encode("ascii", "ignore")) - invalid
    # Bytes that the decoder holds back at the end begin an incomplete character.
    damaged += len(decoder.getstate()[0])
    if damaged <= letters:
        return _UTF_8
    if not may_be_windows:
        raise Unreadable("it is no CSV file, or neither in UTF-8 nor in Windows-1251")
    return _WINDOWS


def _is_torn(path: Path, encoding: str) -> bool:
    """Whether the last line has no line end: the rest of it may be missing."""
    with path.open("rb") as file:
        byte_order = file.read(2)
        file.seek(max(0, path.stat().st_size - 2))
        last = file.read()
    if encoding == "utf-16":
        last = last[1:] if byte_order == codecs.BOM_UTF16_BE else last[:1]
    return not last.endswith((b"\n", b"\r"))


def _as_surrogate(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_DAMAGE, _as_surrogate)


def _open(path: Path, encoding: str) -> io.TextIOWrapper:
    # In UTF-8 every invalid byte is kept; in UTF-16 that is impossible.
    errors = _DAMAGE if encoding == "utf-16" else "surrogateescape"
    return path.open(encoding=encoding, errors=errors, newline="")


def _rows(path: Path, encoding: str, delimiter: str) -> Generator[tuple[int, list[str]]]:
    # The limit is global to the process.
    csv.field_size_limit(LONGEST_CELL)
    with _open(path, encoding) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        number = 0
        try:
            for number, cells in enumerate(reader, 1):
                yield number, cells
        except csv.Error as error:
            raise Unreadable(f"row {number + 1} is broken: {error}") from error
        except OSError as error:
            raise Unreadable(f"it can be read only to row {number}: {error.strerror}") from error


def _delimiter(path: Path, encoding: str) -> str:
    """The delimiter with which the first line names the most columns."""
    with _open(path, encoding) as file:
        line = next((text for text in iter(lambda: file.readline(65_536), "") if text.strip()), "")
    return max(DELIMITERS, key=lambda delimiter: _names(line, delimiter))


def _names(line: str, delimiter: str) -> int:
    try:
        return len(columns_of(next(csv.reader(io.StringIO(line), delimiter=delimiter), [])))
    except (csv.Error, WrongSheet):
        return 0
