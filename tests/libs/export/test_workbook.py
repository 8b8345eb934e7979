"""Workbooks, written by a separate process."""

import io
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openpyxl
import pytest

from libs.export import workbook, workbook_writer
from libs.export.workbook import (
    Layout,
    Rows,
    WorkbookFailed,
    open_workbook,
)
from libs.export.workbook_writer import LENGTH

LAYOUT = Layout(sheet="scans", columns=(("code", 20), ("ts", 20)), max_rows=3)
NOON_SECONDS = 45_961 * 86_400 + 43_200
"""12:00:00 on 31.10.2025."""


def rows(count: int) -> Rows:
    return [(f"{n:05}", NOON_SECONDS + n) for n in range(count)]


async def pages(count: int) -> AsyncIterator[Rows]:
    for start in range(0, count, 2):
        yield rows(count)[start : start + 2]


async def written_workbook(count: int) -> Any:
    async with open_workbook() as book:
        parts = [part async for part in book.file(LAYOUT, pages(count))]
    return openpyxl.load_workbook(io.BytesIO(b"".join(parts)))


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (2, [2]), (3, [3]), (4, [3, 1]), (8, [3, 3, 2])]
)
async def test_rows_beyond_the_limit_continue_in_further_sheets(
    count: int, sizes: list[int]
) -> None:
    book = await written_workbook(count)

    assert book.sheetnames == ["scans", "scans 2", "scans 3"][: len(sizes)]
    assert [sheet.max_row - 1 for sheet in book] == sizes
    for sheet in book:
        assert [(cell.value, cell.font.b) for cell in sheet[1]] == [("code", True), ("ts", True)]
        assert sheet.column_dimensions["A"].width >= 20
    assert {sheet.freeze_panes for sheet in book} == {"A2"}
    assert [sheet.auto_filter.ref for sheet in book] == [f"A1:B{size + 1}" for size in sizes]
    codes = [row[0].value for sheet in book for row in sheet.iter_rows(min_row=2)]
    assert codes == [f"{n:05}" for n in range(count)]


async def test_a_sheet_holds_as_many_rows_as_the_format_allows() -> None:
    assert Layout(sheet="x", columns=()).max_rows + 1 == 2**20


async def test_a_writer_that_fails_says_so() -> None:
    bad = Layout(sheet="a name with [brackets] is none", columns=LAYOUT.columns)
    async with open_workbook() as book:
        with pytest.raises(WorkbookFailed):
            async for _ in book.file(bad, pages(3)):
                pass


async def test_an_unexpected_header_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "ZIP_HEADER", b"RAR")
    async with open_workbook() as book:
        with pytest.raises(WorkbookFailed):
            async for _ in book.file(LAYOUT, pages(3)):
                pass


@pytest.mark.parametrize("cut", [0, 3, 40, -1])
def test_an_interrupted_source_leaves_no_file(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    frames = [msgspec.msgpack.encode(LAYOUT), msgspec.msgpack.encode(rows(3)), b""]
    source = b"".join(LENGTH.pack(len(frame)) + frame for frame in frames)

    done = subprocess.run(
        [sys.executable, "-P", workbook_writer.__file__, str(folder)],
        input=source[:cut],
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, b"")
    assert not folder.exists()
