"""A whole day as CSV and as XLSX: how fast, and how much memory the service takes meanwhile."""

import asyncio
import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import psutil
import xlsxwriter  # type: ignore[import-untyped]

from tests.bench.bench import Bench
from tests.bench.generator import Target
from tests.bench.house import Installation
from tests.bench.measure import Measured, Side, Skipped, limited
from tests.bench.scans import ZONE
from tests.bench.stored import with_events

TIMEOUT_SECONDS: Final = 900
CHUNK: Final = 1 << 20
LOOK_SECONDS: Final = 0.02
LIMIT_MB: Final = 200.0
MB: Final = 1 << 20
FIELDS: Final = "scan_id, effective_at, kind, operator, client, city, box, code, details"
COPIED: Final = f"SELECT {FIELDS} FROM ingest.scan_log ORDER BY effective_at, scan_id"


def run(bench: Bench) -> Iterator[Measured]:
    """Each export once: it takes long, and its memory only grows."""
    events = bench.scale.stored[-1]
    installation = with_events(bench, events)
    today = datetime.now(ZONE).date().isoformat()
    installation.publish_keys()
    try:
        installation.start("ingest-api")
        limits: dict[str, tuple[str, Side]] = {
            "csv": ("bare COPY of the same rows", lambda: asyncio.run(copy(installation))),
            "excel": (
                "bare XlsxWriter in constant memory",
                lambda: write_sheet(bench.scale.sheet_rows),
            ),
        }
        for kind, (against, limit) in limits.items():
            bench.tell(f"exporting {events:,} rows as {kind}")
            target = installation.direct(f"/api/v1/export/{kind}?date={today}")
            with peak_memory(installation.running["ingest-api"].pid) as peak:
                took, size = download(target)
            yield Measured(
                f"export/{kind} of {events:,} rows vs {against}",
                (events / took,),
                (limit(),),
                unit="rows/s",
                note=f"{took:.1f} s, {size / MB:.0f} MB",
            )
            yield limited(
                f"resident memory of ingest at its peak during export/{kind}",
                [max(peak) / MB],
                limit=LIMIT_MB,
                unit="MB",
                note=f"{peak[0] / MB:.0f} MB before",
            )
    finally:
        installation.stop()


def download(target: Target) -> tuple[float, int]:
    """Seconds and bytes. Raises Skipped if the service has no such export."""
    parts = urlsplit(target.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        began, size = time.perf_counter(), 0
        connection.request("GET", f"{parts.path}?{parts.query}", headers=dict(target.headers))
        answer = connection.getresponse()
        if answer.status == http.client.NOT_FOUND:
            raise Skipped(f"{parts.path} is not there")
        if answer.status != http.client.OK:
            raise RuntimeError(f"{parts.path} answered {answer.status}")
        while chunk := answer.read(CHUNK):
            size += len(chunk)
        return time.perf_counter() - began, size
    finally:
        connection.close()


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """The resident bytes of a process and its children, looked at all the time until the end."""
    process, over = psutil.Process(pid), threading.Event()
    seen = [resident(process)]

    def sample_memory() -> None:
        while not over.wait(LOOK_SECONDS):
            seen.append(resident(process))

    looking = threading.Thread(target=sample_memory, name="memory")
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def resident(process: psutil.Process) -> int:
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return total


async def copy(installation: Installation) -> float:
    """Rows a second of Postgres's own CSV."""

    async def forget(_: bytes) -> None:
        return None

    async with installation.connected() as connection:
        began = time.perf_counter()
        status = await connection.copy_from_query(COPIED, output=forget, format="csv")
        return int(status.split()[1]) / (time.perf_counter() - began)


def write_sheet(rows: int) -> float:
    """Rows a second of the library alone, with as many columns."""
    now = datetime.now(ZONE).replace(tzinfo=None)
    began = time.perf_counter()
    with xlsxwriter.Workbook(io.BytesIO(), {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        moment = book.add_format({"num_format": "dd.mm.yyyy hh:mm:ss"})
        for n in range(rows):
            for column, text in enumerate(("ITEM", "operator", "client", "city", "box", "code")):
                sheet.write_string(n, column, text)
            for column, text in enumerate((f"{n:032x}", "", "pwa"), 6):
                sheet.write_string(n, column, text)
            sheet.write_datetime(n, 9, now, moment)
            sheet.write_datetime(n, 10, now, moment)
    return rows / (time.perf_counter() - began)
