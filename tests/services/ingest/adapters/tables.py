"""What tests of table files share: making them, reading them whole, and being refused."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from services.ingest.adapters.table import Choice, Row, Unreadable
from services.ingest.adapters.table_file import open_file

EVERYTHING = Choice()


async def read(path: Path, choice: Choice = EVERYTHING) -> dict[str, list[Row]]:
    """The rows of every worksheet, the header too."""
    async with open_file(path, choice) as worksheets:
        return {
            sheet.name: [(0, sheet.header), *[row async for page in sheet.pages() for row in page]]
            for sheet in worksheets
        }


async def refusal(path: Path, choice: Choice = EVERYTHING) -> str:
    """Why a file is not read."""
    with pytest.raises(Unreadable) as unreadable:
        await read(path, choice)
    return str(unreadable.value)


def csv(home: Path, text: str, encoding: str = "utf-8") -> Path:
    """A file of text."""
    path = home / "raw_log_2025_10.csv"
    path.write_bytes(text.encode(encoding))
    return path


def book(home: Path, **sheets: list[list[Any]]) -> Path:
    """A workbook as Excel would save it."""
    path, made = home / "log.xlsx", openpyxl.Workbook()
    made.remove(made.worksheets[0])
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path
