"""A rejected row is told so that it can be mended and imported."""

from datetime import datetime

from services.ingest.domain.sheet import told
from services.ingest.domain.spreadsheet import Lost
from tests.services.ingest.domain.rows import ID, row, scan, sheet


def test_a_rejected_row_can_be_mended_and_imported() -> None:
    cells = row(
        operator="", details="=1+1", code='20"42', ts=datetime.fromisoformat("2025-10-31 08:02:05")
    )

    again = told(sheet(), cells)

    assert again == [
        *(ID, "31.10.2025 08:02:05", "ITEM", "", "ivancov", "Novosem", "ivancov/8"),
        *('="20""42"', "'=1+1", "31.10.2025 08:02:09", "pwa"),
    ]
    again[3] = "testscanner"
    mended = scan([*again], sheet(dressed=True))
    assert (mended.details, mended.code, mended.operator) == ("=1+1", '20"42', "testscanner")


def test_a_rejected_row_is_told_whole_even_if_it_is_spoilt() -> None:
    cells = [*row(box=datetime.fromisoformat("2025-12-05"), code=Lost("is a formula")), "-1"]

    assert told(sheet(), cells)[6:] == [
        *("05.12.2025 00:00:00", "", "", "31.10.2025 08:02:09", "pwa", "'-1")
    ]
