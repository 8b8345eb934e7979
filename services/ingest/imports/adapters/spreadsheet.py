"""Google spreadsheets, if the library for them is installed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.ingest.imports.adapters.table import Pause, Unreadable, Worksheet, WorksheetChoice
from services.ingest.settings import Settings


@asynccontextmanager
async def open_spreadsheet(
    settings: Settings,
    spreadsheet_id: str,
    credentials: Path,
    choice: WorksheetChoice,
    pause: Pause,
) -> AsyncIterator[Sequence[Worksheet]]:
    """The worksheets of a Google spreadsheet. Raises Unreadable, also if gspread is missing."""
    try:
        from services.ingest.imports.adapters import google_sheets
    except ImportError as error:
        raise Unreadable("spreadsheets need gspread: pip install 'tillstream[sheets]'") from error
    spreadsheet = google_sheets.open_spreadsheet(
        spreadsheet_id, credentials, choice, api=settings.sheets_api_url, pause=pause
    )
    async with spreadsheet as worksheets:
        yield worksheets
