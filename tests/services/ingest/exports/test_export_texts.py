"""Texts of scans are unchanged after an export and an import, and never a formula."""

import asyncio
import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ingest import EVENTS, IngestEvent, ScanId, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.export import workbook_writer
from libs.export.cells import unescape_formula, unwrap_barcode
from libs.export.columns import Column, csv_head, csv_lines, layout, xlsx_rows
from libs.postgres.query import Row
from services.ingest.exports.api import export
from services.ingest.scans.domain.day import format_time
from services.ingest.scans.domain.scan import SKEW
from tests.libs.eventsourcing.memory_log import MemoryLog
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


def lines(columns: Sequence[Column], *rows: Any, zone: ZoneInfo = ZONE) -> bytes:
    return csv_lines(columns, rows, partial(format_time, zone=zone))


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_hostile_text_is_no_formula_in_any_column_and_is_read_back(text: str) -> None:
    row = dict.fromkeys(FIELDS, text) | {
        "scan_id": UUID(int=1),
        "effective_at": NOON,
        "received_at": NOON,
    }
    (log,) = read(lines(export.LOG, row))
    (box,) = read(lines(export.ITEMS_BY_BOX, row))

    texts = [log[column] for name, column in COLUMN.items() if name != "code"]
    for cell in [*texts, box[0], box[1], box[5]]:
        assert not cell.startswith(tuple("=+-@\t\r"))
        assert unescape_formula(cell) == text
    for cell in (log[COLUMN["code"]], box[3]):
        # One text between the only two quotes that are not doubled.
        assert cell[:2] + cell[-1] == '=""'
        assert '"' not in cell[2:-1].replace('""', "")
        assert unwrap_barcode(cell) == text


FORMULA = re.compile(r"[\t\r\n ]*(?:[=@＝＋－＠]|[+-](?![\d.,]*$))")


def cells_in(text: str, delimiter: str) -> list[str]:
    """The cells of a file in some dialect, with its quotes and without."""
    lines = re.split("\r\n|\r|\n", text)
    quoted = [cell for line in csv.reader(lines, delimiter=delimiter) for cell in line]
    return quoted + [cell for line in lines for cell in line.split(delimiter)]


@pytest.mark.parametrize("delimiter", list(",;\t|: "))
@settings(max_examples=300)
@given(
    row=st.fixed_dictionaries(
        dict.fromkeys(
            ("client", "city", "box", "details", "operator", "code"),
            st.text("=+-@'\"\t\r\n ,;|:a1") | st.just("x,=cmd|' /C calc'!A0") | TEXT,
        )
    )
)
def test_no_cell_is_a_formula_with_any_separator(row: dict[str, str], delimiter: str) -> None:
    moments = {"scan_id": UUID(int=1), "effective_at": NOON, "received_at": NOON}
    full_row = {"kind": "ITEM", "source": "pwa", **row, **moments}

    for text in (
        lines(columns, full_row).decode() for columns in (export.LOG, export.ITEMS_BY_BOX)
    ):
        for cell in cells_in(text.removesuffix("\r\n"), delimiter):
            # Only the wrapper of a barcode is one, which yields a text.
            assert not FORMULA.match(cell) or cell.startswith('="'), cell


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


Write: TypeAlias = Callable[[list[Row], ZoneInfo, Path], Path]


def a_csv_of(rows: list[Row], zone: ZoneInfo, folder: Path) -> Path:
    """The rows as the CSV export has them."""
    content = csv_head(export.LOG) + lines(export.LOG, *rows, zone=zone)
    return file_with(folder / "export.csv", content)


def a_workbook_of(rows: list[Row], zone: ZoneInfo, folder: Path) -> Path:
    """The rows as the workbook has them."""
    frames = [
        msgspec.msgpack.encode(one)
        for one in (layout("scans", export.LOG), xlsx_rows(export.LOG, rows, zone))
    ]
    written = b"".join(workbook_writer.LENGTH.pack(len(one)) + one for one in (*frames, b""))
    assert workbook_writer.write(io.BytesIO(written), folder)
    return folder / workbook_writer.FILE


def imported(
    exported: list[ScanRecorded], write: Write, zone: ZoneInfo
) -> dict[ScanId, ScanRecorded]:
    """What is in an empty log after the import of an export of these scans."""
    store = Store(MemoryLog(), Codec[IngestEvent](EVENTS))
    importer = Importer(store, lambda: datetime(2026, 11, 21, tzinfo=UTC), zone=zone)
    # With the moments of the devices, as the old log had them.
    rows = [asdict(scan) | {"effective_at": scan.scanned_at} for scan in exported]

    async def run() -> list[ScanRecorded]:
        with TemporaryDirectory() as folder:
            path = write(cast(list[Row], rows), zone, Path(folder))
            (result,) = (await importer(path)).results
        count = len(exported)
        assert (result.fault, numbers(result)) == (None, (count, count, 0, 0))
        return await events_in(store, ScanRecorded)

    return {scan.scan_id: scan for scan in asyncio.run(run())}


@pytest.mark.parametrize("write", [a_csv_of, a_workbook_of])
@pytest.mark.parametrize("zone", [ZONE, ZoneInfo("UTC")], ids=str)
@settings(deadline=None, max_examples=40)
@given(exported=st.lists(scans(), max_size=8, unique_by=lambda scan: scan.scan_id))
def test_an_imported_export_gives_the_same_scans(
    zone: ZoneInfo, exported: list[ScanRecorded], write: Write
) -> None:
    assert imported(exported, write, zone) == {
        scan.scan_id: replace(scan, source=scan.source or "pwa") for scan in exported
    }


@pytest.mark.parametrize("write", [a_csv_of, a_workbook_of])
def test_every_character_is_read_back_alone_and_beside_an_escape(
    write: Write,
) -> None:
    letters = [chr(n) for n in range(1, 0x10000) if not 0xD800 <= n < 0xE000]
    texts = ["".join(letters[n : n + 400]) for n in range(0, len(letters), 400)]
    texts += [letter for letter in letters if ord(letter) < 0xA0 and not letter.isspace()]
    texts += [
        "#SPOILT 5",
        "'#SPOILT 5",
        "#SPOILT =1",
        "_x001D_",
        "_x005F_x001D_",
        "_x001d__x0041_",
        "_x_x000D_",
        "🌻\U0010ffff",
        "a\r\n\rb",
    ]
    texts += ["x" * 32_767, "🌻" * 16_383]
    exported = [
        a_scan(number, code=text[:500], details=text) for number, text in enumerate(texts, 1)
    ]

    scans = imported(exported, write, ZONE)

    assert {number: (one.code, one.details) for number, one in scans.items()} == {
        one.scan_id: (one.code, one.details) for one in exported
    }
