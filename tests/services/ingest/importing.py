"""Helpers for tests of the importer: runs, sources, and CSV files."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from libs.clock import Clock
from services.ingest.imports.adapters.table import WorksheetChoice
from services.ingest.imports.adapters.table_file import open_file
from services.ingest.imports.domain.sheet import COLUMNS
from services.ingest.imports.handlers.importing import (
    Report,
    Run,
    Source,
    Stopped,
    TableResult,
    import_tables,
)
from tests.services.ingest.history import FLOOR, NOON, ZONE, Store

Numbers = tuple[int, int, int, int]
"""Total, inserted, skipped, rejected."""


@dataclass
class Importer:
    """Imports files into a log; `pages` is after how many pages it is stopped."""

    store: Store
    clock: Clock = lambda: NOON
    tenant: str = "demo"
    run_id: str = "run"
    zone: ZoneInfo = ZONE
    pages: float = float("inf")
    slept: list[float] = field(default_factory=list)
    progress: list[tuple[str, int, int | None]] = field(default_factory=list)

    async def __call__(self, *sources: Path | Source, dry: bool = False, **changes: Any) -> Report:
        run = Run(
            store=self.store,
            tenant=self.tenant,
            run_id=self.run_id,
            zone=self.zone,
            not_before=FLOOR,
            clock=self.clock,
            pause=self.pause,
            progress=lambda *done: self.progress.append(done),
            dry=dry,
        )
        return await import_tables(
            run, [one if isinstance(one, Source) else source(one, **changes) for one in sources]
        )

    async def pause(self, seconds: float) -> None:
        """Sleep no time; be stopped when it is time."""
        if seconds:
            self.slept.append(seconds)
        else:
            self.pages -= 1
        if self.pages < 0:
            raise Stopped
        await asyncio.sleep(0)


def source(path: Path, choice: WorksheetChoice | None = None) -> Source:
    """A file as the command would import it."""
    return Source(
        name=path.name,
        open=lambda: open_file(path, choice or WorksheetChoice()),
        rejects=path.with_name(f"{path.name}.rejected.csv"),
    )


def numbers(result: TableResult) -> Numbers:
    return result.total, result.inserted, result.skipped, result.rejected


def a_row(number: int, **changes: str) -> dict[str, str]:
    fields = {
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "ts": "31.10.2025 12:00:00",
        "type": "ITEM",
        "operator": "anna",
        "code": str(number),
    }
    return {**dict.fromkeys(COLUMNS, ""), **fields, **changes}


FIVE = [a_row(n) for n in range(1, 6)]


def a_csv(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    """A file with these rows, as simple as can be."""
    lines = [COLUMNS, *(row.values() for row in rows)]
    path.write_text("".join(";".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def file_with(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
