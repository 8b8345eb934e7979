"""The import command in a real process with a real database."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import asyncpg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from deploy.local.postgres import query
from deploy.local.settings import ROOT
from libs.testing.polling import PATIENCE_SECONDS, wait_until
from services.ingest.__main__ import app
from services.ingest.imports.cli.run import print_report, progress_on
from services.ingest.imports.handlers.importing import Report, TableResult
from tests.services.ingest.history import environment
from tests.services.ingest.importing import a_csv, a_row

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
ROWS = [a_row(n) for n in range(1, 4)]
BAD = a_row(9, ts="garbage")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(database: str) -> Run:
    """The command to its end, on a migrated database."""

    def started(*arguments: object, url: str = database) -> subprocess.CompletedProcess[str]:
        process = start(url, *arguments)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return started


def start(database: str, *arguments: object) -> subprocess.Popen[str]:
    words = ("import", "--tenant", "demo", *arguments)
    return subprocess.Popen(
        [sys.executable, "-m", "services.ingest", *map(str, words)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "TIMEZONE"}
        | environment(database),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def counted(output: str, name: str) -> list[int]:
    (line,) = [line for line in output.splitlines() if name in line and "│" in line]
    return [int(cell) for cell in line.split("│")[2:-1]]


def stored(database: str, what: str = "count(*)") -> str:
    return query(database, f"select {what} from ingest.events").strip()


def test_one_file_from_the_first_run_to_the_last(run: Run, database: str, tmp_path: Path) -> None:
    path = a_csv(tmp_path / "raw.csv", [*ROWS, BAD])

    dry = run(path, "--dry-run")
    assert (dry.returncode, counted(dry.stdout, "raw.csv")) == (3, [4, 3, 0, 1])
    assert "would be inserted" in dry.stdout
    assert stored(database) == "0"

    first = run(path)
    assert (first.returncode, counted(first.stdout, "raw.csv")) == (3, [4, 3, 0, 1])
    assert f"rejected rows and why: {path}.rejected.csv" in first.stderr
    assert "raw: 4 of 4 rows" in first.stderr
    assert "bad_time" in (tmp_path / "raw.csv.rejected.csv").read_text()
    assert stored(database) == "3"
    assert stored(database, "distinct metadata->>'actor'") == "import"

    again = run(path)
    assert (again.returncode, counted(again.stdout, "raw.csv")) == (3, [4, 0, 3, 1])
    (run_id,) = stored(database, "distinct metadata->>'correlation_id'").split()
    undo = f"import --tenant demo --undo {run_id}"
    assert [undo in one.stderr for one in (dry, first, again)] == [False, True, False]


def test_a_file_that_cannot_be_read_is_one_sentence_and_a_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")

    done = run(tmp_path / "bad.csv", tmp_path)

    assert done.returncode == 1
    assert "bad.csv: worksheet bad: its first row does not name uuid, ts" in done.stderr
    assert f"{tmp_path}: it is a directory; name the files in it" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_undone_run_stays_undone_in_the_log_while_its_read_models_cannot_be_rebuilt(
    run: Run, database: str, tmp_path: Path
) -> None:
    run(a_csv(tmp_path / "raw.csv", ROWS))
    (run_id,) = stored(database, "distinct metadata->>'correlation_id'").split()

    first, second = run("--undo", run_id), run("--undo", run_id)

    assert (first.returncode, second.returncode) == (1, 1)
    assert "the import is undone\n" in first.stderr
    assert "the import was undone before\n" in second.stderr
    assert "run the same again" in second.stderr
    assert "the worker of this service has never run" in second.stderr
    assert "Traceback" not in first.stderr + second.stderr
    assert stored(database, "count(*) filter (where type = 'ImportUndone')") == "1"


def test_options_set_the_zone_and_the_folder_of_rejected_rows(
    run: Run, database: str, tmp_path: Path
) -> None:
    (tmp_path / "rejected").mkdir()
    path = a_csv(tmp_path / "a.csv", [ROWS[0], BAD])

    run(path, "--timezone", "Asia/Yekaterinburg", "--rejects", tmp_path / "rejected")

    assert "2025-10-31T07:00:00" in stored(database, "data->>'scanned_at'")
    assert (tmp_path / "rejected" / "a.csv.rejected.csv").exists()
    assert not (tmp_path / "a.csv.rejected.csv").exists()


def test_an_unavailable_database_is_one_sentence(run: Run, tmp_path: Path) -> None:
    done = run(a_csv(tmp_path / "a.csv", ROWS), url=NOWHERE)

    assert (done.returncode, done.stderr) == (1, "nothing was imported: database unavailable\n")
    done = run("--undo", "019a3f0e-7c1b-7d2a-9f3e-5b6c7d8e9f00", url=NOWHERE)
    assert (done.returncode, done.stderr) == (1, "nothing was undone: database unavailable\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("a.csv", "--tenant"),
        ("--tenant demo", "name files"),
        ("--tenant * a.csv", "one tenant"),
        ("--tenant ' ' a.csv", "one tenant"),
        ("--tenant demo a.csv --timezone Moscow", "time zone"),
        ("--tenant demo a.csv --rejects nowhere", "folder"),
        ("--tenant demo --spreadsheet-id x", "--credentials"),
        ("--tenant demo --undo run-1", "--undo"),
        ("--tenant demo --undo 019a3f0e-7c1b-7d2a-9f3e-5b6c7d8e9f00 a.csv", "goes alone"),
        ("--tenant demo --spreadsheet-id ../x --credentials k", "no spreadsheet"),
        ("--tenant demo a.csv a.csv.rejected.csv", "would be overwritten"),
        ("--tenant demo x/a.csv y/a.csv --rejects .", "one name"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything(arguments: str, reason: str) -> None:
    words = ["import", *shlex.split(arguments)]

    done = CliRunner().invoke(app, words, env=environment(NOWHERE))

    assert done.exit_code == 2
    assert reason in " ".join(done.stderr.replace("│", " ").split())


HOLD = """
create function ingest.hold() returns trigger language plpgsql as $$ begin
    if exists (select from ingest.events) then perform pg_advisory_xact_lock_shared(7); end if;
    return null;
end $$;
create trigger hold before insert on ingest.events execute function ingest.hold();
"""
"""After the first page the log waits for whoever holds the lock 7."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
async def test_a_run_that_is_stopped_says_how_to_go_on_and_can_be_continued(
    run: Run, database: str, tmp_path: Path, number: signal.Signals
) -> None:
    path, rows = a_csv(tmp_path / "long.csv", (a_row(n) for n in range(5000))), 5000
    query(database, HOLD)
    holder = await asyncpg.connect(database)
    await holder.execute("select pg_advisory_lock(7)")
    process = start(database, path)
    wait_until(lambda: stored(database) != "0", what="the first rows to be stored")
    process.send_signal(number)
    await holder.close()
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130, errors
    assert "run the same again to go on" in errors
    total, inserted, *rest = counted(output, "long.csv")
    assert 0 < total == inserted < rows
    assert rest == [0, 0]

    after = run(path)
    assert after.returncode == 0
    assert counted(after.stdout, "long.csv") == [rows, rows - inserted, inserted, 0]


def console(*, terminal: bool) -> tuple[Console, StringIO]:
    written = StringIO()
    return Console(file=written, force_terminal=terminal, width=100, color_system=None), written


def test_on_a_terminal_every_worksheet_has_a_bar_with_its_speed() -> None:
    terminal_console, written = console(terminal=True)

    with progress_on(terminal_console) as report:
        for name in ("[october]", "november"):
            for done in (0, 1000, 2000):
                report(name, done, 2000)

    last = written.getvalue().rpartition("[october]")[2]
    assert "november" in last
    assert last.count("2000/2000") == 2
    assert "rows/s" in last


def test_without_a_terminal_progress_is_a_line_now_and_then() -> None:
    terminal_console, written = console(terminal=False)

    with progress_on(terminal_console) as report:
        for done in range(0, 120_001, 1000):
            report("[october]", done, 120_000)
        report("unknown", 0, None)

    assert written.getvalue().splitlines() == [
        *(f"[october]: {done} of 120000 rows" for done in (0, 50_000, 100_000, 120_000)),
        "unknown: 0 rows",
    ]


def test_the_report_of_several_files_ends_in_a_sum() -> None:
    terminal_console, written = console(terminal=False)
    one = TableResult(name="[a].csv", rejects=Path("x"), inserted=1, skipped=2, rejected=4)
    other = TableResult(name="b.csv", rejects=Path("y"), inserted=10)

    print_report(terminal_console, Report([one, other]), dry=False)

    rows = [line.replace("│", " ").split() for line in written.getvalue().splitlines()]
    assert ["[a].csv", "7", "1", "2", "4"] in rows
    assert ["b.csv", "10", "10", "0", "0"] in rows
    assert ["together", "17", "11", "2", "4"] in rows
