"""Files are read by their content, CSV or workbook, or refused with one sentence."""

import gzip
import shutil
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from services.ingest.imports.adapters import csv_file, xlsx_file
from services.ingest.imports.adapters.table import Row, Unreadable, WorksheetChoice
from services.ingest.imports.adapters.table_file import open_file
from services.ingest.imports.domain.sheet import COLUMNS
from services.ingest.imports.domain.spreadsheet import Lost
from tests.services.ingest.importing import file_with

EVERYTHING = WorksheetChoice()
MOMENT = datetime.fromisoformat("2025-10-31 08:02:05")
SHEET = "raw_log_2025_10"


async def read(path: Path, choice: WorksheetChoice = EVERYTHING) -> dict[str, list[Row]]:
    """The rows of every worksheet, the header too."""
    async with open_file(path, choice) as worksheets:
        return {
            sheet.name: [(0, sheet.header), *[row async for page in sheet.pages() for row in page]]
            for sheet in worksheets
        }


async def refusal(path: Path, choice: WorksheetChoice = EVERYTHING) -> str:
    with pytest.raises(Unreadable) as unreadable:
        await read(path, choice)
    return str(unreadable.value)


def csv(home: Path, text: str, encoding: str = "utf-8") -> Path:
    return file_with(home / f"{SHEET}.csv", text.encode(encoding))


def book(home: Path, **sheets: list[list[Any]]) -> Path:
    """A workbook as Excel would save it."""
    path, workbook = home / "log.xlsx", openpyxl.Workbook()
    workbook.remove(workbook.worksheets[0])
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(5000), "without a password"),
        (gzip.compress(b"uuid"), "CSV and .xlsx can be imported"),
        (b"%PDF-1.7", "CSV and .xlsx can be imported"),
        (b"\x89PNG\r\n\x1a\n", "CSV and .xlsx can be imported"),
        (b"uuid,ts\n" + bytes(range(128, 256)), "neither in UTF-8"),
        (b"", "empty"),
        ("\ufeff".encode(), "empty"),
        (b"\n\r\n", "empty"),
        (b'uuid\n1\n"never closed\n2\n', "row 3 is broken"),
        (b'uuid\n"a"b\n', "row 2 is broken"),
        (b"uuid\n" + b"x" * 1_000_001, "row 2 is broken"),
    ],
    ids=[
        *("protected", "gzip", "PDF", "PNG", "no encoding", "nothing", "only a mark", "blank"),
        *("open quote", "text behind a quote", "endless"),
    ],
)
async def test_a_file_of_another_kind_or_a_damaged_one_is_refused_before_it_is_read(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    assert reason in await refusal(file_with(tmp_path / "x.csv", content))


async def test_a_directory_or_nothing_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in await refusal(tmp_path)
    assert "cannot be read: No such file" in await refusal(tmp_path / "nowhere.csv")


async def test_the_kind_follows_from_the_content_not_from_the_name(tmp_path: Path) -> None:
    shutil.move(book(tmp_path, a=[["uuid"]]), tmp_path / "book.csv")
    text = csv(tmp_path, "uuid").rename(tmp_path / "text.xlsx")

    assert await read(tmp_path / "book.csv") == {"a": [(0, ("uuid",))]}
    assert await read(text) == {"text": [(0, ("uuid",))]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_a_csv_of_any_program_is_read(
    tmp_path: Path, encoding: str, delimiter: str, end: str
) -> None:
    lines = [["uuid", "ts", "details"], ["1", "a;b,c\td", "товар"], ["2", "", 'q"']]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in lines]
    path = csv(tmp_path, end.join(delimiter.join(line) for line in quoted) + end, encoding)

    assert await read(path) == {SHEET: [(0, (*lines[0],)), (2, (*lines[1],)), (3, (*lines[2],))]}


WHOLE = "uuid;city;source\n1;Кострома;pwa\n2;Ярославль;pwa\n3;Ржев;pwa\n"
"""Every text in it is so spelled that a part of it is another text."""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
async def test_an_incomplete_file_is_never_read_with_shorter_texts(
    tmp_path: Path, encoding: str
) -> None:
    whole = (await read(csv(tmp_path, WHOLE, encoding)))[SHEET]
    content, header = WHOLE.encode(encoding), "uuid;city;source\n".encode(encoding)
    for cut in range(len(header) + 1, len(content)):
        path = file_with(tmp_path / f"{SHEET}.csv", content[:cut])
        *sound, last = (await read(path))[SHEET]

        assert sound == whole[: len(sound)]
        assert last in whole or isinstance(last[1][-1], Lost), cut


NO_UTF_8 = Lost("is damaged: it holds bytes that are no UTF-8", "damaged", "\udce2\udcee\udce7")
LINES = "uuid;city\n1;Кострома\n".encode()
WINDOWS = "uuid;city\n1;Кострома\n".encode("cp1251")


@pytest.mark.parametrize(
    ("content", "cells"),
    [
        (LINES + b"2;\xe2\xee\xe7\n", NO_UTF_8),
        (b"\xef\xbb\xbfuuid;city\n1;x\n2;\xe2\xee\xe7\n", NO_UTF_8),
        (WINDOWS + b"2;\xe2\xee\xe7\n", "воз"),
        (b"uuid;city\n1;x\n2;\xe2\xee\xe7\n", "воз"),
        (WINDOWS + b"2;\xcf\xb8\xf2\xf0\n", "Пётр"),
        (
            WINDOWS + "2;Рим\n".encode(),
            Lost("is in UTF-8, but the file in Windows-1251", "damaged", "Рим"),
        ),
        (
            ("uuid;city\n1;x\n2;".encode("utf-16") + b"\x00\xd8\n\0"),
            Lost("is damaged: it holds bytes that are no UTF-16", "damaged", "\udcff"),
        ),
    ],
    ids=[
        *("Windows-1251 in UTF-8", "behind a mark", "Windows-1251", "in ASCII"),
        *("what might be UTF-8 in Windows-1251", "UTF-8 in Windows-1251", "half a letter"),
    ],
)
async def test_a_cell_in_another_encoding_than_its_file_is_damaged(
    tmp_path: Path, content: bytes, cells: object
) -> None:
    rows = (await read(file_with(tmp_path / f"{SHEET}.csv", content)))[SHEET]

    assert rows[0][1] == ("uuid", "city")
    assert rows[2][1] == ("2", cells)
    assert isinstance(rows[1][1][1], str)


@pytest.mark.parametrize("text", ["№ 5", "Я", "«5»", "5 °", "—", "é", "🌻"])
async def test_few_letters_of_utf_8_are_never_read_as_windows_1251(
    tmp_path: Path, text: str
) -> None:
    lines = "uuid;city;source\n" + f"1;{text};pwa\n" * 3
    content = lines.encode() + "2;Переславль-Залесский;В№1\n".encode("cp1251")

    _, *rows, last = (await read(file_with(tmp_path / f"{SHEET}.csv", content)))[SHEET]

    foreign = Lost("is in UTF-8, but the file in Windows-1251", "damaged", text)
    assert [cells for _, cells in rows] == [("1", foreign, "pwa")] * 3
    assert last[1] == ("2", "Переславль-Залесский", "В№1")


async def test_a_barcode_s_wrapper_needs_no_quotes(tmp_path: Path) -> None:
    _, *rows = (await read(csv(tmp_path, 'uuid;code\r\n1;="42"\r\n2;"=""42"""\r\n')))[SHEET]

    assert rows == [(2, ("1", '="42"')), (3, ("2", '="42"'))]


async def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    path = csv(tmp_path, '\n\nuuid,ts\n1,"two\nlines"\n\n3,x\n')

    async with open_file(path, EVERYTHING) as (worksheet,):
        rows = [row async for page in worksheet.pages() for row in page]

    assert rows == [(4, ("1", "two\nlines")), (5, ()), (6, ("3", "x"))]
    assert (worksheet.header, worksheet.rows) == (("uuid", "ts"), 3)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_many_rows_come_in_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(csv_file, "PAGE", 4)
    monkeypatch.setattr(xlsx_file, "PAGE", 4)
    path = csv(tmp_path, "n\n" * 11) if kind == "csv" else book(tmp_path, a=[["n"]] * 11)

    async with open_file(path, EVERYTHING) as (worksheet,):
        pages = [len(page) async for page in worksheet.pages()]

    assert (pages, worksheet.rows) == ([4, 4, 2], 10)


async def test_cells_of_a_workbook_are_read_by_their_type(tmp_path: Path) -> None:
    path = book(
        tmp_path,
        a=[
            ["uuid"],
            ["1", 2042469234860, 1.5, MOMENT, None, "x"],
            ['="2042469234860"', "=1+1", "#REF!"],
        ],
    )

    assert (await read(path))["a"][1:] == [
        (2, ("1", 2042469234860, 1.5, MOMENT, None, "x")),
        # A formula only if it says what it comes to.
        (3, ("2042469234860", Lost("is a formula, not its result"), Lost("is the error #REF!"))),
    ]


async def test_escapes_of_a_workbook_are_decoded(tmp_path: Path) -> None:
    texts = ["01_x001D_21", "_x005F_x001D_", "a_x000d_", "_xD83C__xDF3B_", "_x00_", "_X001D_"]
    path, workbook = book(tmp_path, a=[["uuid"], texts]), openpyxl.Workbook()

    ((_, cells),) = (await read(path))["a"][1:]
    assert cells == ("01\x1d21", "_x001D_", "a\r", "🌻", "_x00_", "_X001D_")

    workbook.worksheets[0].append(["uuid", 42])
    workbook.worksheets[0]["B1"].number_format = "00000"
    workbook.save(path)
    ((_, header),) = (await read(path))["Sheet"]
    assert header == ("uuid", "00042")


async def test_rows_behind_a_gap_have_their_own_numbers(tmp_path: Path) -> None:
    path, workbook = tmp_path / "log.xlsx", openpyxl.Workbook()
    workbook.worksheets[0]["A3"] = "uuid"
    workbook.worksheets[0]["B7"] = "x"
    workbook.save(path)

    ((header, *rows),) = (await read(path)).values()

    assert header == (0, ("uuid",))
    assert [row for row in rows if row[1]] == [(7, (None, "x"))]


async def test_a_stored_size_that_is_too_small_truncates_nothing(tmp_path: Path) -> None:
    path, wrong = book(tmp_path, a=[["uuid", "ts"], ["1", "x"], ["2", "y"]]), tmp_path / "x.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(wrong, "w") as new:
        for part in old.namelist():
            new.writestr(part, old.read(part).replace(b'ref="A1:B3"', b'ref="A1"'))

    assert (await read(wrong))["a"] == [(0, ("uuid", "ts")), (2, ("1", "x")), (3, ("2", "y"))]


async def test_days_are_counted_from_where_the_workbook_does(tmp_path: Path) -> None:
    path, workbook = tmp_path / "mac.xlsx", openpyxl.Workbook()
    workbook.epoch = CALENDAR_MAC_1904
    workbook.worksheets[0].append(["uuid", MOMENT])
    workbook.save(path)

    async with open_file(path, EVERYTHING) as (worksheet,):
        assert worksheet.header == ("uuid", MOMENT)
        assert worksheet.day_zero == CALENDAR_MAC_1904


async def test_all_worksheets_with_rows_are_read_or_the_selected_ones(tmp_path: Path) -> None:
    path = book(tmp_path, raw_log_10=[["a"]], raw_log_11=[["b"]], Sheet3=[], other=[["c"]])

    assert list(await read(path)) == ["raw_log_10", "raw_log_11", "other"]
    assert list(await read(path, WorksheetChoice(prefix="raw_"))) == ["raw_log_10", "raw_log_11"]
    assert list(await read(path, WorksheetChoice(names=["other"]))) == ["other"]
    assert "there is no worksheet x" in await refusal(path, WorksheetChoice(names=["x"]))
    assert "no worksheet begins with y" in await refusal(path, WorksheetChoice(prefix="y"))
    assert "empty" in await refusal(path, WorksheetChoice(names=["Sheet3"]))


async def test_a_damaged_workbook_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = book(tmp_path, a=[list(COLUMNS)] * 50)
    assert "damaged" in await refusal(file_with(path, path.read_bytes()[:-500]))

    path = book(tmp_path, a=[["uuid", "ts"], *([str(n), n] for n in range(5000))])
    with zipfile.ZipFile(path) as parts:
        part = parts.getinfo("xl/worksheets/sheet1.xml")
    content = bytearray(path.read_bytes())
    content[part.header_offset + part.compress_size // 2] ^= 0xFF
    assert "damaged" in await refusal(file_with(path, bytes(content)))

    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("content.xml", "<office/>")
    assert "of another kind" in await refusal(path)
