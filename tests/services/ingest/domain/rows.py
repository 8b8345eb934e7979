"""Sheets of the old log and rows of them, as tests tell of them."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.ingest import ScanRecorded
from services.ingest.domain.scan import Fault
from services.ingest.domain.sheet import COLUMNS, Sheet, scan_of, sheet_of
from services.ingest.domain.spreadsheet import Cell

MOSCOW = ZoneInfo("Europe/Moscow")
NOW = datetime(2025, 11, 30, tzinfo=UTC)
ID = "c6414b06-1f2e-4a5b-8c3d-0123456789ab"


def sheet(header: list[Any] | None = None, name: str = "raw_log_2025_10", **told: Any) -> Sheet:
    """A sheet with these columns."""
    rules: dict[str, Any] = {"zone": MOSCOW, "not_before": datetime(2015, 1, 1, tzinfo=UTC)} | told
    return sheet_of(name, header or list(COLUMNS), **rules)


def row(**changes: Cell) -> list[Cell]:
    """Cells under `COLUMNS`; `changes` name what is different."""
    cells: dict[str, Cell] = {
        "uuid": ID,
        "ts": "31.10.2025 08:02:05",
        "type": "ITEM",
        "operator": "testscanner",
        "client": "ivancov",
        "city": "Novosem",
        "box": "ivancov/8",
        "code": "2042469234860",
        "details": "",
        "receivedAt": "31.10.2025 08:02:09",
        "source": "pwa",
    }
    return list((cells | changes).values())


def scan(cells: list[Cell], of: Sheet | None = None) -> ScanRecorded:
    """The scan a row tells of."""
    found = scan_of(of or sheet(), cells, now=NOW)
    assert isinstance(found, ScanRecorded), found
    return found


def fault(cells: list[Cell], of: Sheet | None = None) -> str:
    """The code of what is wrong with a row."""
    found = scan_of(of or sheet(), cells, now=NOW)
    assert isinstance(found, Fault), found
    return found.code
