"""The layout of a sheet of the old log, and the scan of each of its rows (§6)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from contracts.ingest import ScanRecorded
from libs.export.cells import SPOILT, escape_formula, wrap_barcode
from libs.names import comparable
from services.ingest.imports.domain import log_events
from services.ingest.imports.domain.spreadsheet import (
    DAY_ZERO,
    Cell,
    Lost,
    Unfit,
    code_of,
    is_blank,
    moment_of,
    text_of,
)
from services.ingest.scans.domain.day import format_time, unix_ms
from services.ingest.scans.domain.scan import SKEW, Fault, Reading, parse_uuid, validate

COLUMNS: Final = (
    "uuid",
    "ts",
    "type",
    "operator",
    "client",
    "city",
    "box",
    "code",
    "details",
    "receivedAt",
    "source",
)
MOMENTS: Final = frozenset({"ts", "receivedAt"})
REQUIRED: Final = ("uuid", "ts", "type", "operator")
ALL_COLUMNS: Final = (*COLUMNS, log_events.COLUMN)
"""Also the column that only the full export has."""

_NAMES: Final = {name.lower(): name for name in ALL_COLUMNS} | {"received_at": "receivedAt"}
_BEFORE_DETAILS: Final = tuple(name for name in COLUMNS if name != "details")
_IDS: Final = UUID("0d3f3c52-8a55-5b0e-9a55-6d1c5f5b7e9b")


class WrongSheet(ValueError):
    """A sheet lacks required columns; the message is for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """The columns of a sheet and how its dates are read.

    `positions` has the known columns, `named` the positions of all columns with a name. With
    `ten_columns` the header is the one used before 9 October 2025. `escaped` means a CSV: its texts
    may be escaped for spreadsheets (`libs.export.cells`), and every row has a cell for every name.
    """

    name: str
    positions: Mapping[str, int]
    named: frozenset[int]
    ten_columns: bool
    escaped: bool
    zone: ZoneInfo
    day_zero: datetime
    not_before: datetime


def columns_of(header: Sequence[Cell]) -> Mapping[str, int]:
    """The positions of the known columns in the header; space and case are ignored.

    Raises WrongSheet if a name occurs twice.
    """
    positions: dict[str, int] = {}
    for position, cell in enumerate(header):
        name = _NAMES.get(str(cell).strip("\ufeff \t\r\n\xa0").lower())
        if name in positions:
            raise WrongSheet(f"the first row names the column {name} twice")
        if name is not None:
            positions[name] = position
    return positions


def sheet_of(
    name: str,
    header: Sequence[Cell],
    *,
    zone: ZoneInfo,
    not_before: datetime,
    day_zero: datetime = DAY_ZERO,
    escaped: bool = False,
) -> Sheet:
    """The sheet with this header. Raises WrongSheet if a required column is missing."""
    positions = columns_of(header)
    missing = [column for column in REQUIRED if column not in positions]
    if missing:
        raise WrongSheet(
            f"its first row does not name {', '.join(missing)}; "
            f"expected are the columns {', '.join(COLUMNS)}"
        )
    return Sheet(
        name=name,
        positions=positions,
        named=frozenset(position for position, cell in enumerate(header) if not is_blank(cell)),
        ten_columns=tuple(sorted(positions, key=lambda name: positions[name])) == _BEFORE_DETAILS,
        escaped=escaped,
        zone=zone,
        day_zero=day_zero,
        not_before=not_before,
    )


def scan_of(sheet: Sheet, cells: Sequence[Cell], *, now: datetime) -> ScanRecorded | Fault:
    """The scan of a row, or the fault for which it is rejected (§6).

    Without a receive time the scan's own time counts. An invalid uuid is replaced by one that
    follows from the sheet's name and the row's content, so it is the same next time.
    """
    try:
        _refuse_damaged(sheet, cells)
        reading, received_at = _read(sheet, _by_column(sheet, cells))
    except Unfit as unfit:
        return Fault(code=unfit.code, reason=str(unfit))
    if received_at > now + SKEW:
        return Fault(code="from_the_future", reason="it was received later than now")
    return validate(reading, received_at=received_at, not_before=sheet.not_before)


def events_cell(sheet: Sheet, cells: Sequence[Cell]) -> str:
    """The cell for `domain.log_events`, empty if the row is from no full export.

    Raises Unfit if the row is damaged or the cell truncated.
    """
    _refuse_damaged(sheet, cells)
    return _text(sheet, _by_header(sheet, cells).get(log_events.COLUMN), log_events.COLUMN).strip()


def contradicting_column(sheet: Sheet, cells: Sequence[Cell], scan: ScanRecorded) -> str | None:
    """The first column whose cell contradicts the row's `scan`, else None.

    A cell that a spreadsheet has spoilt (a rounded number, a time without seconds) contradicts
    nothing. Another spelling of the operator does not either: exports write the first one.
    """
    texts = {
        "uuid": str(scan.scan_id),
        "type": scan.kind,
        "operator": scan.operator,
        "client": scan.client,
        "city": scan.city,
        "box": scan.box,
        "code": scan.code,
        "details": scan.details or "",
        "source": scan.source,
    }
    moments = {"ts": scan.effective_at, "receivedAt": scan.received_at}
    for name, cell in _by_header(sheet, cells).items():
        try:
            if name == "operator" and comparable(_text(sheet, cell, name)) == comparable(
                scan.operator
            ):
                continue
            if name in texts and _text(sheet, cell, name) != texts[name]:
                return name
            if name in moments:
                moment = moment_of(cell, name, zone=sheet.zone, day_zero=sheet.day_zero)
                if format_time(moment, sheet.zone) != format_time(moments[name], sheet.zone):
                    return name
        except Unfit as unfit:
            if unfit.code == "bad_time":
                return name
    return None


def as_texts(sheet: Sheet, cells: Sequence[Cell]) -> list[str]:
    """A row as texts in the order of `ALL_COLUMNS`, followed by cells of unnamed columns.

    A CSV file of these texts is read as the same row.
    """
    try:
        by_column = _by_column(sheet, cells)
        rest: list[Cell] = []
    except Unfit:
        by_column, rest = _by_header(sheet, cells), _nameless(sheet, cells)
    texts = [_cell_text(sheet, by_column.get(name), name) for name in ALL_COLUMNS]
    return [*texts, *(_cell_text(sheet, cell, "") for cell in rest)]


def _by_column(sheet: Sheet, cells: Sequence[Cell]) -> dict[str, Cell]:
    by_column, nameless = _by_header(sheet, cells), _nameless(sheet, cells)
    if sheet.ten_columns and _is_shifted(sheet, by_column, nameless):
        # October 2025: rows grew by `details` while the header stayed as it was.
        details, received_at = by_column["receivedAt"], by_column["source"]
        source, nameless = (nameless[0], nameless[1:]) if nameless else (None, [])
        by_column |= {"details": details, "receivedAt": received_at, "source": source}
    if nameless:
        raise Unfit("surplus_cells", "it has more cells than the first row has names")
    return by_column


def _refuse_damaged(sheet: Sheet, cells: Sequence[Cell]) -> None:
    """Raises Unfit for a row that is incomplete or in another encoding."""
    for position, cell in enumerate(cells):
        if isinstance(cell, Lost) and cell.code:
            names = {position: name for name, position in sheet.positions.items()}
            raise Unfit(cell.code, f"{names.get(position, f'column {position + 1}')} {cell.why}")
    if sheet.escaped and len(cells) <= max(sheet.named):
        raise Unfit("cut_short", "it ends before the last column that the first row names")


def _is_shifted(sheet: Sheet, by_column: Mapping[str, Cell], nameless: Sequence[Cell]) -> bool:
    """Whether the receive time is in the column `source`, or is empty and another cell follows."""
    if is_blank(by_column["source"]):
        return bool(nameless) and not _is_time(sheet, by_column["receivedAt"])
    return _is_time(sheet, by_column["source"])


def _is_time(sheet: Sheet, cell: Cell) -> bool:
    try:
        moment = moment_of(cell, "", zone=sheet.zone, day_zero=sheet.day_zero)
    except Unfit:
        return False
    return moment >= sheet.not_before


def _by_header(sheet: Sheet, cells: Sequence[Cell]) -> dict[str, Cell]:
    return {
        name: cells[position] if position < len(cells) else None
        for name, position in sheet.positions.items()
    }


def _nameless(sheet: Sheet, cells: Sequence[Cell]) -> list[Cell]:
    return [c for n, c in enumerate(cells) if n not in sheet.named and not is_blank(c)]


def _read(sheet: Sheet, by_column: Mapping[str, Cell]) -> tuple[Reading, datetime]:
    for name in REQUIRED:
        if is_blank(by_column[name]):
            raise Unfit("missing_field", f"{name} is empty")
    scanned_at = moment_of(by_column["ts"], "ts", zone=sheet.zone, day_zero=sheet.day_zero)
    received_at = scanned_at
    if not is_blank(cell := by_column.get("receivedAt")):
        received_at = moment_of(cell, "receivedAt", zone=sheet.zone, day_zero=sheet.day_zero)
    texts = {
        name: _text(sheet, by_column.get(name), name) for name in COLUMNS if name not in MOMENTS
    }
    uuid = texts.pop("uuid").strip()
    ts = unix_ms(scanned_at)
    content = [sheet.name, uuid, ts, unix_ms(received_at), texts]
    scan_id = parse_uuid(uuid) or uuid5(_IDS, json.dumps(content))
    details = texts.pop("details") or None
    return Reading(uuid=scan_id, ts=ts, details=details, **texts), received_at


def _text(sheet: Sheet, cell: Cell, column: str) -> str:
    if column == "code":
        return code_of(cell, escaped=sheet.escaped)
    return text_of(cell, column, escaped=sheet.escaped)


def _cell_text(sheet: Sheet, cell: Cell, column: str) -> str:
    if isinstance(cell, Lost):
        return _cell_text(sheet, cell.text, column)
    if column in MOMENTS and not isinstance(cell, str | None):
        return _moment_text(sheet, cell)
    try:
        text = _text(sheet, cell, column)
        return wrap_barcode(text) if column == "code" else escape_formula(text)
    except Unfit:
        if not isinstance(cell, str):
            return f"{SPOILT}{cell}"
        return cell if cell.startswith(SPOILT) else escape_formula(cell)


def _moment_text(sheet: Sheet, cell: Cell) -> str:
    try:
        moment = moment_of(cell, "", zone=sheet.zone, day_zero=sheet.day_zero)
    except Unfit:
        return escape_formula(str(cell))
    # In the format for people, unless it would lose microseconds.
    return format_time(moment, sheet.zone) if not moment.microsecond else moment.isoformat()
