"""A program that reads rows from standard input and writes a workbook into a folder.

It imports nothing of this project, so that it is small and starts at once. The input is frames of
msgpack behind a length of four bytes: first the `Layout`, then lists of rows, at the end an empty
frame.
"""

import os
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from xlsxwriter import Workbook  # type: ignore[import-untyped]
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

FILE: Final = "export.xlsx"
LENGTH: Final = struct.Struct(">I")
DAY_SECONDS: Final = 86_400
_ESCAPE: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ufffe\uffff]")
MOMENT: Final = "dd.mm.yyyy hh:mm:ss"


class Layout(msgspec.Struct, frozen=True):
    """The names and widths of the columns. After `max_rows` rows another sheet begins."""

    sheet: str
    columns: tuple[tuple[str, int], ...]
    max_rows: int = 1_048_575


class _Sheet(Worksheet):  # type: ignore[misc]
    """A worksheet that writes every text as a text, with all its characters."""

    def _xml_rich_inline_string(self, string: str, attributes: Any) -> None:
        # XlsxWriter would write a text in <r>…</r> as markup.
        self._xml_inline_string(string, True, attributes)

    @staticmethod
    def _escape_control_characters(string: str) -> str:
        # Of `_x0001_x0002_` XlsxWriter would escape only the first.
        return _ESCAPE.sub(lambda one: f"_x{ord(one[0]):04X}_", string)


class _Book:
    """A workbook that is written row by row."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.layout = layout
        # Rows leave memory at once; no text is converted to a number, formula or link.
        self.workbook = Workbook(
            str(folder / FILE), {"constant_memory": True, "tmpdir": str(folder)}
        )
        self.workbook.use_zip64()
        self.bold = self.workbook.add_format({"bold": True})
        self.moment = self.workbook.add_format({"num_format": MOMENT})
        self.sheets = 0
        self.sheet = self._new_sheet()

    def add(self, rows: list[list[str | int]]) -> None:
        for row in rows:
            if self.row == self.layout.max_rows:
                self._end_sheet()
                self.sheet = self._new_sheet()
            self.row += 1
            self._write(row)

    def close(self) -> None:
        self._end_sheet()
        self.workbook.close()

    def _write(self, row: list[str | int]) -> None:
        for column, value in enumerate(row):
            if isinstance(value, int):
                self.sheet.write_number(self.row, column, value / DAY_SECONDS, self.moment)
            elif value:
                self.sheet.write_string(self.row, column, value)

    def _new_sheet(self) -> _Sheet:
        self.sheets += 1
        self.row = 0
        name = self.layout.sheet if self.sheets == 1 else f"{self.layout.sheet} {self.sheets}"
        sheet: _Sheet = self.workbook.add_worksheet(name, worksheet_class=_Sheet)
        sheet.freeze_panes(1, 0)
        for number, (title, width) in enumerate(self.layout.columns):
            sheet.set_column(number, number, width)
            sheet.write_string(0, number, title, self.bold)
        return sheet

    def _end_sheet(self) -> None:
        self.sheet.autofilter(0, 0, self.row, len(self.layout.columns) - 1)


def write(source: BinaryIO, folder: Path) -> bool:
    """Write `source` into `FILE` in `folder`; False if the source ends before its last frame."""
    frames = _frames(source)
    first = next(frames, None)
    if first is None:
        return False
    book = _Book(folder, msgspec.msgpack.decode(first, type=Layout))
    decode = msgspec.msgpack.Decoder(list[list[str | int]]).decode
    for frame in frames:
        if not frame:
            book.close()
            return True
        book.add(decode(frame))
    return False


def _frames(source: BinaryIO) -> Iterator[bytes]:
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        if len(frame := source.read(length)) < length:
            return
        yield frame


def main() -> int:
    """Write for the parent process; remove the file if the parent is gone."""
    folder, parent = Path(sys.argv[1]), os.getppid()
    done = write(sys.stdin.buffer, folder)
    if not done or os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
