"""Exports as CSV: which rows, in which words, under which name, and how to go on with one."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

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
async def test_a_file_is_named_after_its_days_as_they_were_written(
    ingest: Service, path: str
) -> None:
    names = {CSV: "scanner_logs_{}.csv", BOXES_CSV: "boxes_{}.csv", EXCEL: "scanner_logs_{}.xlsx"}
    cases: list[tuple[dict[str, str], str]] = [
        ({}, "2025-10-31"),
        ({"date_end": "2025-11-05"}, "2025-10-31"),
        ({"date": "2025-10-30"}, "2025-10-30"),
        ({"date": "30.10.2025", "date_end": "2025-10-30"}, "30.10.2025"),
        ({"date": "2025-10-30", "date_end": "01.11.2025"}, "2025-10-30_01.11.2025"),
    ]
    for asked, days in cases:
        answer = await ingest.viewer.get(path, params=asked)

        expected = f'attachment; filename="{names[path].format(days)}"'
        assert answer.headers["content-disposition"] == expected, asked


@pytest.mark.parametrize("path", [CSV, BOXES_CSV])
async def test_days_filters_and_removals_choose_the_rows(ingest: Service, path: str) -> None:
    gone = a_scan(6)
    await ingest.record(
        a_scan(1),
        a_scan(2, scanned_at=NOON - timedelta(days=1)),
        a_scan(3, city=""),
        a_scan(4, client="petrov"),
        a_scan(5, operator="boris"),
        gone,
        removed(gone),
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
    for asked, count in cases:
        assert len(await lines(ingest, path, **asked)) == count, asked


async def test_a_type_chooses_the_rows_of_the_log_and_boxes_hold_items_only(
    ingest: Service,
) -> None:
    await ingest.record(a_scan(1), a_scan(2, kind="BOX"))

    assert [row.split(";")[2] for row in await lines(ingest, CSV, type="BOX")] == ["BOX"]
    assert len(await lines(ingest, BOXES_CSV, type="BOX")) == 1


@EVERY
async def test_only_so_many_export_at_once_and_each_gives_the_turn_back(
    ingest: Service, path: str
) -> None:
    await ingest.record(a_scan(1))
    async with ingest.deps.exports:
        refused = await ingest.viewer.get(path)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    for asked in ({}, {}, {"after": "nothing"}, {"date": "x"}, {}):
        assert (await ingest.viewer.get(path, params=asked)).status_code != 503


@EVERY
async def test_asking_only_for_the_head_is_405(ingest: Service, path: str) -> None:
    answer = await ingest.viewer.head(path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@EVERY
async def test_exported_rows_are_counted(ingest: Service, path: str) -> None:
    def counted() -> float:
        labels = {"format": FORMATS[path]}
        return REGISTRY.get_sample_value("ingest_exported_rows_total", labels) or 0.0

    await ingest.record(*(a_scan(n) for n in range(1, 301)))
    before = counted()

    await ingest.viewer.get(path)

    assert counted() - before == 300


async def test_one_cannot_go_on_after_what_is_no_row_of_the_window(ingest: Service) -> None:
    await ingest.record(a_scan(1), a_scan(99, scanned_at=NOON - timedelta(days=1)))

    for after in ("x", "1\0", "00000000-0000-0000-0000-000000000063", "' OR 1=1 --"):
        answer = await ingest.viewer.get(CSV, params={"after": after})

        assert answer.status_code == 400, after
        assert answer.json() == {"detail": "there is no such row to go on after"}
