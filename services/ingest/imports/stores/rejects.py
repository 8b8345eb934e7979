"""The rejected rows of an import, in a CSV file that people can correct and import."""

import codecs
import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from services.ingest.imports.domain.sheet import ALL_COLUMNS

HEADER: Final = ("sheet", "row", "reason", *ALL_COLUMNS)

_AS_IT_WAS: Final = "as it was"


def _as_it_was(error: UnicodeError) -> tuple[bytes, int]:
    """Restore invalid bytes of a CSV file; escape any other lone surrogate."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = map(ord, error.object[error.start : error.end])
    encoded = (
        bytes([one - 0xDC00]) if 0xDC80 <= one <= 0xDCFF else b"\\u%x" % one for one in codes
    )
    return b"".join(encoded), error.end


codecs.register_error(_AS_IT_WAS, _as_it_was)


Reject: TypeAlias = Callable[[Sequence[Sequence[object]]], None]
"""Writes rejected rows: sheet, row number, reason, and the texts of `sheet.as_texts`."""


@contextmanager
def open_rejects(path: Path) -> Iterator[Reject]:
    """A file for rejected rows, created with the first one and flushed with every call.

    As in exports, it has a byte order mark and semicolons. Raises OSError.
    """
    with ExitStack() as stack:
        writers: list[Any] = []

        def reject(rows: Sequence[Sequence[object]]) -> None:
            if not rows:
                return
            if not writers:
                file = stack.enter_context(
                    path.open("w", encoding="utf-8-sig", errors=_AS_IT_WAS, newline="")
                )
                writers.extend([csv.writer(file, delimiter=";"), file])
                writers[0].writerow(HEADER)
            writers[0].writerows(rows)
            writers[1].flush()

        yield reject
