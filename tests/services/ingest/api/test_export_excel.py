"""The workbook, as a spreadsheet program reads it."""

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.cell import Cell
from openpyxl.utils.escape import unescape
from openpyxl.worksheet.worksheet import Worksheet

from services.ingest.adapters import workbook
from services.ingest.api import csv_lines
from tests.services.ingest.history import a_scan
from tests.services.ingest.service import CSV, EXCEL, Service

TEXTS = {"kind": 2, "operator": 3, "client": 4, "city": 5, "box": 6, "code": 7, "details": 8}
HOSTILE = [
    *("=1+1", '=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", '"', "a\nb"),
    *("http://evil.example/", "mailto:a@b", "<r><t>x</t></r>", "<r>&</r>", "<b>&amp;</b>]]>"),
    *("_x000D_", " a ", "🌻", "00042", "1e5"),
]
TOO_MUCH = ["a\x01\x1fb\r", "\x0b", "\ufffe\uffff", "x" * 40_000, "🌻" * 20_000]


def sheet_in(content: bytes) -> Worksheet:
    active = openpyxl.load_workbook(io.BytesIO(content)).active
    assert active is not None
    return active


async def sheet(ingest: Service, **asked: str) -> Worksheet:
    answer = await ingest.viewer.get(EXCEL, params=asked)
    assert answer.status_code == 200
    return sheet_in(answer.content)


def cells(sheet: Worksheet) -> list[tuple[Cell, ...]]:
    rows: Any = sheet.iter_rows(min_row=2)
    return list(rows)


async def test_texts_are_texts_and_moments_are_moments(ingest: Service) -> None:
    early = datetime(2025, 10, 30, 21, 59, 7, 999_999, tzinfo=UTC)
    await ingest.record(a_scan(1, scanned_at=early))

    (row,) = cells(await sheet(ingest))

    assert [cell.value for cell in row] == [
        "00000000-0000-0000-0000-000000000001",
        datetime.fromisoformat("2025-10-31T00:59:07"),
        *("ITEM", "anna", "ivancov", "Novosem", "ivancov/8", "2042469234860", None),
        datetime.fromisoformat("2025-10-31T12:00:00"),
        "pwa",
    ]
    assert row[7].data_type == "s"
    assert row[1].number_format == row[9].number_format == "dd.mm.yyyy hh:mm:ss"


async def test_rows_are_those_of_the_csv(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, kind="BOX" if n % 3 else "ITEM") for n in range(700)))

    for asked in ({}, {"type": "BOX"}, {"city": "—"}):
        lines = (await ingest.viewer.get(CSV, params=asked)).text.splitlines()[1:]
        found = [row[0].value for row in cells(await sheet(ingest, **asked))]
        assert found == [line.partition(";")[0] for line in lines]


async def test_the_first_row_is_bold_and_stays_in_sight_and_can_filter(ingest: Service) -> None:
    await ingest.record(*(a_scan(n) for n in range(3)))

    made, empty = await sheet(ingest), await sheet(ingest, date="2025-10-30")

    assert [cell.value for cell in made[1]] == list(csv_lines.LOG)
    assert all(cell.font.b for cell in made[1])
    assert made.freeze_panes == "A2"
    assert made.auto_filter.ref == "A1:K4"
    assert made.column_dimensions["A"].width >= 36
    assert (empty.max_row, empty.auto_filter.ref) == (1, "A1:K1")


async def test_a_hostile_text_is_a_text_in_every_column(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, **dict.fromkeys(TEXTS, one)) for n, one in enumerate(HOSTILE)))

    content = (await ingest.viewer.get(EXCEL)).content

    for text, row in zip(HOSTILE, cells(sheet_in(content)), strict=True):
        for column in TEXTS.values():
            assert (row[column].data_type, row[column].hyperlink) == ("s", None)
            assert unescape(str(row[column].value)) == text
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        xml = parts.read("xl/worksheets/sheet1.xml")
        assert b"<f>" not in xml
        assert b"<hyperlink" not in xml


async def test_what_a_cell_cannot_hold_does_not_fail(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, details=text) for n, text in enumerate(TOO_MUCH)), a_scan(99))

    *rows, last = cells(await sheet(ingest))

    assert len(rows) == len(TOO_MUCH)
    for row in rows:
        assert row[8].data_type == "s"
        assert len(str(row[8].value).encode("utf-16-le")) // 2 <= 32_767
    assert last[7].value == "2042469234860"


async def test_the_answer_says_what_it_is(ingest: Service) -> None:
    answer = await ingest.viewer.get(EXCEL, headers={"Range": "bytes=0-10"})

    assert answer.status_code == 200
    assert answer.headers["accept-ranges"] == "none"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert answer.headers["content-type"] == kind
    assert answer.content.startswith(workbook.BEGINNING)


async def test_a_connection_is_kept_alive_with_what_every_workbook_begins_with(
    ingest: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "SIGN_OF_LIFE_SECONDS", 0.01)
    await ingest.record(*(a_scan(n) for n in range(1, 6000)))

    assert len(cells(await sheet(ingest))) == 5999
