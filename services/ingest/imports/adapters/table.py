"""Tables as the importer reads them: worksheets with pages of rows, from any kind of source."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from services.ingest.imports.domain.spreadsheet import DAY_ZERO, Cell

PAGE: Final = 1000
"""The most rows of a page."""

Row: TypeAlias = tuple[int, tuple[Cell, ...]]
"""The number of a row, as a spreadsheet shows it, and its cells."""

Pages: TypeAlias = AsyncGenerator[Sequence[Row], None]

Pause: TypeAlias = Callable[[float], Awaitable[None]]
"""Waits for so many seconds, or until the import is broken off."""


class Unreadable(Exception):
    """A table cannot be read; the message is one sentence with the reason and the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worksheet:
    """One sheet of a table: its header, and pages of the rows behind it, which are read once.

    `rows` is their number if it is known before; `day_zero` and `escaped` are as in
    `domain.sheet`. Reading raises Unreadable.
    """

    name: str
    header: tuple[Cell, ...]
    rows: int | None
    pages: Callable[[], Pages]
    day_zero: datetime = DAY_ZERO
    escaped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WorksheetChoice:
    """The worksheets to read: those with these names, those with this prefix, or all."""

    names: Sequence[str] = ()
    prefix: str = ""

    def select(self, worksheets: Sequence[str]) -> list[str]:
        """The names of the worksheets to read. Raises Unreadable if one of `names` is missing."""
        for name in self.names:
            if name not in worksheets:
                raise Unreadable(f"there is no worksheet {name}; there are {', '.join(worksheets)}")
        names = self.names or worksheets
        selected = [n for n in worksheets if n.startswith(self.prefix) and n in names]
        if not selected:
            raise Unreadable(
                f"no worksheet begins with {self.prefix}; there are {joined_names(worksheets)}"
            )
        return selected


OpenTable: TypeAlias = Callable[[], AbstractAsyncContextManager[Sequence[Worksheet]]]
"""Opens a table with at least one worksheet. Raises Unreadable."""


def joined_names(names: Sequence[str]) -> str:
    """The first names, for a sentence."""
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "") or "none"


def first_row(rows: Sequence[Row]) -> Row | None:
    """The first row that is not empty."""
    return next((row for row in rows if any(cell not in (None, "") for cell in row[1])), None)
