"""Workbooks: Excel's, and what other programs take for Excel's."""

import zipfile
from datetime import datetime
from itertools import product
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter  # type: ignore[import-untyped]
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from services.ingest.adapters import xlsx_file
from services.ingest.adapters.table import Choice
from services.ingest.adapters.table_file import open_file
from services.ingest.domain.sheet import COLUMNS
from services.ingest.domain.spreadsheet import Lost
from tests.services.ingest.adapters.tables import EVERYTHING, book, read, refusal

MOMENT = datetime.fromisoformat("2025-10-31 08:02:05")


async def test_cells_are_what_they_are(tmp_path: Path) -> None:
    path = book(tmp_path, a=[["uuid"], ["1", 2042469234860, 1.5, MOMENT, None, "x"]])

    assert (await read(path))["a"][1] == (2, ("1", 2042469234860, 1.5, MOMENT, None, "x"))


async def test_texts_of_our_own_export_stay_as_they_are(tmp_path: Path) -> None:
    path, texts = tmp_path / "ours.xlsx", ["uuid", "=1+1", "'=1", '="42"', "0042"]
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as made:
        sheet = made.add_worksheet("scans")
        for row, column in product(range(2), range(5)):
            sheet.write_string(row, column, texts[column])

    expected = tuple(texts)
    assert await read(path) == {"scans": [(0, expected), (2, expected)]}


async def test_a_formula_is_read_only_if_it_says_what_it_comes_to(tmp_path: Path) -> None:
    path = book(tmp_path, a=[["uuid"], ['="2042469234860"', "=1+1", "#REF!"]])

    assert (await read(path))["a"][1] == (
        2,
        ("2042469234860", Lost("is a formula, not its result"), Lost("is the error #REF!")),
    )


async def test_gaps_between_rows_keep_their_numbers(tmp_path: Path) -> None:
    path, made = tmp_path / "log.xlsx", openpyxl.Workbook()
    made.worksheets[0]["A3"] = "uuid"
    made.worksheets[0]["B7"] = "x"
    made.save(path)

    ((header, *rows),) = (await read(path)).values()

    assert header == (0, ("uuid",))
    assert [row for row in rows if row[1]] == [(7, (None, "x"))]


async def test_a_size_that_the_file_understates_cuts_nothing_off(tmp_path: Path) -> None:
    path = book(tmp_path, a=[["uuid", "ts"], ["1", "x"], ["2", "y"]])
    wrong = tmp_path / "wrong.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(wrong, "w") as new:
        for part in old.namelist():
            text = old.read(part).replace(b'ref="A1:B3"', b'ref="A1"')
            new.writestr(part, text)

    assert (await read(wrong))["a"] == [(0, ("uuid", "ts")), (2, ("1", "x")), (3, ("2", "y"))]


async def test_days_are_counted_from_where_the_workbook_does(tmp_path: Path) -> None:
    path, made = tmp_path / "mac.xlsx", openpyxl.Workbook()
    made.epoch = CALENDAR_MAC_1904
    made.worksheets[0].append(["uuid", MOMENT])
    made.save(path)

    async with open_file(path, EVERYTHING) as (worksheet,):
        assert worksheet.header == ("uuid", MOMENT)
        assert worksheet.day_zero == CALENDAR_MAC_1904


async def test_all_worksheets_with_rows_are_read_or_those_that_are_chosen(tmp_path: Path) -> None:
    path = book(tmp_path, raw_log_10=[["a"]], raw_log_11=[["b"]], Sheet3=[], other=[["c"]])

    assert list(await read(path)) == ["raw_log_10", "raw_log_11", "other"]
    assert list(await read(path, Choice(prefix="raw_"))) == ["raw_log_10", "raw_log_11"]
    assert list(await read(path, Choice(names=["other"]))) == ["other"]
    assert "there is no worksheet x" in await refusal(path, Choice(names=["x"]))
    assert "no worksheet begins with y" in await refusal(path, Choice(prefix="y"))
    assert "empty" in await refusal(path, Choice(names=["Sheet3"]))


async def test_many_rows_come_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_file, "PAGE", 4)

    async with open_file(book(tmp_path, a=[["n"]] * 11), EVERYTHING) as (worksheet,):
        pages = [len(page) async for page in worksheet.pages()]

    assert (pages, worksheet.rows) == ([4, 4, 2], 10)


async def test_a_truncated_one_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path, a=[list(COLUMNS)] * 50)
    path.write_bytes(path.read_bytes()[:-500])

    assert "damaged" in await refusal(path)


async def test_one_with_a_flipped_byte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = book(tmp_path, a=[["uuid", "ts"], *([str(n), n] for n in range(5000))])
    with zipfile.ZipFile(path) as parts:
        part = parts.getinfo("xl/worksheets/sheet1.xml")
    content = bytearray(path.read_bytes())
    content[part.header_offset + part.compress_size // 2] ^= 0xFF
    path.write_bytes(content)

    assert "damaged" in await refusal(path)


async def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("content.xml", "<office/>")

    assert "of another kind" in await refusal(path)
