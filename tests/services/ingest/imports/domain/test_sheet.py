"""The scans of the rows of the old log (§6), and the faults of rows."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from contracts.ingest import ScanRecorded
from services.ingest.imports.domain.sheet import (
    COLUMNS,
    Sheet,
    WrongSheet,
    as_texts,
    scan_of,
    sheet_of,
)
from services.ingest.imports.domain.spreadsheet import Cell, Lost
from services.ingest.scans.domain.scan import LIMITS, Fault
from tests.services.ingest.history import FLOOR, ZONE

NOW = datetime(2025, 11, 30, tzinfo=UTC)
ID = "c6414b06-1f2e-4a5b-8c3d-0123456789ab"
REAL_DATE = datetime.fromisoformat("2025-10-31 08:02:05")
REQUIRED = ("uuid", "ts", "type", "operator")


def sheet(header: list[Any] | None = None, name: str = "raw_log_2025_10", **given: Any) -> Sheet:
    rules: dict[str, Any] = {"zone": ZONE, "not_before": FLOOR} | given
    return sheet_of(name, header or list(COLUMNS), **rules)


OCTOBER = sheet([name for name in COLUMNS if name != "details"])
"""Its header has ten names, but its rows came to have eleven cells."""


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


def old_row(*more: Cell) -> list[Cell]:
    """A row of ten cells, from the time before the column `details`."""
    cells = row()
    del cells[8]
    return [*cells, *more]


def scan(cells: list[Cell], of: Sheet | None = None) -> ScanRecorded:
    result = scan_of(of or sheet(), cells, now=NOW)
    assert isinstance(result, ScanRecorded), result
    return result


def fault(cells: list[Cell], of: Sheet | None = None) -> str:
    result = scan_of(of or sheet(), cells, now=NOW)
    assert isinstance(result, Fault), result
    return result.code


def test_a_row_becomes_the_scan_that_a_device_would_have_sent() -> None:
    assert scan(row()) == ScanRecorded(
        scan_id=UUID(ID),  # type: ignore[arg-type]
        kind="ITEM",
        operator="testscanner",
        client="ivancov",
        city="Novosem",
        box="ivancov/8",
        code="2042469234860",
        details=None,
        source="pwa",
        scanned_at=datetime(2025, 10, 31, 5, 2, 5, tzinfo=UTC),
        received_at=datetime(2025, 10, 31, 5, 2, 9, tzinfo=UTC),
        effective_at=datetime(2025, 10, 31, 5, 2, 5, tzinfo=UTC),
        skewed=False,
    )


def test_columns_are_found_by_name_whatever_their_order_case_and_space() -> None:
    header = ["\ufeff Source", "note", "RECEIVED_AT ", "details", "CODE", "Box", "city", "client"]
    of = sheet([*header, "operator", "\ttype", "TS", " Uuid\xa0"])
    cells = [*reversed(row())]

    assert scan([cells[0], "whatever", *cells[1:]], of) == scan(row())


def test_a_sheet_without_a_required_column_or_with_one_twice_is_refused() -> None:
    for missing in REQUIRED:
        with pytest.raises(WrongSheet, match=f"does not name {missing};"):
            sheet([name for name in COLUMNS if name != missing])
    with pytest.raises(WrongSheet, match="twice"):
        sheet([*COLUMNS, "received_at"])


@pytest.mark.parametrize("column", ["client", "city", "box", "code", "details", "source"])
def test_a_column_that_may_be_missing_is_empty(column: str) -> None:
    header = [name for name in COLUMNS if name != column]
    cells = [c for name, c in zip(COLUMNS, row(), strict=True) if name != column]

    assert scan(cells, sheet(header)) == scan(row(**{column: ""}))


def test_a_row_may_end_early_and_without_a_receipt_the_scans_own_time_counts() -> None:
    for cells in (row()[:4], row(receivedAt="")):
        result = scan(cells)
        assert (result.received_at, result.skewed) == (scan(row()).scanned_at, False)


def test_a_source_that_is_empty_is_the_pwa() -> None:
    assert scan(row(source="")).source == "pwa"
    assert scan(row(source="dashboard")).source == "dashboard"


TOMORROW = "01.12.2025 12:00:00"
REJECTED: dict[str, tuple[list[Cell], str]] = {
    "a receipt that is no time is not replaced by now": (row(receivedAt="garbage"), "bad_time"),
    "neither is a time that is none": (row(ts="31.31.2025 08:02:05"), "bad_time"),
    "from the future": (row(ts=TOMORROW, receivedAt=""), "from_the_future"),
    "received in the future": (row(receivedAt=TOMORROW), "from_the_future"),
    "before there were scanners": (row(ts="01.01.1970 03:00:00"), "implausible_ts"),
    "NUL": (row(details="\0"), "unstorable_text"),
    "a lone surrogate": (row(details="\ud800"), "unstorable_text"),
    "more cells than names": ([*row(), "", "more"], "surplus_cells"),
    "a label that became a date": (row(box=REAL_DATE), "became_a_date"),
    "a cell without a value": (row(code=Lost("is a formula")), "no_value"),
    **{
        f"{column} is {empty!r}": (row(**{column: empty}), "missing_field")
        for column in REQUIRED
        for empty in ("", None, "  ")
    },
}


@pytest.mark.parametrize(("cells", "code"), REJECTED.values(), ids=REJECTED)
def test_an_implausible_row_is_rejected(cells: list[Cell], code: str) -> None:
    assert fault(cells) == code


def test_in_a_csv_a_row_that_ends_early_or_is_damaged_anywhere_is_rejected_whole() -> None:
    escaped = sheet([*COLUMNS, "note"], escaped=True)
    assert scan([*row(), ""], escaped) == scan(row())
    for cells in ([*row()], [*row()[:-1]], [*row()[:4]]):
        assert fault(cells, escaped) == "cut_short"
    assert fault([*row(), Lost("is damaged", "damaged", "\udce2")], escaped) == "damaged"
    assert fault(row(city=Lost("is damaged", "damaged")), escaped) == "damaged"


@pytest.mark.parametrize("column", sorted(set(LIMITS) - {"details"}))
def test_the_limits_of_a_device_hold_for_rows_too(column: str) -> None:
    assert scan(row(**{column: "x" * LIMITS[column]})).skewed is False
    assert fault(row(**{column: "x" * (LIMITS[column] + 1)})) == "too_long"


def test_any_spelling_of_a_uuid_is_that_uuid() -> None:
    for spelled in (ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f" {ID} "):
        assert str(scan(row(uuid=spelled)).scan_id) == ID


def test_a_bad_uuid_is_replaced_by_the_same_one_at_every_run() -> None:
    bad = scan(row(uuid="scan-17"))

    assert bad.scan_id == scan(row(uuid="scan-17")).scan_id
    assert bad.scan_id.version == 5
    others = [
        scan(row(uuid="scan-18")),
        scan(row(uuid="scan-17", code="1")),
        scan(row(uuid="scan-17", receivedAt="")),
        scan(row(uuid="scan-17"), sheet(name="raw_log_2025_11")),
    ]
    assert len({bad.scan_id, *(other.scan_id for other in others)}) == 5


def test_a_bad_uuid_gives_the_same_id_from_a_csv_and_from_a_workbook() -> None:
    real = row(uuid="x", ts=REAL_DATE, code=2042469234860.0, details=None)
    escaped = row(uuid="x", code='="2042469234860"')

    assert scan(real).scan_id == scan(escaped, sheet(escaped=True)).scan_id


def test_empty_unnamed_cells_and_numeric_barcodes_are_accepted() -> None:
    assert scan([*row(), "", None, " "]) == scan(row())
    for code in (2042469234860, 2.04246923486e12):
        assert scan(row(code=code)).code == "2042469234860"


def test_an_old_row_of_october_is_read_by_its_header() -> None:
    assert scan(old_row(), OCTOBER) == scan(row())


@pytest.mark.parametrize("source", ["pwa", "dashboard"])
@pytest.mark.parametrize("details", ["", None, "товар", "30.10.2025 01:02:03"])
def test_a_new_row_of_october_is_read_as_it_was_meant(details: Cell, source: Cell) -> None:
    cells = row(details=details, source=source)

    assert scan(cells, OCTOBER) == scan(cells)


def test_a_new_row_of_october_may_have_a_date_cell_or_end_early() -> None:
    for received in (45961.5, REAL_DATE.replace(hour=12), ""):
        cells = row(receivedAt=received, details="x" if received == "" else "")
        assert scan(cells, OCTOBER) == scan(cells)
    assert scan(row(details="x")[:10], OCTOBER) == scan(row(details="x"))


def test_a_row_of_october_that_fits_neither_way_is_rejected() -> None:
    assert fault([*row(), "more"], OCTOBER) == "surplus_cells"
    assert fault(old_row("a note"), OCTOBER) == "surplus_cells"
    cells = row(operator="", details="товар")
    assert as_texts(OCTOBER, cells) == as_texts(sheet(), cells)


AGAIN = sheet([*COLUMNS, "log_events"], escaped=True)
"""A list of rejected rows."""


@pytest.mark.parametrize("column", ["box", "code"])
@pytest.mark.parametrize("spoilt", [REAL_DATE, True, 12.5, 1e19, 1_234_567_890_123_450], ids=repr)
def test_an_uncorrected_row_is_rejected_again(spoilt: Cell, column: str) -> None:
    assert fault(row(**{column: spoilt}))
    assert fault([*as_texts(sheet(), row(**{column: spoilt}))], AGAIN)


def test_times_in_a_rejected_row_are_those_of_the_row() -> None:
    second = REAL_DATE.replace(second=9)
    for moments in ((REAL_DATE, second), (45961.33478009259, 45961.33482638889)):
        cells = row(ts=moments[0], receivedAt=moments[1], code="0042")
        assert scan([*as_texts(sheet(), cells)], AGAIN) == scan(cells)
    exact = row(ts=1_761_886_925_007)
    assert scan([*as_texts(sheet(), exact)], AGAIN) == scan(exact)


def test_a_rejected_row_is_written_with_all_its_cells() -> None:
    cells = [*row(box=REAL_DATE.replace(month=12, day=5), code=Lost("is a formula")), "-1"]

    assert as_texts(sheet(), cells)[6:] == [
        *("#SPOILT 2025-12-05 08:02:05", "", "", "31.10.2025 08:02:09", "pwa", "", "'-1")
    ]
