"""The rows an import rejected, in a CSV file that can be mended and imported itself."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from services.ingest.imports.domain.sheet import ALL_COLUMNS

HEADER: Final = ("sheet", "row", "reason", *ALL_COLUMNS)


_AS_IT_WAS: Final = "as it was"


def _as_it_was(error: UnicodeError) -> tuple[bytes, int]:
    """Bytes that were no text are themselves again; any other half of a letter is spelled out."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    odd = map(ord, error.object[error.start : error.end])
    spelled = (bytes([one - 0xDC00]) if 0xDC80 <= one <= 0xDCFF else b"\\u%x" % one for one in odd)
    return b"".join(spelled), error.end


codecs.register_error(_AS_IT_WAS, _as_it_was)


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
                opened = path.open("w", encoding="utf-8-sig", errors=_AS_IT_WAS, newline="")
                file = stack.enter_context(opened)
                writers.extend([csv.writer(file, delimiter=";"), file])
                writers[0].writerow(HEADER)
            writers[0].writerows(rows)
            writers[1].flush()

        yield reject
