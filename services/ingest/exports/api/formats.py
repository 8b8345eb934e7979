"""The rows of an export in its two formats: lines of CSV and rows of a workbook (§2.9).

Both have the columns of `LOG`. The CSV is UTF-8 with a byte order mark, semicolons, CRLF and
quotes where they are needed, as the spreadsheet programs of the office read it. A workbook holds
moments as moments.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from libs.postgres.query import Row
from services.ingest.exports.adapters.workbook import Column, Layout, Rows
from services.ingest.imports.domain import log_events
from services.ingest.imports.domain.cell import escape_formula, truncated, wrap_barcode
from services.ingest.scans.domain.box import number
from services.ingest.scans.domain.day import format_time
from services.ingest.scans.domain.filter import display_name

LOG: Final = (
    Column("uuid", 38),
    Column("ts", 20, moments=True),
    Column("type", 14),
    Column("operator", 18),
    Column("client", 18),
    Column("city", 18),
    Column("box", 18),
    Column("code", 24),
    Column("details", 30),
    Column("received_at", 20, moments=True),
    Column("source", 12),
)
FULL_LOG: Final = (*LOG, Column(log_events.COLUMN, 24))
LOG_SHEET: Final = Layout(sheet="scans", columns=LOG)
FULL_LOG_SHEET: Final = Layout(sheet="scans", columns=FULL_LOG)
BOXES: Final = ("Клиент", "Город", "Короб", "ШК", "Время скана", "Оператор")
MARK: Final = "\ufeff"
_DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook knows no zones
_SECOND: Final = timedelta(seconds=1)


def csv_head(columns: Iterable[str]) -> bytes:
    """The byte order mark and the names of the columns."""
    return MARK.encode() + _lines([[*columns]])


def csv_log(rows: Iterable[Row], zone: ZoneInfo) -> bytes:
    """One line for each row of `scan_log`, with times in `zone`."""
    return _lines(_csv_line(row, zone) for row in rows)


def csv_full_log(rows: Sequence[Row], events: Sequence[str], zone: ZoneInfo) -> bytes:
    """As `csv_log`, with the cell of each row's `events` behind it (`domain.log_events`)."""
    return _lines(
        (*_csv_line(row, zone), escape_formula(cell))
        for row, cell in zip(rows, events, strict=True)
    )


def csv_boxes(rows: Iterable[Row], zone: ZoneInfo) -> bytes:
    """One line for each item: where it was packed, when and by whom."""
    return _lines(
        (
            escape_formula(display_name(row["client"])),
            escape_formula(display_name(row["city"])),
            escape_formula(display_name(number(row["box"]))),
            wrap_barcode(row["code"]),
            format_time(row["effective_at"], zone),
            escape_formula(row["operator"]),
        )
        for row in rows
    )


def xlsx_log(rows: Iterable[Row], zone: ZoneInfo) -> Rows:
    """One row for each row of `scan_log`, with times in `zone`."""
    return [_xlsx_row(row, zone) for row in rows]


def xlsx_full_log(rows: Iterable[Row], events: Iterable[str], zone: ZoneInfo) -> Rows:
    """As `xlsx_log`, with the cell of each row's `events` behind it (`domain.log_events`)."""
    return [
        (*_xlsx_row(row, zone), truncated(cell)) for row, cell in zip(rows, events, strict=True)
    ]


def _csv_line(row: Row, zone: ZoneInfo) -> Sequence[str]:
    return (
        str(row["scan_id"]),
        format_time(row["effective_at"], zone),
        escape_formula(row["kind"]),
        escape_formula(row["operator"]),
        escape_formula(row["client"]),
        escape_formula(row["city"]),
        escape_formula(row["box"]),
        wrap_barcode(row["code"]),
        escape_formula(row["details"] or ""),
        format_time(row["received_at"], zone),
        escape_formula(row["source"]),
    )


def _xlsx_row(row: Row, zone: ZoneInfo) -> Sequence[str | int]:
    return (
        str(row["scan_id"]),
        _seconds(row["effective_at"], zone),
        row["kind"],
        row["operator"],
        row["client"],
        row["city"],
        row["box"],
        row["code"],
        truncated(row["details"] or ""),
        _seconds(row["received_at"], zone),
        row["source"],
    )


def _seconds(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).replace(tzinfo=None) - _DAY_ZERO) // _SECOND


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
