"""The sheet of October 2025: its header has ten names, but its rows came to have eleven cells."""

from datetime import datetime

import pytest

from services.ingest.domain.sheet import COLUMNS, told
from services.ingest.domain.spreadsheet import Cell
from tests.services.ingest.domain.rows import fault, row, scan, sheet

OCTOBER = sheet([name for name in COLUMNS if name != "details"])


def test_an_old_row_is_read_by_its_header() -> None:
    cells = row()
    del cells[8]

    assert scan(cells, OCTOBER) == scan(row())


@pytest.mark.parametrize("details", ["", None, "товар", "30.10.2025 01:02:03"])
@pytest.mark.parametrize("source", ["pwa", "dashboard"])
def test_a_new_row_is_read_as_it_was_meant(details: Cell, source: Cell) -> None:
    cells = row(details=details, source=source)

    assert scan(cells, OCTOBER) == scan(cells)


@pytest.mark.parametrize("received", [45961.5, datetime.fromisoformat("2025-10-31 12:00")])
def test_so_is_one_with_a_real_date(received: Cell) -> None:
    assert scan(row(receivedAt=received), OCTOBER) == scan(row(receivedAt=received))


def test_so_is_one_whose_last_cell_is_cut_off() -> None:
    assert scan(row(details="x")[:10], OCTOBER) == scan(row(details="x"))


def test_so_is_one_without_a_time_of_receipt() -> None:
    cells = row(receivedAt="", details="x")

    assert scan(cells, OCTOBER) == scan(cells)


def test_a_row_that_fits_neither_way_is_rejected() -> None:
    assert fault([*row(), "more"], OCTOBER) == "surplus_cells"
    old = row()
    del old[8]
    assert fault([*old, "a note"], OCTOBER) == "surplus_cells"


def test_a_rejected_row_is_told_the_way_it_was_meant() -> None:
    cells = row(operator="", details="товар")

    assert told(OCTOBER, cells) == told(sheet(), cells)
