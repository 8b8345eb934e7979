"""Refused, tried out, stopped, or cut off from the log: an import says exactly what it did."""

from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from contracts.ingest import EVENTS, IngestEvent
from libs.eventsourcing.codec import Codec
from libs.eventsourcing.log import Cause, FactsAppended, LogUnavailable, NewFact
from libs.eventsourcing.memory import MemoryLog
from libs.eventsourcing.store import EventStore
from services.ingest.adapters import csv_file
from services.ingest.domain.sheet import COLUMNS
from services.ingest.handlers import importing
from tests.services.ingest.importing import Importer, a_csv, a_row, numbers, stored

FIVE = [a_row(n) for n in range(1, 6)]

Store = EventStore[IngestEvent]


@pytest.fixture
def importer(store: Store) -> Importer:
    """An importer into a log in memory."""
    return Importer(store)


class TestTablesThatCannotBeImported:
    """They store nothing, say why, and keep no other from being imported."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "empty"),
            (b"a;b;c\n1;2;3\n", "worksheet bad: its first row does not name uuid, ts, type, oper"),
            (b"uuid,ts\n", "does not name type, operator;"),
            (b"PK\x03\x04 but no workbook", "damaged"),
            (b"uuid;ts;type;operator\n" + b'"x\n' * 3, "is broken"),
        ],
    )
    async def test_one_sentence_says_why(
        self, store: Store, importer: Importer, tmp_path: Path, content: bytes, said: str
    ) -> None:
        bad = tmp_path / "bad.csv"
        bad.write_bytes(content)

        report = await importer(bad, a_csv(tmp_path / "a.csv", FIVE))

        assert said in (report.accounts[0].fault or "")
        assert "\n" not in (report.accounts[0].fault or "")
        assert [numbers(one) for one in report.accounts] == [(0, 0, 0, 0), (5, 5, 0, 0)]
        assert len(await stored(store)) == 5

    async def test_a_workbook_with_one_wrong_worksheet_stores_nothing_of_the_others(
        self, store: Store, importer: Importer, tmp_path: Path
    ) -> None:
        book = openpyxl.Workbook()
        book.worksheets[0].append(list(COLUMNS))
        book.worksheets[0].append(list(FIVE[0].values()))
        book.create_sheet("summary").append(["items", 3])
        book.save(tmp_path / "a.xlsx")

        (account,) = (await importer(tmp_path / "a.xlsx")).accounts

        assert "worksheet summary: its first row does not name" in (account.fault or "")
        assert await stored(store) == []


class TestDryRun:
    """It counts against the log and stores nothing."""

    async def test_it_gives_the_account_that_a_run_would_give(
        self, store: Store, importer: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(csv_file, "PAGE", 2)
        await importer(a_csv(tmp_path / "known.csv", FIVE[:2]))
        again = [*FIVE, a_row(5), a_row(3), a_row(9, ts="garbage")]
        path = a_csv(tmp_path / "a.csv", again)

        dry = [(await importer(path, path, dry=True)).accounts for _ in range(2)]

        expected = [(8, 3, 4, 1), (8, 0, 7, 1)]
        assert [[*map(numbers, accounts)] for accounts in dry] == [expected] * 2
        assert len(await stored(store)) == 2
        assert [*map(numbers, (await importer(path, path)).accounts)] == expected


class TestStopping:
    """An import that was stopped is continued by the same import."""

    @pytest.mark.parametrize("pages", [0, 1, 2, 3, 4])
    async def test_the_accounts_before_and_after_add_up(
        self,
        store: Store,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        pages: int,
    ) -> None:
        monkeypatch.setattr(csv_file, "PAGE", 2)
        path = a_csv(tmp_path / "a.csv", [*FIVE, a_row(6, ts="garbage"), a_row(2), a_row(7)])

        before = await Importer(store, pages=pages)(path, path)
        after = await Importer(store)(path)

        assert before.stopped
        assert not after.stopped
        assert before.accounts[0].total == pages * 2
        total, inserted, skipped, rejected = numbers(after.accounts[0])
        assert (total, rejected) == (8, 1)
        assert inserted == 6 - before.accounts[0].inserted
        assert skipped == 7 - inserted
        assert len(await stored(store)) == 6


class LosingLog(MemoryLog):
    """Loses the way to the log `before` it writes, or the answer `after` it has written."""

    def __init__(self, *, before: int = 0, after: int = 0) -> None:
        super().__init__()
        self.before, self.after = before, after

    async def append_facts(self, facts: Sequence[NewFact], *, cause: Cause) -> FactsAppended:
        if self.before:
            self.before -= 1
            raise LogUnavailable
        done = await super().append_facts(facts, cause=cause)
        if self.after:
            self.after -= 1
            raise LogUnavailable
        return done


def losing(**times: int) -> Store:
    return EventStore(LosingLog(**times), Codec[IngestEvent](EVENTS))


def way_to(store: Store) -> LosingLog:
    assert isinstance(store.log, LosingLog)
    return store.log


class TestALogThatIsAway:
    """It is waited for; what it has stored unseen still counts as stored by this run."""

    @pytest.mark.parametrize("times", [{"before": 3}, {"after": 1}, {"before": 2, "after": 2}])
    async def test_the_account_stays_exact(self, tmp_path: Path, times: dict[str, int]) -> None:
        importer = Importer(losing(**times))

        (account,) = (await importer(a_csv(tmp_path / "a.csv", [*FIVE, a_row(1)]))).accounts

        assert numbers(account) == (6, 5, 1, 0)
        assert importer.slept == [*importing.WAITS[: sum(times.values())]]

    async def test_what_others_have_stored_is_not_ours(self, tmp_path: Path) -> None:
        store = losing()
        await Importer(store, run_id="another")(a_csv(tmp_path / "b.csv", FIVE[:2]))
        way_to(store).after = 2

        (account,) = (await Importer(store)(a_csv(tmp_path / "a.csv", FIVE))).accounts

        assert numbers(account) == (5, 3, 2, 0)

    async def test_in_the_end_it_is_given_up_with_the_account_so_far(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(csv_file, "PAGE", 2)
        store = losing()
        importer, path = Importer(store), a_csv(tmp_path / "a.csv", FIVE)

        class Told(list[tuple[str, int, int | None]]):
            def append(self, told: tuple[str, int, int | None]) -> None:
                way_to(store).before = 100 if told[1] == 2 else 0

        importer.told = Told()
        report = await importer(path, path)

        assert [numbers(one) for one in report.accounts] == [(2, 2, 0, 0)]
        assert "run the same again" in (report.accounts[0].fault or "")
        assert importer.slept == list(importing.WAITS)

    async def test_stopping_ends_the_wait(self, tmp_path: Path) -> None:
        importer = Importer(losing(before=100))

        async def pause(seconds: float) -> None:
            if seconds > 1:
                raise importing.Stopped

        importer.pause = pause  # type: ignore[method-assign]
        report = await importer(a_csv(tmp_path / "a.csv", FIVE))

        assert report.stopped
        assert numbers(report.accounts[0]) == (0, 0, 0, 0)
