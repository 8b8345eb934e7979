"""The rows an import rejected, in a CSV file that can be mended and imported itself."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from services.ingest.domain.sheet import COLUMNS

HEADER: Final = ("sheet", "row", "reason", *COLUMNS)


class Reject(Protocol):
    """Takes rejected rows: sheet, row, reason, and the cells as `sheet.told` tells them."""

    def __call__(self, rows: Sequence[Sequence[object]]) -> None:
        """Write them."""
        ...


@contextmanager
def open_rejects(path: Path) -> Iterator[Reject]:
    """A file for rejected rows, made anew when the first one comes; flushed with every call.

    Like our exports it is for spreadsheets: with a BOM, and semicolons. Raises OSError.
    """
    with ExitStack() as stack:
        writers: list[Any] = []

        def reject(rows: Sequence[Sequence[object]]) -> None:
            if not rows:
                return
            if not writers:
                file = stack.enter_context(path.open("w", encoding="utf-8-sig", newline=""))
                writers.extend([csv.writer(file, delimiter=";"), file])
                writers[0].writerow(HEADER)
            writers[0].writerows(rows)
            writers[1].flush()

        yield reject
