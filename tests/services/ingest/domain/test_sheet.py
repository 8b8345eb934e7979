"""What the rows of the old log tell (§6), one sentence for each way they used to go wrong."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contracts.ingest import ScanRecorded
from services.ingest.domain.scan import LIMITS
from services.ingest.domain.sheet import COLUMNS, WrongSheet
from services.ingest.domain.spreadsheet import Cell, Lost
from tests.services.ingest.domain.rows import ID, fault, row, scan, sheet


def test_a_row_becomes_the_scan_that_a_device_would_have_told() -> None:
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


@pytest.mark.parametrize("missing", ["uuid", "ts", "type", "operator"])
def test_a_sheet_without_a_required_column_is_refused_by_its_name(missing: str) -> None:
    with pytest.raises(WrongSheet, match=f"does not name {missing};"):
        sheet([name for name in COLUMNS if name != missing])


def test_a_sheet_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(WrongSheet, match="twice"):
        sheet([*COLUMNS, "received_at"])


@pytest.mark.parametrize("column", ["client", "city", "box", "code", "details", "source"])
def test_a_column_that_may_be_missing_is_empty(column: str) -> None:
    header = [name for name in COLUMNS if name != column]
    cells = [c for name, c in zip(COLUMNS, row(), strict=True) if name != column]

    assert scan(cells, sheet(header)) == scan(row(**{column: ""}))


@pytest.mark.parametrize("column", ["uuid", "ts", "type", "operator"])
@pytest.mark.parametrize("empty", ["", None, "  "])
def test_a_row_without_a_required_value_is_rejected(column: str, empty: Cell) -> None:
    assert fault(row(**{column: empty})) == "missing_field"


def test_a_row_may_end_early() -> None:
    assert scan(row()[:4]).received_at == scan(row()).scanned_at


def test_without_a_time_of_receipt_the_scans_own_counts() -> None:
    told = scan(row(receivedAt=""))

    assert (told.received_at, told.skewed) == (told.scanned_at, False)


def test_a_source_that_is_empty_is_the_pwa() -> None:
    assert scan(row(source="")).source == "pwa"
    assert scan(row(source="dashboard")).source == "dashboard"


def test_a_time_of_receipt_that_cannot_be_read_is_not_replaced_by_now() -> None:
    assert fault(row(receivedAt="garbage")) == "bad_time"


def test_a_time_that_cannot_be_read_is_not_replaced_by_now() -> None:
    assert fault(row(ts="31.31.2025 08:02:05")) == "bad_time"


def test_a_row_from_the_future_is_rejected() -> None:
    tomorrow = "01.12.2025 12:00:00"

    assert fault(row(ts=tomorrow, receivedAt="")) == "from_the_future"
    assert fault(row(receivedAt=tomorrow)) == "from_the_future"


def test_a_clock_ahead_of_the_receipt_counts_from_the_receipt() -> None:
    told = scan(row(ts="31.10.2025 09:00:00"))

    assert (told.skewed, told.effective_at) == (True, told.received_at)
    assert told.scanned_at - told.received_at == timedelta(minutes=57, seconds=51)


def test_a_time_before_there_were_scanners_is_rejected() -> None:
    assert fault(row(ts="01.01.1970 03:00:00")) == "implausible_ts"


@pytest.mark.parametrize("column", sorted(set(LIMITS) - {"details"}))
def test_the_limits_of_a_device_hold_for_rows_too(column: str) -> None:
    assert scan(row(**{column: "x" * LIMITS[column]})).skewed is False
    assert fault(row(**{column: "x" * (LIMITS[column] + 1)})) == "too_long"


@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_what_cannot_be_stored_is_rejected(text: str) -> None:
    assert fault(row(details=text)) == "unstorable_text"


@pytest.mark.parametrize("spelt", [ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f" {ID} "])
def test_any_spelling_of_a_uuid_is_that_uuid(spelt: str) -> None:
    assert str(scan(row(uuid=spelt)).scan_id) == ID


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
    real = row(
        uuid="x",
        ts=datetime.fromisoformat("2025-10-31 08:02:05"),
        code=2042469234860.0,
        details=None,
    )
    dressed = row(uuid="x", code='="2042469234860"')

    assert scan(real).scan_id == scan(dressed, sheet(dressed=True)).scan_id


@pytest.mark.parametrize("kind", ["REMOVE", "BULK_REMOVE", "SOMETHING_NEW"])
def test_rows_of_any_kind_are_scans_of_that_kind(kind: str) -> None:
    assert scan(row(type=kind)).kind == kind


def test_a_row_with_more_cells_than_names_is_rejected() -> None:
    assert fault([*row(), "", "more"]) == "surplus_cells"
    assert scan([*row(), "", None, " "]) == scan(row())


def test_a_barcode_that_became_a_number_keeps_its_digits() -> None:
    assert scan(row(code=2042469234860)).code == "2042469234860"
    assert scan(row(code=2.04246923486e12)).code == "2042469234860"


def test_a_label_that_became_a_date_is_rejected() -> None:
    assert fault(row(box=datetime.fromisoformat("2025-12-05"))) == "became_a_date"


def test_a_cell_without_a_value_is_rejected() -> None:
    assert fault(row(code=Lost("is a formula"))) == "no_value"
