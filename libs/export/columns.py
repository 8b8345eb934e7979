"""An export as a list of columns, from which its CSV and its workbook are written.

The CSV is UTF-8 with a byte order mark, semicolons, CRLF and quotes where they are needed, as the
spreadsheet programs of an office read it. A workbook holds moments as moments.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from libs.export.cells import escape_formula, truncated, wrap_barcode
from libs.export.workbook import Layout, Rows

Kind: TypeAlias = Literal["text", "barcode", "id", "moment"]
Format: TypeAlias = Callable[[Any], str | int]

MARK: Final = "\ufeff"
_DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook knows no zones
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its `value` in a row, its `width` in a workbook, and its kind.

    The cell of a `text` is escaped and that of a `barcode` wrapped, so that no spreadsheet program
    takes it for a formula or a number; an `id` needs neither. A `moment` is a datetime.
    """

    name: str
    value: Callable[[Any], Any]
    width: int = 18
    kind: Kind = "text"


def csv_head(columns: Iterable[Column]) -> bytes:
    """The byte order mark and the names of the columns."""
    return MARK.encode() + _lines([[column.name for column in columns]])


def csv_lines(
    columns: Sequence[Column], rows: Iterable[Any], format_time: Callable[[datetime], str]
) -> bytes:
    """One line for each row."""
    formats: Mapping[Kind, Format] = {
        "text": escape_formula,
        "barcode": wrap_barcode,
        "id": str,
        "moment": format_time,
    }
    return _lines(_cells(columns, rows, formats))


def xlsx_rows(columns: Sequence[Column], rows: Iterable[Any], zone: ZoneInfo) -> Rows:
    """The rows for a workbook, with times in `zone`."""

    def seconds(moment: datetime) -> int:
        return (moment.astimezone(zone).replace(tzinfo=None) - _DAY_ZERO) // _SECOND

    formats: Mapping[Kind, Format] = {
        "text": truncated,
        "barcode": str,
        "id": str,
        "moment": seconds,
    }
    return list(_cells(columns, rows, formats))


def layout(sheet: str, columns: Iterable[Column]) -> Layout:
    """The layout of a workbook with these columns."""
    return Layout(sheet=sheet, columns=tuple((column.name, column.width) for column in columns))


def _cells(
    columns: Sequence[Column], rows: Iterable[Any], formats: Mapping[Kind, Format]
) -> Iterable[Sequence[str | int]]:
    pairs = [(column.value, formats[column.kind]) for column in columns]
    return ([text_of(value(row)) for value, text_of in pairs] for row in rows)


def _lines(rows: Iterable[Sequence[str | int]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
