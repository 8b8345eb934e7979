"""Whatever people scan and type leaves in the CSV and comes back as it was, never a formula."""

import asyncio
import csv
import io
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ingest import EVENTS, IngestEvent, ScanId, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.memory import MemoryLog
from libs.postgres.query import Row
from services.ingest.api import csv_lines
from services.ingest.domain.cell import restored, scanned
from services.ingest.domain.scan import SKEW
from tests.services.ingest.history import NOON, ZONE, Store, a_scan, events_in
from tests.services.ingest.importing import Importer, file_with, numbers

FIELDS = ("kind", "operator", "client", "city", "box", "code", "details", "source")
COLUMN = dict(zip(FIELDS, (2, 3, 4, 5, 6, 7, 8, 10), strict=True))
HOSTILE = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", 'a"b', '"', '"&A1&"', "a;b", "a\r\nb"),
    *("\n", " a ", "🌻", "<script>alert(1)</script>", "\x01\x1f\x7f\ufffe\u2028"),
]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text(
    "'=+-@\t\r\n\";a"
)
MOMENT = st.integers(1_420_156_800, 1_795_000_000).map(
    lambda second: datetime.fromtimestamp(second, UTC)
)


def read(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True))


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_text_is_no_formula_in_any_column_and_comes_back(text: str) -> None:
    row = dict.fromkeys(FIELDS, text) | {
        "scan_id": UUID(int=1),
        "effective_at": NOON,
        "received_at": NOON,
    }
    (log,) = read(csv_lines.log_lines([cast(Row, row)], ZONE))
    (box,) = read(csv_lines.box_lines([cast(Row, row)], ZONE))

    texts = [log[column] for name, column in COLUMN.items() if name != "code"]
    for cell in [*texts, box[0], box[1], box[5]]:
        assert not cell.startswith(tuple("=+-@\t\r"))
        assert restored(cell) == text
    for cell in (log[COLUMN["code"]], box[3]):
        # One text between the only two quotes that are not doubled.
        assert cell[:2] + cell[-1] == '=""'
        assert '"' not in cell[2:-1].replace('""', "")
        assert scanned(cell) == text


SHORT = TEXT.map(lambda text: text[:40])
NAMED = SHORT.filter(str.strip)


@st.composite
def scans(draw: st.DrawFn) -> ScanRecorded:
    scanned_at = draw(MOMENT)
    received_at = scanned_at + timedelta(seconds=draw(st.integers(-7200, 7200)))
    skewed = scanned_at > received_at + SKEW
    return a_scan(
        scan_id=ScanId(draw(st.uuids())),
        kind=draw(st.sampled_from(["ITEM", "BOX", "REMOVE"]) | NAMED),
        operator=draw(NAMED),
        client=draw(SHORT),
        city=draw(SHORT),
        box=draw(SHORT),
        code=draw(SHORT | st.just("2.04247E+12")),
        details=draw(SHORT) or None,
        source=draw(NAMED | st.just("pwa")),
        scanned_at=scanned_at,
        received_at=received_at,
        effective_at=received_at if skewed else scanned_at,
        skewed=skewed,
    )


@pytest.mark.parametrize("zone", [ZONE, ZoneInfo("UTC")], ids=str)
@settings(deadline=None, max_examples=60)
@given(exported=st.lists(scans(), max_size=8, unique_by=lambda scan: scan.scan_id))
def test_an_export_is_imported_as_what_it_is_of(
    zone: ZoneInfo, exported: list[ScanRecorded]
) -> None:
    store = Store(MemoryLog(), Codec[IngestEvent](EVENTS))
    importer = Importer(store, lambda: datetime(2026, 11, 21, tzinfo=UTC), zone=zone)
    # With the moments of the devices, as the old log had them.
    rows = [asdict(scan) | {"effective_at": scan.scanned_at} for scan in exported]
    content = csv_lines.head(csv_lines.LOG) + csv_lines.log_lines(cast(list[Row], rows), zone)

    async def imported() -> list[ScanRecorded]:
        with TemporaryDirectory() as folder:
            path = file_with(Path(folder) / "export.csv", content)
            (account,) = (await importer(path)).accounts
        count = len(exported)
        assert (account.fault, numbers(account)) == (None, (count, count, 0, 0))
        return await events_in(store, ScanRecorded)

    assert {scan.scan_id: scan for scan in asyncio.run(imported())} == {
        scan.scan_id: replace(scan, source=scan.source or "pwa") for scan in exported
    }
