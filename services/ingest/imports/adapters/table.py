"""What an importer reads: tables of worksheets of rows, wherever they come from."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from services.ingest.imports.domain.spreadsheet import DAY_ZERO, Cell

PAGE: Final = 1000
"""The most rows in a page."""

Row: TypeAlias = tuple[int, tuple[Cell, ...]]
"""The number of a row, as a spreadsheet shows it, and its cells."""

Pages: TypeAlias = AsyncGenerator[Sequence[Row], None]


class Unreadable(Exception):
    """A table cannot be read; the message says in one sentence why, and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worksheet:
    """One sheet of a table: its first row, and pages of those behind it, read once.

    `rows` is how many there are, as far as that is known before; `day_zero` and `dressed` are as
    in `domain.sheet`. Reading raises Unreadable.
    """

    name: str
    header: tuple[Cell, ...]
    rows: int | None
    pages: Callable[[], Pages]
    day_zero: datetime = DAY_ZERO
    dressed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which worksheets are wanted: those with these names, those with this prefix, or all."""

    names: Sequence[str] = ()
    prefix: str = ""

    def chosen(self, there: Sequence[str]) -> list[str]:
        """Those of the worksheets that are wanted. Raises Unreadable if a named one is missing."""
        for name in self.names:
            if name not in there:
                raise Unreadable(f"there is no worksheet {name}; there are {', '.join(there)}")
        chosen = [n for n in there if n.startswith(self.prefix) and n in (self.names or there)]
        if not chosen:
            raise Unreadable(
                f"no worksheet begins with {self.prefix}; there are {joined_names(there)}"
            )
        return chosen


Open: TypeAlias = Callable[[], AbstractAsyncContextManager[Sequence[Worksheet]]]
"""Opens a table: its worksheets, at least one. Raises Unreadable."""


def joined_names(names: Sequence[str]) -> str:
    """Names in a sentence, the first few."""
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "") or "none"


def first_row(rows: Sequence[Row]) -> Row | None:
    """The first row in which there is anything."""
    return next((row for row in rows if any(cell not in (None, "") for cell in row[1])), None)
