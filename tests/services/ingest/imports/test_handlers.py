"""The report of an import is exact, whatever the files and the failures."""

import csv
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import openpyxl
import pytest

from contracts.ingest import EVENTS, IngestEvent, ScanId, ScanRecorded
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import FactsAppended, LogUnavailable, Metadata, NewFact
from services.ingest.imports.adapters import csv_file
from services.ingest.imports.adapters.table import WorksheetChoice
from services.ingest.imports.domain.sheet import COLUMNS
from services.ingest.imports.handlers import importing
from services.ingest.imports.stores.rejects import HEADER
from services.ingest.scans.domain import identity
from tests.libs.eventsourcing.memory_log import MemoryLog
from tests.services.ingest.history import (
    NOON,
    NOON_MS,
    Store,
    a_scan,
    append,
    event,
    events_in,
    removed,
    send,
)
from tests.services.ingest.importing import (
    FIVE,
    Importer,
    a_csv,
    a_row,
    file_with,
    files_in,
    numbers,
)

GOOD = a_row(1)
ANY_UUID = GOOD["uuid"]
REJECTED = (a_row(1, ts="garbage"), a_row(2), a_row(3, operator="", details="=1+1", code="0042"))


@pytest.fixture
def importer(store: Store) -> Importer:
    return Importer(store)


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "PAGE", 2)


async def test_a_row_from_a_clock_ahead_occurred_at_its_effective_time(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    ahead = a_row(1, ts="31.10.2025 11:59:00", receivedAt="31.10.2025 11:49:00")
    await importer(a_csv(tmp_path / "a.csv", [ahead]))

    (recorded,) = [one async for page in store.log.read_all() for one in page]

    assert recorded.occurred_at == NOON - timedelta(minutes=11)


async def test_every_row_is_recorded_as_a_batch_would_have_been(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    (result,) = (await importer(a_csv(tmp_path / "a.csv", [GOOD]))).results

    assert numbers(result) == (1, 1, 0, 0)
    (recorded,) = [one async for page in store.log.read_all() for one in page]
    namespace = identity.namespace("demo")
    assert recorded.event_id == identity.scan_event(namespace, ScanId(UUID(ANY_UUID)))
    assert recorded.stream == identity.scan_stream(namespace, "anna")
    assert (recorded.version, recorded.occurred_at) == (None, NOON)
    assert recorded.metadata == Metadata(
        tenant="demo", actor="import", correlation_id="run", causation_id="run/0/0"
    )
    scan = store.decode(recorded)
    assert isinstance(scan, ScanRecorded)
    assert (scan.received_at, scan.effective_at, scan.source) == (NOON, NOON, "pwa")


ACCOUNTS: dict[str, tuple[list[dict[str, str]], tuple[int, int, int, int]]] = {
    "no rows": ([], (0, 0, 0, 0)),
    "all new": (FIVE, (5, 5, 0, 0)),
    "a uuid again": ([GOOD, GOOD, GOOD], (3, 1, 2, 0)),
    "with other content": ([GOOD, a_row(1, code="other")], (2, 1, 1, 0)),
    "bad uuids": ([a_row(n, uuid="bad") for n in (1, 1, 2)], (3, 2, 1, 0)),
    "some rejected": ([a_row(1, ts="garbage"), a_row(2, operator=""), *FIVE], (7, 5, 0, 2)),
    "blank rows": ([dict.fromkeys(COLUMNS, ""), GOOD, dict.fromkeys(COLUMNS, " ")], (1, 1, 0, 0)),
}


@pytest.mark.parametrize(("rows", "expected"), ACCOUNTS.values(), ids=ACCOUNTS)
async def test_total_is_inserted_and_skipped_and_rejected(
    store: Store, importer: Importer, tmp_path: Path, rows: Any, expected: Any
) -> None:
    path = a_csv(tmp_path / "a.csv", rows)

    first, second = [(await importer(path)).results[0] for _ in range(2)]

    total, inserted, skipped, rejected = expected
    assert numbers(first) == expected
    assert numbers(second) == (total, 0, skipped + inserted, rejected)
    assert len(await events_in(store)) == inserted


async def test_scans_that_a_device_has_sent_are_skipped(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    await send(store, event(uuid=ANY_UUID, ts=NOON_MS + 123))

    (result,) = (await importer(a_csv(tmp_path / "a.csv", FIVE))).results

    assert numbers(result) == (5, 4, 1, 0)


async def test_a_removed_item_stays_removed_after_an_import(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    scan = a_scan(scan_id=ScanId(UUID(ANY_UUID)))
    await append(store, scan, removed(scan))

    (result,) = (await importer(a_csv(tmp_path / "a.csv", [GOOD]))).results

    assert numbers(result) == (1, 0, 1, 0)
    assert await events_in(store) == [scan, removed(scan)]


async def test_rejected_rows_are_written_with_reasons(importer: Importer, tmp_path: Path) -> None:
    (result,) = (await importer(a_csv(tmp_path / "a.csv", REJECTED))).results

    assert result.rejects == tmp_path / "a.csv.rejected.csv"
    with result.rejects.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file, delimiter=";"))
    assert header == list(HEADER)
    assert [row[:3] for row in rows] == [
        ["a", "2", "ts is not a time such as 31.10.2025 08:02:05 [bad_time]"],
        ["a", "4", "operator is empty [missing_field]"],
    ]
    assert rows[0][3:] == [ANY_UUID, "garbage", *rows[0][5:]]
    assert rows[1][10:12] == ['="0042"', "'=1+1"]


async def test_a_file_of_rejected_rows_contains_no_formula(
    importer: Importer, tmp_path: Path
) -> None:
    formula = "=cmd|'x,=y"
    path = a_csv(tmp_path / f"{formula}.csv", [a_row(1, ts="=1", operator="-1+1", code="+1")])

    (result,) = (await importer(path)).results

    with result.rejects.open(encoding="utf-8-sig", newline="") as file:
        _, cells = list(csv.reader(file, delimiter=";"))
    assert cells[0] == "'=cmd|'x,'=y"
    assert [cell for cell in cells if cell.startswith(tuple("=+-@"))] == ['="+1"']


async def test_corrected_rows_are_imported(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    await importer(a_csv(tmp_path / "a.csv", REJECTED))
    text = (tmp_path / "a.csv.rejected.csv").read_text(encoding="utf-8-sig")
    mended = text.replace("garbage", GOOD["ts"]).replace(";ITEM;;", ";ITEM;anna;")
    path = file_with(tmp_path / "mended.csv", mended.encode())

    (result,) = (await importer(path)).results

    assert numbers(result) == (2, 2, 0, 0)
    assert {scan.code for scan in await events_in(store, ScanRecorded)} == {"1", "2", "0042"}


async def test_damaged_rows_have_their_bytes_until_they_are_corrected(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    rows = [a_row(n, city="Кострома", details="возврат", code="") for n in (1, 2)]
    content = a_csv(tmp_path / "a.csv", rows).read_bytes()
    good, bad = "возврат".encode(), "возврат".encode("cp1251")
    damaged = content[::-1].replace(good[::-1], bad[::-1], 1)[::-1].removesuffix(b"\n")
    path, rejects = file_with(tmp_path / "a.csv", damaged), tmp_path / "a.csv.rejected.csv"

    assert numbers((await importer(path)).results[0]) == (2, 1, 0, 1)
    again = file_with(tmp_path / "again.csv", rejects.read_bytes())
    assert numbers((await importer(again)).results[0]) == (1, 0, 0, 1)
    mended = file_with(tmp_path / "mended.csv", rejects.read_bytes().replace(bad, good))
    assert numbers((await importer(mended)).results[0]) == (1, 1, 0, 0)

    scans = await events_in(store, ScanRecorded)
    assert [(scan.city, scan.details) for scan in scans] == [("Кострома", "возврат")] * 2


async def test_without_rejected_rows_there_is_no_file(importer: Importer, tmp_path: Path) -> None:
    await importer(a_csv(tmp_path / "a.csv", FIVE))

    assert files_in(tmp_path) == ["a.csv"]


async def test_an_unwritable_file_of_rejected_rows_is_reported(
    importer: Importer, tmp_path: Path
) -> None:
    (tmp_path / "a.csv.rejected.csv").mkdir()

    (result,) = (await importer(a_csv(tmp_path / "a.csv", REJECTED))).results

    assert "cannot be written" in (result.fault or "")


@pytest.mark.usefixtures("pages_of_two")
async def test_progress_is_reported_page_by_page(importer: Importer, tmp_path: Path) -> None:
    await importer(a_csv(tmp_path / "raw.csv", FIVE))

    assert importer.progress == [("raw", done, 5) for done in (0, 2, 4, 5)]


async def test_only_selected_worksheets_are_imported_and_a_wrong_one_refuses_all(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].append(["not", "this"])
    book.create_sheet("raw_log_10").append(list(COLUMNS))
    book.worksheets[1].append([*GOOD.values()])
    book.save(tmp_path / "a.xlsx")

    (refused,) = (await importer(tmp_path / "a.xlsx")).results
    assert "worksheet Sheet: its first row does not name" in (refused.fault or "")
    assert await events_in(store) == []

    (result,) = (
        await importer(tmp_path / "a.xlsx", choice=WorksheetChoice(prefix="raw_log_"))
    ).results
    assert numbers(result) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"a;b;c\n1;2;3\n", "worksheet bad: its first row does not name uuid, ts, type, oper"),
        (b"uuid;ts;type;operator\n" + b'"x\n' * 3, "is broken"),
    ],
    ids=["empty", "other columns", "broken"],
)
async def test_a_table_that_cannot_be_imported_is_reported_and_stops_no_other(
    store: Store, importer: Importer, tmp_path: Path, content: bytes, reason: str
) -> None:
    bad = file_with(tmp_path / "bad.csv", content)

    report = await importer(bad, a_csv(tmp_path / "a.csv", FIVE))

    assert reason in (report.results[0].fault or "")
    assert "\n" not in (report.results[0].fault or "")
    assert [numbers(one) for one in report.results] == [(0, 0, 0, 0), (5, 5, 0, 0)]
    assert len(await events_in(store)) == 5


@pytest.mark.usefixtures("pages_of_two")
async def test_a_dry_run_gives_the_report_of_a_run(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    await importer(a_csv(tmp_path / "known.csv", FIVE[:2]))
    again = [*FIVE, a_row(5), a_row(3), a_row(9, ts="garbage")]
    path = a_csv(tmp_path / "a.csv", again)

    dry = [(await importer(path, path, dry=True)).results for _ in range(2)]

    expected = [(8, 3, 4, 1), (8, 0, 7, 1)]
    assert [[*map(numbers, results)] for results in dry] == [expected] * 2
    assert len(await events_in(store)) == 2
    assert [*map(numbers, (await importer(path, path)).results)] == expected


@pytest.mark.usefixtures("pages_of_two")
@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4])
async def test_a_stopped_import_is_continued_by_the_same_import(
    store: Store, tmp_path: Path, pages: int
) -> None:
    path = a_csv(tmp_path / "a.csv", [*FIVE, a_row(6, ts="garbage"), a_row(2), a_row(7)])

    before = await Importer(store, pages=pages)(path, path)
    after = await Importer(store)(path)

    assert before.stopped
    assert not after.stopped
    assert before.results[0].total == pages * 2
    total, inserted, skipped, rejected = numbers(after.results[0])
    assert (total, rejected) == (8, 1)
    assert inserted == 6 - before.results[0].inserted
    assert skipped == 7 - inserted
    assert len(await events_in(store)) == 6


class LosingLog(MemoryLog):
    """Loses the way to the log `before` it writes, or the answer `after` it has written."""

    def __init__(self, *, before: int = 0, after: int = 0) -> None:
        super().__init__()
        self.before, self.after = before, after

    async def append_facts(self, facts: Sequence[NewFact], *, metadata: Metadata) -> FactsAppended:
        if self.before:
            self.before -= 1
            raise LogUnavailable
        done = await super().append_facts(facts, metadata=metadata)
        if self.after:
            self.after -= 1
            raise LogUnavailable
        return done


def losing(**times: int) -> tuple[Store, LosingLog]:
    log = LosingLog(**times)
    return Store(log, Codec[IngestEvent](EVENTS)), log


@pytest.mark.parametrize("times", [{"before": 3}, {"after": 1}, {"before": 2, "after": 2}], ids=str)
async def test_an_import_waits_for_the_log_and_its_report_stays_exact(
    tmp_path: Path, times: dict[str, int]
) -> None:
    importer = Importer(losing(**times)[0])

    (result,) = (await importer(a_csv(tmp_path / "a.csv", [*FIVE, a_row(1)]))).results

    assert numbers(result) == (6, 5, 1, 0)
    assert importer.slept == [*importing.WAITS[: sum(times.values())]]


async def test_rows_stored_by_others_do_not_count_as_inserted(tmp_path: Path) -> None:
    store, log = losing()
    await Importer(store, run_id="another")(a_csv(tmp_path / "b.csv", FIVE[:2]))
    log.after = 2

    (result,) = (await Importer(store)(a_csv(tmp_path / "a.csv", FIVE))).results

    assert numbers(result) == (5, 3, 2, 0)


@pytest.mark.usefixtures("pages_of_two")
async def test_an_import_without_the_log_ends_with_its_report_so_far(tmp_path: Path) -> None:
    store, log = losing()
    importer, path = Importer(store), a_csv(tmp_path / "a.csv", FIVE)

    class Progress(list[tuple[str, int, int | None]]):
        def append(self, done: tuple[str, int, int | None]) -> None:
            log.before = 100 if done[1] == 2 else 0

    importer.progress = Progress()
    report = await importer(path, path)

    assert [numbers(one) for one in report.results] == [(2, 2, 0, 0)]
    assert "run the same again" in (report.results[0].fault or "")
    assert importer.slept == list(importing.WAITS)


async def test_stopping_ends_the_wait(tmp_path: Path) -> None:
    importer = Importer(losing(before=100)[0])

    async def pause(seconds: float) -> None:
        if seconds > 1:
            raise importing.Stopped

    importer.pause = pause  # type: ignore[method-assign]
    report = await importer(a_csv(tmp_path / "a.csv", FIVE))

    assert report.stopped
    assert numbers(report.results[0]) == (0, 0, 0, 0)
