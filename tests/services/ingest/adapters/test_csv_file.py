"""CSV files: commas, semicolons, tabs; UTF-8, UTF-16, Windows-1251."""

from pathlib import Path

import pytest

from services.ingest.adapters import csv_file
from services.ingest.adapters.table_file import open_file
from tests.services.ingest.adapters.tables import EVERYTHING, csv, read, refusal


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_it_is_read_whatever_wrote_it(
    tmp_path: Path, encoding: str, delimiter: str, end: str
) -> None:
    lines = [["uuid", "ts", "details"], ["1", "a;b,c\td", "товар"], ["2", "", 'q"']]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in lines]
    path = csv(tmp_path, end.join(delimiter.join(line) for line in quoted) + end, encoding)

    assert await read(path) == {
        "raw_log_2025_10": [(0, (*lines[0],)), (2, (*lines[1],)), (3, (*lines[2],))]
    }


async def test_a_barcode_s_wrapper_needs_no_quotes(tmp_path: Path) -> None:
    assert (await read(csv(tmp_path, 'uuid;code\r\n1;="42"\r\n2;"=""42"""')))["raw_log_2025_10"][
        1:
    ] == [(2, ("1", '="42"')), (3, ("2", '="42"'))]


async def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    path = csv(tmp_path, '\n\nuuid,ts\n1,"two\nlines"\n\n3,x\n')

    async with open_file(path, EVERYTHING) as (worksheet,):
        rows = [row async for page in worksheet.pages() for row in page]

    assert rows == [(4, ("1", "two\nlines")), (5, ()), (6, ("3", "x"))]
    assert (worksheet.header, worksheet.rows) == (("uuid", "ts"), 3)


async def test_many_rows_come_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "PAGE", 4)
    path = csv(tmp_path, "uuid\n" + "".join(f"{n}\n" for n in range(10)))

    async with open_file(path, EVERYTHING) as (worksheet,):
        pages = [len(page) async for page in worksheet.pages()]

    assert pages == [4, 4, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("\ufeff", "empty"),
        ("\n\r\n", "empty"),
        ('uuid\n1\n"never closed\n2\n', "row 3 is broken"),
        ('uuid\n"a"b\n', "row 2 is broken"),
        ("uuid\n" + "x" * 1_000_001, "row 2 is broken"),
    ],
    ids=["nothing", "only a mark", "blank", "open quote", "text behind a quote", "endless"],
)
async def test_a_damaged_one_is_refused_before_it_is_read(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in await refusal(csv(tmp_path, text))


async def test_bytes_of_no_encoding_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"uuid,ts\n" + bytes(range(128, 256)))

    assert "neither in UTF-8" in await refusal(path)
