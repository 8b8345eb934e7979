"""Scans as rows of a workbook: the columns of the CSV, but with real moments (§2.9)."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from libs.postgres.query import Row
from services.ingest.exports.adapters.workbook import Column, Layout, Rows
from services.ingest.imports.domain import log_events
from services.ingest.imports.domain.cell import fitted

LOG: Final = Layout(
    sheet="scans",
    columns=(
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
    ),
)
FULL_LOG: Final = Layout(sheet=LOG.sheet, columns=(*LOG.columns, Column(log_events.COLUMN, 24)))
_DAY_ZERO: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a workbook knows no zones
_SECOND: Final = timedelta(seconds=1)


def log_rows(rows: Iterable[Row], zone: ZoneInfo) -> Rows:
    """A row in full for each, its moments on the clocks of `zone`."""
    return [_log_row(row, zone) for row in rows]


def full_log_rows(rows: Iterable[Row], events: Iterable[str], zone: ZoneInfo) -> Rows:
    """The same, and behind each row the cell with its events (`domain.log_events`)."""
    return [(*_log_row(row, zone), fitted(cell)) for row, cell in zip(rows, events, strict=True)]


def _log_row(row: Row, zone: ZoneInfo) -> Sequence[str | int]:
    return (
        str(row["scan_id"]),
        _seconds(row["effective_at"], zone),
        row["kind"],
        row["operator"],
        row["client"],
        row["city"],
        row["box"],
        row["code"],
        fitted(row["details"] or ""),
        _seconds(row["received_at"], zone),
        row["source"],
    )


def _seconds(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).replace(tzinfo=None) - _DAY_ZERO) // _SECOND
