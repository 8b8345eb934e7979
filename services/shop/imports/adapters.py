"""Reads tables: a plain dump of PostgreSQL, or a folder with a CSV file of each table."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from libs.errors import BadRequest

Row: TypeAlias = Mapping[str, str | None]
"""The values of a row by column; None is null."""
Tables: TypeAlias = Mapping[str, list[Row]]

_COPY: Final = re.compile(r'COPY (?:\w+\.)?"?(\w+)"? \(([^)]*)\) FROM stdin;')
_END: Final = "\\."
_NULL: Final = "\\N"
_ESCAPED: Final = re.compile(r"\\(.)")
_LETTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Unreadable(BadRequest):
    """Файл не читается: нужен дамп pg_dump в виде текста или папка с файлами CSV"""


def read_tables(path: Path) -> Tables:
    """All tables of a dump (`pg_dump` in its plain format) or of a folder of `<table>.csv` files,
    whose first line names the columns and whose empty cells are null. Raises Unreadable."""
    try:
        return _folder(path) if path.is_dir() else _dump(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unreadable from error


def _folder(path: Path) -> Tables:
    tables: dict[str, list[Row]] = {}
    for file in sorted(path.glob("*.csv")):
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            tables[file.stem] = [{name: row[name] or None for name in row if name} for row in rows]
    if not tables:
        raise Unreadable
    return tables


def _dump(path: Path) -> Tables:
    tables: dict[str, list[Row]] = {}
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            if (begun := _COPY.match(line)) is not None:
                columns = [name.strip().strip('"') for name in begun[2].split(",")]
                tables.setdefault(begun[1], []).extend(_rows(lines, columns))
    if not tables:
        raise Unreadable
    return tables


def _rows(lines: Iterator[str], columns: list[str]) -> Iterator[Row]:
    for line in lines:
        text = line.rstrip("\n")
        if text == _END:
            return
        yield dict(zip(columns, map(_value, text.split("\t")), strict=False))
    raise Unreadable


def _value(text: str) -> str | None:
    if text == _NULL:
        return None
    return (
        _ESCAPED.sub(lambda match: _LETTERS.get(match[1], match[1]), text) if "\\" in text else text
    )
