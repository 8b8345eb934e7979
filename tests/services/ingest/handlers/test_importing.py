"""The account of an import is exact, whatever is in the files."""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import openpyxl
import pytest

from contracts.ingest import IngestEvent, ItemRemoved, ScanId, ScanRecorded
from libs.eventsourcing.log import Cause
from libs.eventsourcing.store import EventStore, Fact
from services.ingest.adapters import csv_file
from services.ingest.adapters.rejects import HEADER
from services.ingest.adapters.table import Choice
from services.ingest.domain import identity
from services.ingest.domain.sheet import COLUMNS
from services.ingest.handlers.scan import record_batch
from tests.services.ingest.importing import Importer, a_csv, a_row, numbers, stored
from tests.services.ingest.told import NOON, a_scan

FIVE = [a_row(n) for n in range(1, 6)]
GOOD = a_row(1)
ANY_UUID = GOOD["uuid"]

Store = EventStore[IngestEvent]


@pytest.fixture
def importer(store: Store) -> Importer:
    """An importer into a log in memory."""
    return Importer(store)


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_every_row_is_told_as_a_batch_would_have_told_it(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    (account,) = (await importer(a_csv(tmp_path / "a.csv", [GOOD]))).accounts

    assert numbers(account) == (1, 1, 0, 0)
    (page,) = [page async for page in store.log.read_all()]
    (recorded,) = page
    namespace = identity.namespace("demo")
    assert recorded.event_id == identity.scan_event(namespace, ScanId(UUID(ANY_UUID)))
    assert recorded.stream == identity.scan_stream(namespace, "anna")
    assert (recorded.version, recorded.occurred_at) == (None, NOON)
    assert recorded.cause == Cause(
        tenant="demo", actor="import", correlation_id="run", causation_id="run/0/0"
    )
    scan = store.decode(recorded)
    assert isinstance(scan, ScanRecorded)
    assert (scan.received_at, scan.effective_at, scan.source) == (NOON, NOON, "pwa")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (0, 0, 0, 0)),
        (FIVE, (5, 5, 0, 0)),
        ([GOOD, GOOD, GOOD], (3, 1, 2, 0)),
        ([GOOD, a_row(1, code="other")], (2, 1, 1, 0)),
        ([GOOD, a_row(1, uuid=ANY_UUID.upper())], (2, 1, 1, 0)),
        ([a_row(1, uuid="bad"), a_row(1, uuid="bad"), a_row(2, uuid="bad")], (3, 2, 1, 0)),
        ([a_row(1, ts="garbage"), a_row(2, operator=""), *FIVE], (7, 5, 0, 2)),
        ([a_row(1, receivedAt="garbage")], (1, 0, 0, 1)),
        ([a_row(1, type="REMOVE"), a_row(2, type="BULK_REMOVE")], (2, 2, 0, 0)),
        ([dict.fromkeys(COLUMNS, ""), GOOD, dict.fromkeys(COLUMNS, " ")], (1, 1, 0, 0)),
    ],
    ids=[
        *("no rows", "all new", "a uuid again", "with other content", "in other letters"),
        *("bad uuids", "some rejected", "a bad receipt", "audit rows", "blank rows"),
    ],
)
async def test_total_is_inserted_and_skipped_and_rejected(
    store: Store, importer: Importer, tmp_path: Path, rows: Any, expected: Any
) -> None:
    path = a_csv(tmp_path / "a.csv", rows)

    first, second = [(await importer(path)).accounts[0] for _ in range(2)]

    total, inserted, skipped, rejected = expected
    assert numbers(first) == expected
    assert numbers(second) == (total, 0, skipped + inserted, rejected)
    assert len(await stored(store)) == inserted


async def test_several_files_have_an_account_each(importer: Importer, tmp_path: Path) -> None:
    a = a_csv(tmp_path / "a.csv", FIVE[:3])
    b = a_csv(tmp_path / "b.csv", FIVE[1:])

    report = await importer(a, b)

    assert [(one.name, *numbers(one)) for one in report.accounts] == [
        ("a.csv", 3, 3, 0, 0),
        ("b.csv", 4, 2, 2, 0),
    ]


async def test_tenants_do_not_know_each_others_scans(store: Store, tmp_path: Path) -> None:
    path = a_csv(tmp_path / "a.csv", FIVE)
    await Importer(store)(path)

    (account,) = (await Importer(store, tenant="other")(path)).accounts

    assert numbers(account) == (5, 5, 0, 0)


async def test_what_a_device_has_sent_is_skipped(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    body = b'{"events":[{"uuid":"%s","ts":1761901200123,"type":"ITEM","operator":"anna"}]}'
    await record_batch(
        store,
        body % ANY_UUID.encode(),
        cause=Cause(tenant="demo"),
        received_at=NOON,
        not_before=NOON - timedelta(days=1),
    )

    (account,) = (await importer(a_csv(tmp_path / "a.csv", FIVE))).accounts

    assert numbers(account) == (5, 4, 1, 0)


async def test_an_item_that_was_removed_does_not_come_back(
    store: Store, importer: Importer, tmp_path: Path
) -> None:
    scan = a_scan(scan_id=ScanId(UUID(ANY_UUID)))
    namespace, removal_id = identity.namespace("demo"), UUID(int=1)
    removed = ItemRemoved(
        scan=scan, removal_id=removal_id, removed_at=NOON, removed_by="anna", reason=""
    )
    told: dict[UUID, IngestEvent] = {
        identity.scan_event(namespace, scan.scan_id): scan,
        identity.item_removal(namespace, scan.scan_id): removed,
    }
    facts = [
        Fact(event_id=event_id, stream="scan-x", event=event, occurred_at=NOON)
        for event_id, event in told.items()
    ]
    await store.record(facts, cause=Cause(tenant="demo"))

    (account,) = (await importer(a_csv(tmp_path / "a.csv", [GOOD]))).accounts

    assert numbers(account) == (1, 0, 1, 0)
    assert await stored(store) == [scan, removed]


class TestRejectedRows:
    """They are written where they can be mended."""

    ROWS = (a_row(1, ts="garbage"), a_row(2), a_row(3, operator="", details="=1+1", code="0042"))

    async def test_they_are_written_with_reasons(self, importer: Importer, tmp_path: Path) -> None:
        (account,) = (await importer(a_csv(tmp_path / "a.csv", self.ROWS))).accounts

        assert account.rejects == tmp_path / "a.csv.rejected.csv"
        with account.rejects.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file, delimiter=";"))
        assert header == list(HEADER)
        assert [row[:3] for row in rows] == [
            ["a", "2", "ts is not a time such as 31.10.2025 08:02:05 [bad_time]"],
            ["a", "4", "operator is empty [missing_field]"],
        ]
        assert rows[0][3:] == [ANY_UUID, "garbage", *rows[0][5:]]
        assert rows[1][10:12] == ['="0042"', "'=1+1"]

    async def test_mended_they_are_imported(
        self, store: Store, importer: Importer, tmp_path: Path
    ) -> None:
        await importer(a_csv(tmp_path / "a.csv", self.ROWS))
        rejected = tmp_path / "a.csv.rejected.csv"
        mended = rejected.read_text(encoding="utf-8-sig").replace("garbage", GOOD["ts"])
        path = tmp_path / "mended.csv"
        path.write_text(mended.replace(";ITEM;;", ";ITEM;anna;"), encoding="utf-8")

        (account,) = (await importer(path)).accounts

        assert numbers(account) == (2, 2, 0, 0)
        codes = {scan.code for scan in await stored(store) if isinstance(scan, ScanRecorded)}
        assert codes == {"1", "2", "0042"}

    async def test_without_any_there_is_no_file(self, importer: Importer, tmp_path: Path) -> None:
        await importer(a_csv(tmp_path / "a.csv", FIVE))

        assert files_in(tmp_path) == ["a.csv"]

    async def test_where_they_cannot_be_written_the_import_says_so(
        self, importer: Importer, tmp_path: Path
    ) -> None:
        (tmp_path / "a.csv.rejected.csv").mkdir()

        (account,) = (await importer(a_csv(tmp_path / "a.csv", self.ROWS))).accounts

        assert "cannot be written" in (account.fault or "")


async def test_progress_is_told_page_by_page(
    importer: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "PAGE", 2)

    await importer(a_csv(tmp_path / "raw.csv", FIVE))

    assert importer.told == [("raw", 0, 5), ("raw", 2, 5), ("raw", 4, 5), ("raw", 5, 5)]


async def test_only_the_chosen_worksheets_are_imported(importer: Importer, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].append(["not", "this"])
    book.create_sheet("raw_log_10").append(list(COLUMNS))
    book.worksheets[1].append([*GOOD.values()])
    book.save(tmp_path / "a.xlsx")

    (refused,) = (await importer(tmp_path / "a.xlsx")).accounts
    (account,) = (await importer(tmp_path / "a.xlsx", choice=Choice(prefix="raw_log_"))).accounts

    assert refused.fault is not None
    assert numbers(account) == (1, 1, 0, 0)
