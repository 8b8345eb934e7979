"""What a sheet of the old log looks like, and which scan each of its rows tells of (§6)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from contracts.ingest import ScanRecorded
from libs.names import comparable
from services.ingest.imports.domain import log_events
from services.ingest.imports.domain.cell import SPOILT, barcode, escape_formula
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
from services.ingest.scans.domain.day import unix_ms, written
from services.ingest.scans.domain.scan import SKEW, Fault, Reading, judge, parse_uuid

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
"""With the one that only our full export has."""

_NAMES: Final = {name.lower(): name for name in ALL_COLUMNS} | {"received_at": "receivedAt"}
_BEFORE_DETAILS: Final = tuple(name for name in COLUMNS if name != "details")
_IDS: Final = UUID("0d3f3c52-8a55-5b0e-9a55-6d1c5f5b7e9b")


class WrongSheet(ValueError):
    """A sheet has not the columns it must have; the message is for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """Where the columns of a sheet are and how its dates are meant.

    `places` are the known columns, `named` all places the header has a name for. With
    `ten_columns` it has exactly the names of before 9 October 2025. `dressed` says that it is a
    CSV: its texts may be dressed up against spreadsheets (`domain.cell`), and every row has a cell
    for every name.
    """

    name: str
    places: Mapping[str, int]
    named: frozenset[int]
    ten_columns: bool
    dressed: bool
    zone: ZoneInfo
    day_zero: datetime
    not_before: datetime


def columns_of(header: Sequence[Cell]) -> Mapping[str, int]:
    """Where the known columns are, by the first row: space and case do not matter.

    Raises WrongSheet if a name stands there twice.
    """
    places: dict[str, int] = {}
    for place, cell in enumerate(header):
        name = _NAMES.get(str(cell).strip("\ufeff \t\r\n\xa0").lower())
        if name in places:
            raise WrongSheet(f"the first row names the column {name} twice")
        if name is not None:
            places[name] = place
    return places


def sheet_of(
    name: str,
    header: Sequence[Cell],
    *,
    zone: ZoneInfo,
    not_before: datetime,
    day_zero: datetime = DAY_ZERO,
    dressed: bool = False,
) -> Sheet:
    """The sheet with this first row. Raises WrongSheet if a required column is not in it."""
    places = columns_of(header)
    missing = [column for column in REQUIRED if column not in places]
    if missing:
        raise WrongSheet(
            f"its first row does not name {', '.join(missing)}; "
            f"expected are the columns {', '.join(COLUMNS)}"
        )
    return Sheet(
        name=name,
        places=places,
        named=frozenset(place for place, cell in enumerate(header) if not is_blank(cell)),
        ten_columns=tuple(sorted(places, key=lambda name: places[name])) == _BEFORE_DETAILS,
        dressed=dressed,
        zone=zone,
        day_zero=day_zero,
        not_before=not_before,
    )


def scan_of(sheet: Sheet, cells: Sequence[Cell], *, now: datetime) -> ScanRecorded | Fault:
    """The scan a row tells of, or why it is rejected; nothing missing is made up (§6).

    Without a time of receipt the scan's own counts. What is no uuid is replaced by one that
    follows from the sheet's name and the row's content, so that it is the same next time.
    """
    try:
        _refuse_damaged(sheet, cells)
        reading, received_at = _read(sheet, _placed(sheet, cells))
    except Unfit as unfit:
        return Fault(code=unfit.code, reason=str(unfit))
    if received_at > now + SKEW:
        return Fault(code="from_the_future", reason="it was received later than now")
    return judge(reading, received_at=received_at, not_before=sheet.not_before)


def events_cell(sheet: Sheet, cells: Sequence[Cell]) -> str:
    """What the row holds for `domain.log_events`, nothing if it is no row of a full export.

    Raises Unfit if the row is damaged, or that cell was cut.
    """
    _refuse_damaged(sheet, cells)
    return _text(sheet, _by_header(sheet, cells).get(log_events.COLUMN), log_events.COLUMN).strip()


def contradicted(sheet: Sheet, cells: Sequence[Cell], scan: ScanRecorded) -> str | None:
    """The column whose cell says something else than `scan`, which the row is of, if one does.

    A cell that a spreadsheet has spoilt says nothing: a number that was rounded, a time without
    its seconds. An operator may be written in another way: exports write names as the first did.
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
                if written(moment, sheet.zone) != written(moments[name], sheet.zone):
                    return name
        except Unfit as unfit:
            if unfit.code == "bad_time":
                return name
    return None


def as_texts(sheet: Sheet, cells: Sequence[Cell]) -> list[str]:
    """A row as texts in the order of `ALL_COLUMNS`, then what no column is named for.

    Written to a CSV file and read again the cells say the same.
    """
    try:
        placed = _placed(sheet, cells)
        rest: list[Cell] = []
    except Unfit:
        placed, rest = _by_header(sheet, cells), _nameless(sheet, cells)
    said = [_cell_text(sheet, placed.get(name), name) for name in ALL_COLUMNS]
    return [*said, *(_cell_text(sheet, cell, "") for cell in rest)]


def _placed(sheet: Sheet, cells: Sequence[Cell]) -> dict[str, Cell]:
    found, nameless = _by_header(sheet, cells), _nameless(sheet, cells)
    if sheet.ten_columns and _is_shifted(sheet, found, nameless):
        # October 2025: rows grew by `details` while the header stayed as it was.
        details, received_at = found["receivedAt"], found["source"]
        source, nameless = (nameless[0], nameless[1:]) if nameless else (None, [])
        found |= {"details": details, "receivedAt": received_at, "source": source}
    if nameless:
        raise Unfit("surplus_cells", "it has more cells than the first row has names")
    return found


def _refuse_damaged(sheet: Sheet, cells: Sequence[Cell]) -> None:
    """A row that is torn, or in another encoding, says nothing for certain. Raises Unfit."""
    for place, cell in enumerate(cells):
        if isinstance(cell, Lost) and cell.code:
            names = {place: name for name, place in sheet.places.items()}
            raise Unfit(cell.code, f"{names.get(place, f'column {place + 1}')} {cell.why}")
    if sheet.dressed and len(cells) <= max(sheet.named):
        raise Unfit("cut_short", "it ends before the last column that the first row names")


def _is_shifted(sheet: Sheet, found: Mapping[str, Cell], nameless: Sequence[Cell]) -> bool:
    """Whether the time of receipt stands under `source`, or is empty and a cell follows it."""
    if is_blank(found["source"]):
        return bool(nameless) and not _is_time(sheet, found["receivedAt"])
    return _is_time(sheet, found["source"])


def _is_time(sheet: Sheet, cell: Cell) -> bool:
    try:
        moment = moment_of(cell, "", zone=sheet.zone, day_zero=sheet.day_zero)
    except Unfit:
        return False
    return moment >= sheet.not_before


def _by_header(sheet: Sheet, cells: Sequence[Cell]) -> dict[str, Cell]:
    return {
        name: cells[place] if place < len(cells) else None for name, place in sheet.places.items()
    }


def _nameless(sheet: Sheet, cells: Sequence[Cell]) -> list[Cell]:
    return [c for n, c in enumerate(cells) if n not in sheet.named and not is_blank(c)]


def _read(sheet: Sheet, placed: Mapping[str, Cell]) -> tuple[Reading, datetime]:
    for name in REQUIRED:
        if is_blank(placed[name]):
            raise Unfit("missing_field", f"{name} is empty")
    scanned_at = moment_of(placed["ts"], "ts", zone=sheet.zone, day_zero=sheet.day_zero)
    received_at = scanned_at
    if not is_blank(given := placed.get("receivedAt")):
        received_at = moment_of(given, "receivedAt", zone=sheet.zone, day_zero=sheet.day_zero)
    texts = {name: _text(sheet, placed.get(name), name) for name in COLUMNS if name not in MOMENTS}
    uuid = texts.pop("uuid").strip()
    ts = unix_ms(scanned_at)
    content = [sheet.name, uuid, ts, unix_ms(received_at), texts]
    reading = Reading(
        uuid=parse_uuid(uuid) or uuid5(_IDS, json.dumps(content)),
        ts=ts,
        type=texts["type"],
        operator=texts["operator"],
        client=texts["client"],
        city=texts["city"],
        box=texts["box"],
        code=texts["code"],
        details=texts["details"] or None,
        source=texts["source"],
    )
    return reading, received_at


def _text(sheet: Sheet, cell: Cell, column: str) -> str:
    if column == "code":
        return code_of(cell, dressed=sheet.dressed)
    return text_of(cell, column, dressed=sheet.dressed)


def _cell_text(sheet: Sheet, cell: Cell, column: str) -> str:
    if isinstance(cell, Lost):
        return _cell_text(sheet, cell.text, column)
    if column in MOMENTS and not isinstance(cell, str | None):
        return _moment_text(sheet, cell)
    try:
        text = _text(sheet, cell, column)
        return barcode(text) if column == "code" else escape_formula(text)
    except Unfit:
        if not isinstance(cell, str):
            return f"{SPOILT}{cell}"
        return cell if cell.startswith(SPOILT) else escape_formula(cell)


def _moment_text(sheet: Sheet, cell: Cell) -> str:
    try:
        moment = moment_of(cell, "", zone=sheet.zone, day_zero=sheet.day_zero)
    except Unfit:
        return escape_formula(str(cell))
    # As people read it, if that says all of it.
    return written(moment, sheet.zone) if not moment.microsecond else moment.isoformat()
