"""Scans as lines of CSV, as the spreadsheet programs of the office read them (§2.9).

UTF-8 with a mark in front, semicolons, CRLF, quotes where they are needed.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from libs.postgres.query import Row
from services.ingest.imports.domain import log_events
from services.ingest.imports.domain.cell import barcode, escape_formula
from services.ingest.scans.domain.box import number
from services.ingest.scans.domain.day import written
from services.ingest.scans.domain.filter import display_name

LOG: Final = (
    "uuid",
    "ts",
    "type",
    "operator",
    "client",
    "city",
    "box",
    "code",
    "details",
    "received_at",
    "source",
)
FULL_LOG: Final = (*LOG, log_events.COLUMN)
BOXES: Final = ("Клиент", "Город", "Короб", "ШК", "Время скана", "Оператор")
MARK: Final = "\ufeff"


def head(columns: Sequence[str]) -> bytes:
    """What the file begins with: the mark and the names of the columns."""
    return MARK.encode() + _lines([columns])


def log_lines(rows: Iterable[Row], zone: ZoneInfo) -> bytes:
    """A line in full for each row, its moments in `zone`."""
    return _lines(_log_line(row, zone) for row in rows)


def full_log_lines(rows: Sequence[Row], events: Sequence[str], zone: ZoneInfo) -> bytes:
    """The same, and behind each row the cell with its events (`domain.log_events`)."""
    return _lines(
        (*_log_line(row, zone), escape_formula(cell))
        for row, cell in zip(rows, events, strict=True)
    )


def _log_line(row: Row, zone: ZoneInfo) -> Sequence[str]:
    return (
        str(row["scan_id"]),
        written(row["effective_at"], zone),
        escape_formula(row["kind"]),
        escape_formula(row["operator"]),
        escape_formula(row["client"]),
        escape_formula(row["city"]),
        escape_formula(row["box"]),
        barcode(row["code"]),
        escape_formula(row["details"] or ""),
        written(row["received_at"], zone),
        escape_formula(row["source"]),
    )


def box_lines(rows: Iterable[Row], zone: ZoneInfo) -> bytes:
    """A line for each item: where it was packed, when and by whom."""
    return _lines(
        (
            escape_formula(display_name(row["client"])),
            escape_formula(display_name(row["city"])),
            escape_formula(display_name(number(row["box"]))),
            barcode(row["code"]),
            written(row["effective_at"], zone),
            escape_formula(row["operator"]),
        )
        for row in rows
    )


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
