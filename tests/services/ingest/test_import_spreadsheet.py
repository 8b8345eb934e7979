"""A spreadsheet is imported by the same rules as its files, if what it needs is installed."""

import sys
from functools import partial
from pathlib import Path

import pytest

from contracts.ingest import ScanRecorded
from services.ingest.adapters.table import Choice, Unreadable
from services.ingest.bootstrap import open_spreadsheet
from services.ingest.domain.sheet import COLUMNS
from services.ingest.handlers.importing import Source
from tests.services.ingest.adapters.sheets_api import Grid, SheetsApi, serving
from tests.services.ingest.history import SETTINGS, Store, events_in
from tests.services.ingest.importing import Importer, a_csv, a_row, numbers

CHOICE = Choice(prefix="raw_log_")
OLD = [name for name in COLUMNS if name != "details"]
SHIFTED = [*list(a_row(3, details="товар").values())[:9], 45961.5, "pwa"]
SHEETS: dict[str, Grid] = {
    "raw_log_2025_10": [
        OLD,
        list(a_row(1, code="0042").values())[:8],
        SHIFTED,
        [],
        list(a_row(4, ts="garbage").values())[:8],
    ],
    "raw_log_2025_11": [COLUMNS, [*list(a_row(5).values())[:7], 2042469234860]],
    "Сводка": [["items", 3]],
}


async def test_the_months_of_a_spreadsheet_are_imported_once(store: Store, tmp_path: Path) -> None:
    async with serving(SheetsApi(SHEETS)) as api:
        importer = Importer(store)
        settings = SETTINGS.model_copy(update={"sheets_api_url": api.url})
        key = api.credentials(tmp_path)
        opener = partial(
            open_spreadsheet, settings, api.spreadsheet_id, key, CHOICE, importer.pause
        )
        source = Source(name="log", open=opener, rejects=tmp_path / "log.rejected.csv")
        # One file of the same month, so that what both hold is skipped.
        path = a_csv(tmp_path / "raw_log_2025_11.csv", [a_row(5, code='="2042469234860"')])

        accounts = [numbers((await importer(one)).accounts[0]) for one in (source, source, path)]

    assert accounts == [(4, 3, 0, 1), (4, 0, 3, 1), (1, 0, 1, 0)]
    scans = await events_in(store, ScanRecorded)
    assert {scan.code for scan in scans} == {"0042", "3", "2042469234860"}
    assert {scan.details for scan in scans} == {None, "товар"}
    rejected = (tmp_path / "log.rejected.csv").read_text(encoding="utf-8-sig").splitlines()
    assert rejected[1].startswith("raw_log_2025_10;5;ts is not a time")


async def test_without_gspread_the_refusal_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gspread", None)
    monkeypatch.delitem(sys.modules, "services.ingest.adapters.google_sheets", raising=False)
    package = sys.modules["services.ingest.adapters"]
    monkeypatch.delattr(package, "google_sheets", raising=False)
    opened = open_spreadsheet(SETTINGS, "id", tmp_path / "key.json", CHOICE, Importer.pause)  # type: ignore[arg-type]

    with pytest.raises(Unreadable, match=r"pip install 'tillstream\[sheets\]'"):
        await opened.__aenter__()
