"""Opens a file as a table; its kind follows from its content."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from services.ingest.imports.adapters.csv_file import open_csv
from services.ingest.imports.adapters.table import Unreadable, Worksheet, WorksheetChoice
from services.ingest.imports.adapters.xlsx_file import open_xlsx

_ZIP: Final = b"PK\x03\x04"
_OLE: Final = b"\xd0\xcf\x11\xe0"
_OTHERS: Final = {b"%PDF": "PDF", b"\x89PNG": "PNG", b"\x1f\x8b": "gzip"}


@asynccontextmanager
async def open_file(path: Path, choice: WorksheetChoice) -> AsyncIterator[Sequence[Worksheet]]:
    """The worksheets of a CSV file or a workbook. Raises Unreadable."""
    async with AsyncExitStack() as stack:
        try:
            is_workbook = _start(path) == _ZIP
            table = open_xlsx(path, choice) if is_workbook else open_csv(path)
            worksheets = await stack.enter_async_context(table)
        except OSError as error:
            raise Unreadable(f"it cannot be read: {error.strerror or error}") from error
        yield worksheets


def _start(path: Path) -> bytes:
    if path.is_dir():
        raise Unreadable("it is a directory; name the files in it")
    with path.open("rb") as file:
        start = file.read(4)
    if start == _OLE:
        raise Unreadable(
            "it is protected by a password, or an old .xls; save it as .xlsx without a password"
        )
    for magic, kind in _OTHERS.items():
        if start.startswith(magic):
            raise Unreadable(f"it is a {kind} file; CSV and .xlsx can be imported")
    return start
