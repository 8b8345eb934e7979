"""The workbook, as a spreadsheet program reads it."""

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import openpyxl
import pytest
from httpx import AsyncClient
from openpyxl.cell.cell import Cell
from openpyxl.utils.escape import unescape
from openpyxl.worksheet.worksheet import Worksheet

from libs.postgres.pool import Pool
from services.ingest.adapters import workbook
from services.ingest.api import csv_lines
from tests.services.ingest.told import NOON, a_scan, in_envelope, project

EXCEL = "/api/v1/export/excel"
TEXTS = {"kind": 2, "operator": 3, "client": 4, "city": 5, "box": 6, "code": 7, "details": 8}
HOSTILE = [
    "=1+1",
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    '"',
    "a\nb",
    "http://evil.example/",
    "mailto:a@b",
    "<r><t>x</t></r>",
    "<r>&</r>",
    "<b>&amp;</b>]]>",
    "_x000D_",
    " a ",
    "🌻",
    "00042",
    "1e5",
]


async def sheet(viewer: AsyncClient, **asked: str) -> Worksheet:
    answer = await viewer.get(EXCEL, params=asked)
    assert answer.status_code == 200
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    assert book.active is not None
    return book.active


def cells(sheet: Worksheet) -> list[tuple[Cell, ...]]:
    rows: Any = sheet.iter_rows(min_row=2)
    return list(rows)


async def test_texts_are_texts_and_moments_are_moments(viewer: AsyncClient, pool: Pool) -> None:
    early = datetime(2025, 10, 30, 21, 59, 7, 999_999, tzinfo=UTC)
    await project(pool, [in_envelope(a_scan(1, scanned_at=early))])

    (row,) = cells(await sheet(viewer))

    assert [cell.value for cell in row] == [
        "00000000-0000-0000-0000-000000000001",
        datetime.fromisoformat("2025-10-31T00:59:07"),
        "ITEM",
        "anna",
        "ivancov",
        "Novosem",
        "ivancov/8",
        "2042469234860",
        None,
        datetime.fromisoformat("2025-10-31T12:00:00"),
        "pwa",
    ]
    assert row[7].data_type == "s"
    assert row[1].number_format == row[9].number_format == "dd.mm.yyyy hh:mm:ss"


async def test_rows_are_those_of_the_csv(viewer: AsyncClient, pool: Pool) -> None:
    scans = [a_scan(n, kind="BOX" if n % 3 else "ITEM") for n in range(700)]
    await project(pool, [in_envelope(scan) for scan in scans])

    for asked in ({}, {"type": "BOX"}, {"city": "—"}):
        lines = (await viewer.get("/api/v1/export/csv", params=asked)).text.splitlines()[1:]
        found = [row[0].value for row in cells(await sheet(viewer, **asked))]
        assert found == [line.partition(";")[0] for line in lines]


async def test_the_first_row_is_bold_and_stays_in_sight_and_can_filter(
    viewer: AsyncClient, pool: Pool
) -> None:
    await project(pool, [in_envelope(a_scan(n)) for n in range(3)])

    found = await sheet(viewer)

    assert [cell.value for cell in found[1]] == list(csv_lines.LOG)
    assert all(cell.font.b for cell in found[1])
    assert found.freeze_panes == "A2"
    assert found.auto_filter.ref == "A1:K4"
    assert found.column_dimensions["A"].width >= 36


async def test_a_hostile_text_is_a_text_in_every_column(viewer: AsyncClient, pool: Pool) -> None:
    scans = [a_scan(n, **dict.fromkeys(TEXTS, text)) for n, text in enumerate(HOSTILE)]
    await project(pool, [in_envelope(scan) for scan in scans])

    content = (await viewer.get(EXCEL)).content
    book = openpyxl.load_workbook(io.BytesIO(content))
    rows = cells(book.active)  # type: ignore[arg-type]

    for text, row in zip(HOSTILE, rows, strict=True):
        for column in TEXTS.values():
            assert (row[column].data_type, row[column].hyperlink) == ("s", None)
            assert unescape(str(row[column].value)) == text
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        xml = parts.read("xl/worksheets/sheet1.xml")
        assert b"<f>" not in xml
        assert b"<hyperlink" not in xml


@pytest.mark.parametrize(
    "text", ["a\x01\x1fb\r", "\x0b", "\ufffe\uffff", "x" * 40_000, "🌻" * 20_000]
)
async def test_what_a_cell_cannot_hold_does_not_fail(
    viewer: AsyncClient, pool: Pool, text: str
) -> None:
    await project(pool, [in_envelope(a_scan(1, details=text)), in_envelope(a_scan(2))])

    first, second = cells(await sheet(viewer))

    assert first[8].data_type == "s"
    assert len(str(first[8].value).encode("utf-16-le")) // 2 <= 32_767
    assert second[7].value == "2042469234860"


async def test_an_empty_day_is_a_sheet_with_names_only(viewer: AsyncClient) -> None:
    found = await sheet(viewer)

    assert found.max_row == 1
    assert found.auto_filter.ref == "A1:K1"


async def test_the_answer_says_what_it_is(viewer: AsyncClient) -> None:
    answer = await viewer.get(EXCEL, headers={"Range": "bytes=0-10"})

    assert answer.status_code == 200
    assert answer.headers["accept-ranges"] == "none"
    assert answer.headers["content-type"] == (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    )
    assert answer.content.startswith(workbook.BEGINNING)


async def test_a_connection_is_kept_alive_with_what_every_workbook_begins_with(
    viewer: AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "SIGN_OF_LIFE_SECONDS", 0.01)
    await project(pool, [in_envelope(a_scan(n, scanned_at=NOON)) for n in range(1, 6000)])

    assert len(cells(await sheet(viewer))) == 5999
