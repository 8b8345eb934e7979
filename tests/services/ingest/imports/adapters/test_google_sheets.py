"""Google spreadsheets are read through gspread and imported, from a fake server."""

import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contracts.ingest import ScanRecorded
from services.ingest.imports.adapters import google_sheets, spreadsheet
from services.ingest.imports.adapters.google_sheets import open_spreadsheet
from services.ingest.imports.adapters.table import Row, Unreadable, WorksheetChoice
from services.ingest.imports.domain.sheet import COLUMNS
from services.ingest.imports.domain.spreadsheet import Lost
from services.ingest.imports.handlers.importing import Source
from tests.services.ingest.history import NOON, SETTINGS, Store, events_in
from tests.services.ingest.importing import Importer, a_csv, a_row, numbers
from tests.services.ingest.imports.adapters.sheets_api import Grid, SheetsApi, serving

OCTOBER: Grid = [
    list(COLUMNS),
    ["1", 45961.5, "ITEM", "anna"],
    [],
    ["2", "", "", "", 2042469234860],
]
ALL = WorksheetChoice(prefix="raw_log_")


class Slept(list[float]):
    """Sleeps no time, and remembers how long it should have been."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
async def api() -> AsyncIterator[SheetsApi]:
    sheets: dict[str, Grid] = {
        "raw_log_2025_10": OCTOBER,
        "Настройки": [["x"]],
        "raw_log_2025_11": [list(COLUMNS)],
    }
    async with serving(SheetsApi(sheets)) as served:
        yield served


async def read(
    api: SheetsApi, key: Path, choice: WorksheetChoice = ALL, *, slept: Any = None, **given: Any
) -> dict[str, Sequence[Row]]:
    given = {"api": api.url, "pause": Slept() if slept is None else slept} | given
    name = given.pop("spreadsheet_id", api.spreadsheet_id)
    async with open_spreadsheet(name, key, choice, **given) as worksheets:
        return {
            sheet.name: [(1, sheet.header), *[row async for page in sheet.pages() for row in page]]
            for sheet in worksheets
        }


async def refusal(api: SheetsApi, key: Path, **given: Any) -> str:
    with pytest.raises(Unreadable) as unreadable:
        await read(api, key, **given)
    return str(unreadable.value)


async def test_the_months_are_read_as_they_are_stored(api: SheetsApi, tmp_path: Path) -> None:
    rows = await read(api, api.credentials(tmp_path))

    assert rows == {
        "raw_log_2025_10": [
            (1, COLUMNS),
            (2, ("1", 45961.5, "ITEM", "anna")),
            (3, ()),
            (4, ("2", "", "", "", 2042469234860)),
        ],
        "raw_log_2025_11": [(1, COLUMNS)],
    }
    assert api.tokens == 1


async def test_a_date_is_a_date_and_a_number_of_the_same_size_a_number(tmp_path: Path) -> None:
    moment = datetime.fromisoformat("2025-12-05 08:02:05")
    rows: Grid = [["uuid"], ["5/12", moment, 45996, True], [moment - timedelta(days=45996)]]
    async with serving(SheetsApi({"raw_log_x": rows})) as api:
        rows = (await read(api, api.credentials(tmp_path)))["raw_log_x"]

    lost = Lost("is a time without a date")
    assert rows[1:] == [(2, ("5/12", moment, 45996, True)), (3, (lost,))]


async def test_other_worksheets_are_read_if_they_are_named(api: SheetsApi, tmp_path: Path) -> None:
    key = api.credentials(tmp_path)

    assert list(await read(api, key, WorksheetChoice(names=["Настройки"]))) == ["Настройки"]
    assert "no worksheet begins with" in await refusal(
        api, key, choice=WorksheetChoice(prefix="2025")
    )
    assert "there is no worksheet x" in await refusal(api, key, choice=WorksheetChoice(names=["x"]))


async def test_many_rows_come_in_few_requests_and_small_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_sheets, "REQUEST_ROWS", 10)
    monkeypatch.setattr(google_sheets, "PAGE", 4)
    stored = [[str(number)] for number in range(2, 33)]
    async with serving(SheetsApi({"raw_log_it's": [["uuid"], *stored]}, spare=30)) as api:
        rows = await read(api, api.credentials(tmp_path))

    assert rows["raw_log_it's"] == [(1, ("uuid",)), *((n, (str(n),)) for n in range(2, 33))]
    assert [one.partition("!")[2].partition("?")[0] for one in api.requested if "!" in one] == [
        *("1:1", "2:11", "12:21", "22:31", "32:41", "42:51", "52:61", "62:62")
    ]


async def test_a_busy_api_is_retried_after_the_time_it_demands(
    api: SheetsApi, tmp_path: Path
) -> None:
    slept = Slept()
    until = format_datetime(NOON + timedelta(seconds=33), usegmt=True)
    api.troubles = [(429, {"Retry-After": "17"}), (429, {"Retry-After": until}), (429, {})]
    api.troubles += [(503, {}), (429, {"Retry-After": "86400"})]

    rows = await read(api, api.credentials(tmp_path), slept=slept, clock=lambda: NOON)

    assert len(rows) == 2
    assert slept == [17, 33, 4, 8, google_sheets.MAX_WAIT]


async def test_a_permanently_busy_api_is_unreadable(api: SheetsApi, tmp_path: Path) -> None:
    api.troubles, slept = [(429, {})] * 100, Slept()

    assert "try again later" in await refusal(api, api.credentials(tmp_path), slept=slept)
    assert len(slept) == google_sheets.ATTEMPTS - 1


async def test_an_unreachable_api_is_unreadable(tmp_path: Path) -> None:
    async with serving(SheetsApi({})) as api:
        key = api.credentials(tmp_path)

    assert "cannot be reached" in await refusal(api, key)


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "not shared"), (404, "no spreadsheet"), (400, "does not understand")],
)
async def test_a_refusal_is_one_sentence(
    api: SheetsApi, tmp_path: Path, status: int, words: str
) -> None:
    api.troubles, slept = [(status, {})], Slept()

    reason = await refusal(api, api.credentials(tmp_path), slept=slept)

    assert words in reason
    assert "fake" not in reason
    assert slept == []


async def test_an_expired_token_is_renewed(api: SheetsApi, tmp_path: Path) -> None:
    api.troubles = [(401, {})]

    assert len(await read(api, api.credentials(tmp_path))) == 2
    assert api.tokens == 2


async def test_an_unknown_id_and_unknown_credentials_are_refused(
    api: SheetsApi, tmp_path: Path
) -> None:
    key = api.credentials(tmp_path)
    unknown = await refusal(api, key, spreadsheet_id="other")
    assert unknown == "there is no spreadsheet with this id"

    key = api.credentials(tmp_path, client_email="stranger@example.iam")
    assert await refusal(api, key) == "the credentials are not accepted"


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", "не JSON", '{"type": "authorized_user"}']
)
async def test_a_file_without_credentials_is_reported(
    api: SheetsApi, tmp_path: Path, content: str | None
) -> None:
    key = tmp_path / "key.json"
    if content is not None:
        key.write_text(content)

    assert "key file" in await refusal(api, key)


async def test_a_spreadsheet_without_any_rows_is_empty(tmp_path: Path) -> None:
    async with serving(SheetsApi({"raw_log_2025_10": []})) as api:
        assert "empty" in await refusal(api, api.credentials(tmp_path))


async def test_stopping_ends_the_wait(api: SheetsApi, tmp_path: Path) -> None:
    async def stop(seconds: float) -> None:
        raise InterruptedError

    api.troubles = [(429, {"Retry-After": "60"})]

    with pytest.raises(InterruptedError):
        await read(api, api.credentials(tmp_path), slept=stop)


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
            spreadsheet.open_spreadsheet, settings, api.spreadsheet_id, key, ALL, importer.pause
        )
        source = Source(name="log", open=opener, rejects=tmp_path / "log.rejected.csv")
        # One file of the same month, so that what both hold is skipped.
        path = a_csv(tmp_path / "raw_log_2025_11.csv", [a_row(5, code='="2042469234860"')])

        results = [numbers((await importer(one)).results[0]) for one in (source, source, path)]

    assert results == [(4, 3, 0, 1), (4, 0, 3, 1), (1, 0, 1, 0)]
    scans = await events_in(store, ScanRecorded)
    assert {scan.code for scan in scans} == {"0042", "3", "2042469234860"}
    assert {scan.details for scan in scans} == {None, "товар"}
    rejected = (tmp_path / "log.rejected.csv").read_text(encoding="utf-8-sig").splitlines()
    assert rejected[1].startswith("raw_log_2025_10;5;ts is not a time")


async def test_without_gspread_the_refusal_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gspread", None)
    monkeypatch.delitem(
        sys.modules, "services.ingest.imports.adapters.google_sheets", raising=False
    )
    package = sys.modules["services.ingest.imports.adapters"]
    monkeypatch.delattr(package, "google_sheets", raising=False)
    opening = spreadsheet.open_spreadsheet(SETTINGS, "id", tmp_path / "key.json", ALL, Slept())

    with pytest.raises(Unreadable, match=r"pip install 'tillstream\[sheets\]'"):
        await opening.__aenter__()
