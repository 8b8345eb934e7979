"""Exports over HTTP: rows, texts, file names, continued downloads, metrics."""

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.cell import Cell
from openpyxl.utils.escape import unescape
from openpyxl.worksheet.worksheet import Worksheet
from prometheus_client import REGISTRY

from libs.export import workbook
from services.ingest.exports.api import export
from tests.services.ingest.history import NOON, a_scan, removed
from tests.services.ingest.service import BOXES_CSV, CSV, EXCEL, Service

EARLY = datetime(2025, 10, 30, 21, 59, 7, tzinfo=UTC)
"""00:59:07 in Moscow, the next day."""
FORMATS = {CSV: "csv", BOXES_CSV: "boxes-csv", EXCEL: "excel"}
EVERY = pytest.mark.parametrize("path", FORMATS)
NAMELESS = {"client": "", "city": "", "box": ""}

LOG_FILE = (
    "\ufeffuuid;ts;type;operator;client;city;box;code;details;received_at;source\r\n"
    "00000000-0000-0000-0000-000000000002;31.10.2025 00:59:07;ERROR;;;;;"
    '"=""NO_BOX""";;31.10.2025 12:00:00;pwa\r\n'
    "00000000-0000-0000-0000-000000000001;31.10.2025 12:00:00;ITEM;anna;ivancov;Novosem;"
    'ivancov/8;"=""2042469234860""";;31.10.2025 12:00:00;pwa\r\n'
    "00000000-0000-0000-0000-000000000003;31.10.2025 12:00:00;CITY;anna;;Novosem;;;"
    '"a;""b""";31.10.2025 12:00:00;pwa\r\n'
)
BOX_FILE = (
    "\ufeffКлиент;Город;Короб;ШК;Время скана;Оператор\r\n"
    '—;—;—;"=""1""";31.10.2025 12:00:00;anna\r\n'
    'ivancov;Novosem;8;"=""2042469234860""";31.10.2025 12:00:00;anna\r\n'
    "ivancov;Rostov;8;;31.10.2025 00:59:07;\r\n"
)


async def lines(ingest: Service, path: str, **params: str) -> list[str]:
    """The rows of a file without its header."""
    return (await ingest.viewer.get(path, params=params)).text.splitlines()[1:]


async def test_the_log_is_exact_to_the_byte(ingest: Service) -> None:
    error = {"kind": "ERROR", "operator": "", "code": "NO_BOX", "details": None}
    await ingest.record(
        a_scan(3, kind="CITY", client="", box="", code="", details='a;"b"'),
        a_scan(1),
        a_scan(2, scanned_at=EARLY, **error, **NAMELESS),
    )

    answer = await ingest.viewer.get(CSV)

    assert answer.content == LOG_FILE.encode()
    assert answer.headers.get_list("content-type") == ["text/csv; charset=utf-8"]
    assert answer.headers["accept-ranges"] == "none"


async def test_the_boxes_are_exact_to_the_byte(ingest: Service) -> None:
    await ingest.record(
        a_scan(1),
        a_scan(2, scanned_at=EARLY, city="Rostov", operator="", code=""),
        a_scan(3, code="1", **NAMELESS),
        a_scan(4, kind="BOX"),
    )

    answer = await ingest.viewer.get(BOXES_CSV)

    assert answer.content == BOX_FILE.encode()
    assert answer.headers.get_list("content-type") == ["text/csv; charset=utf-8"]


@EVERY
async def test_a_file_name_has_the_days_as_the_query_has_them(ingest: Service, path: str) -> None:
    names = {CSV: "scanner_logs_{}.csv", BOXES_CSV: "boxes_{}.csv", EXCEL: "scanner_logs_{}.xlsx"}
    cases: list[tuple[dict[str, str], str]] = [
        ({}, "2025-10-31"),
        ({"date_end": "2025-11-05"}, "2025-10-31"),
        ({"date": "2025-10-30"}, "2025-10-30"),
        ({"date": "30.10.2025", "date_end": "2025-10-30"}, "30.10.2025"),
        ({"date": "2025-10-30", "date_end": "01.11.2025"}, "2025-10-30_01.11.2025"),
    ]
    for params, days in cases:
        answer = await ingest.viewer.get(path, params=params)

        expected = f'attachment; filename="{names[path].format(days)}"'
        assert answer.headers["content-disposition"] == expected, params


@pytest.mark.parametrize("path", [CSV, BOXES_CSV])
async def test_days_filters_and_removals_select_the_rows(ingest: Service, path: str) -> None:
    removed_scan = a_scan(6)
    await ingest.record(
        a_scan(1),
        a_scan(2, scanned_at=NOON - timedelta(days=1)),
        a_scan(3, city=""),
        a_scan(4, client="petrov"),
        a_scan(5, operator="boris"),
        removed_scan,
        removed(removed_scan),
    )
    cases: list[tuple[dict[str, str], int]] = [
        ({}, 4),
        ({"date": "2025-10-30"}, 1),
        ({"date": "30.10.2025", "date_end": "31.10.2025"}, 5),
        ({"city": "—"}, 1),
        ({"client": "petrov"}, 1),
        ({"operator": "boris"}, 1),
        ({"client": "ivancov", "city": "Novosem", "operator": "anna"}, 1),
    ]
    for params, count in cases:
        assert len(await lines(ingest, path, **params)) == count, params


async def test_a_type_selects_the_rows_of_the_log_and_boxes_contain_items_only(
    ingest: Service,
) -> None:
    await ingest.record(a_scan(1), a_scan(2, kind="BOX"))

    assert [row.split(";")[2] for row in await lines(ingest, CSV, type="BOX")] == ["BOX"]
    assert len(await lines(ingest, BOXES_CSV, type="BOX")) == 1


@EVERY
async def test_parallel_exports_are_limited_and_each_releases_its_slot(
    ingest: Service, path: str
) -> None:
    await ingest.record(a_scan(1))
    async with ingest.deps.export_slots:
        refused = await ingest.viewer.get(path)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    for params in ({}, {}, {"after": "nothing"}, {"date": "x"}, {}):
        assert (await ingest.viewer.get(path, params=params)).status_code != 503


@EVERY
async def test_a_head_request_holds_no_slot(ingest: Service, path: str) -> None:
    await ingest.record(*(a_scan(n) for n in range(1, 1001)))

    heads = [await ingest.viewer.head(path) for _ in range(3)]
    whole = await ingest.viewer.get(path)

    assert [(one.status_code, one.content) for one in heads] == [(200, b"")] * 3
    assert whole.status_code == 200
    assert heads[0].headers["content-disposition"] == whole.headers["content-disposition"]


@EVERY
async def test_exported_rows_are_counted(ingest: Service, path: str) -> None:
    def counted() -> float:
        labels = {"format": FORMATS[path]}
        return REGISTRY.get_sample_value("ingest_exported_rows_total", labels) or 0.0

    await ingest.record(*(a_scan(n) for n in range(1, 301)))
    before = counted()

    await ingest.viewer.get(path)

    assert counted() - before == 300


async def test_an_export_cannot_continue_after_an_unknown_row(ingest: Service) -> None:
    await ingest.record(a_scan(1), a_scan(99, scanned_at=NOON - timedelta(days=1)))

    for after in ("x", "1\0", "00000000-0000-0000-0000-000000000063", "' OR 1=1 --"):
        answer = await ingest.viewer.get(CSV, params={"after": after})

        assert answer.status_code == 400, after
        assert answer.json() == {"detail": "there is no such row to go on after"}


TEXTS = {"kind": 2, "operator": 3, "client": 4, "city": 5, "box": 6, "code": 7, "details": 8}
HOSTILE = [
    *("=1+1", '=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", '"', "a\nb"),
    *("http://evil.example/", "mailto:a@b", "<r><t>x</t></r>", "<r>&</r>", "<b>&amp;</b>]]>"),
    *("_x000D_", " a ", "🌻", "00042", "1e5"),
]
TOO_MUCH = ["a\x01\x1fb\r", "\x0b", "\ufffe\uffff", "x" * 40_000, "🌻" * 20_000]


def sheet_in(content: bytes) -> Worksheet:
    active = openpyxl.load_workbook(io.BytesIO(content)).active
    assert active is not None
    return active


async def sheet(ingest: Service, **params: str) -> Worksheet:
    answer = await ingest.viewer.get(EXCEL, params=params)
    assert answer.status_code == 200
    return sheet_in(answer.content)


def cells(sheet: Worksheet) -> list[tuple[Cell, ...]]:
    rows: Any = sheet.iter_rows(min_row=2)
    return list(rows)


async def test_texts_are_texts_and_moments_are_moments(ingest: Service) -> None:
    early = datetime(2025, 10, 30, 21, 59, 7, 999_999, tzinfo=UTC)
    await ingest.record(a_scan(1, scanned_at=early))

    worksheet = await sheet(ingest)

    assert [cell.value for cell in worksheet[1]] == [one.name for one in export.LOG]
    assert worksheet.column_dimensions["A"].width >= 36
    (row,) = cells(worksheet)
    assert [cell.value for cell in row] == [
        "00000000-0000-0000-0000-000000000001",
        datetime.fromisoformat("2025-10-31T00:59:07"),
        *("ITEM", "anna", "ivancov", "Novosem", "ivancov/8", "2042469234860", None),
        datetime.fromisoformat("2025-10-31T12:00:00"),
        "pwa",
    ]
    assert row[7].data_type == "s"
    assert row[1].number_format == row[9].number_format == "dd.mm.yyyy hh:mm:ss"


async def test_rows_are_those_of_the_csv(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, kind="BOX" if n % 3 else "ITEM") for n in range(700)))

    for params in ({}, {"type": "BOX"}, {"city": "—"}):
        lines = (await ingest.viewer.get(CSV, params=params)).text.splitlines()[1:]
        ids = [row[0].value for row in cells(await sheet(ingest, **params))]
        assert ids == [line.partition(";")[0] for line in lines]


async def test_a_hostile_text_is_a_text_in_every_column(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, **dict.fromkeys(TEXTS, one)) for n, one in enumerate(HOSTILE)))

    content = (await ingest.viewer.get(EXCEL)).content

    for text, row in zip(HOSTILE, cells(sheet_in(content)), strict=True):
        for column in TEXTS.values():
            assert (row[column].data_type, row[column].hyperlink) == ("s", None)
            assert unescape(str(row[column].value)) == text
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        xml = parts.read("xl/worksheets/sheet1.xml")
        assert b"<f>" not in xml
        assert b"<hyperlink" not in xml


async def test_a_text_too_long_for_a_cell_does_not_fail(ingest: Service) -> None:
    await ingest.record(*(a_scan(n, details=text) for n, text in enumerate(TOO_MUCH)), a_scan(99))

    *rows, last = cells(await sheet(ingest))

    assert len(rows) == len(TOO_MUCH)
    for row in rows:
        assert row[8].data_type == "s"
        assert len(str(row[8].value).encode("utf-16-le")) // 2 <= 32_767
    assert last[7].value == "2042469234860"


async def test_the_response_has_its_type_and_file_name(ingest: Service) -> None:
    answer = await ingest.viewer.get(EXCEL, headers={"Range": "bytes=0-10"})

    assert answer.status_code == 200
    assert answer.headers["accept-ranges"] == "none"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert answer.headers["content-type"] == kind
    assert answer.content.startswith(workbook.ZIP_HEADER)


async def test_the_connection_is_kept_alive_with_the_header_of_workbooks(
    ingest: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "KEEPALIVE_SECONDS", 0.01)
    await ingest.record(*(a_scan(n) for n in range(1, 6000)))

    assert len(cells(await sheet(ingest))) == 5999
