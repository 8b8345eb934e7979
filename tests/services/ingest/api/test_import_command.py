"""The import command as people run it: a real process, a real database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.local.postgres import query
from deploy.local.settings import ROOT
from libs.postgres.migrate import migrate
from services.ingest.__main__ import app
from tests.services.ingest.importing import a_csv, a_row

PATIENCE_SECONDS = 60
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
ROWS = [a_row(n) for n in range(1, 4)]
BAD = a_row(9, ts="garbage")


@pytest.fixture
def environment(database: str) -> dict[str, str]:
    """What the command is told, on a migrated database."""
    migrate("ingest", database)
    return environment_of(database)


def environment_of(database: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "TIMEZONE"} | {
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP_SERVERS": "unused",
        "INGEST_JWKS_URL": "http://unused",
        "COLUMNS": "200",
    }


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "services.ingest", "import", *map(str, arguments)]


def run(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def counted(output: str, name: str) -> list[int]:
    (line,) = [line for line in output.splitlines() if name in line and "│" in line]
    return [int(cell) for cell in line.split("│")[2:-1]]


def stored(environment: dict[str, str], what: str = "count(*)") -> str:
    return query(environment["DATABASE_URL"], f"select {what} from ingest.events").strip()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_file_from_the_first_run_to_the_last(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = a_csv(tmp_path / "raw.csv", [*ROWS, BAD])

    dry = run(environment, path, "--tenant", "demo", "--dry-run")
    assert (dry.returncode, counted(dry.stdout, "raw.csv")) == (3, [4, 3, 0, 1])
    assert "would be inserted" in dry.stdout
    assert stored(environment) == "0"

    first = run(environment, path, "--tenant", "demo")
    assert (first.returncode, counted(first.stdout, "raw.csv")) == (3, [4, 3, 0, 1])
    assert f"rejected rows and why: {path}.rejected.csv" in first.stderr
    assert "raw: 4 of 4 rows" in first.stderr
    assert "bad_time" in (tmp_path / "raw.csv.rejected.csv").read_text()
    assert stored(environment) == "3"
    assert stored(environment, "distinct metadata->>'actor'") == "import"

    again = run(environment, path, "--tenant", "demo")
    assert (again.returncode, counted(again.stdout, "raw.csv")) == (3, [4, 0, 3, 1])


def test_several_files_are_added_up(environment: dict[str, str], tmp_path: Path) -> None:
    a, b = a_csv(tmp_path / "a.csv", ROWS), a_csv(tmp_path / "b.csv", ROWS[1:])

    done = run(environment, a, b, "--tenant", "demo")

    assert done.returncode == 0
    assert counted(done.stdout, "a.csv") == [3, 3, 0, 0]
    assert counted(done.stdout, "b.csv") == [2, 0, 2, 0]
    assert counted(done.stdout, "together") == [5, 3, 2, 0]


def test_a_file_that_cannot_be_read_is_one_sentence_and_a_failure(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")

    done = run(environment, tmp_path / "bad.csv", tmp_path, "--tenant", "demo")

    assert done.returncode == 1
    assert "bad.csv: worksheet bad: its first row does not name uuid, ts" in done.stderr
    assert f"{tmp_path}: it is a directory; name the files in it" in done.stderr
    assert "Traceback" not in done.stderr


def test_dates_are_read_in_the_zone_that_is_named(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = a_csv(tmp_path / "a.csv", ROWS[:1])

    run(environment, path, "--tenant", "demo", "--timezone", "Asia/Yekaterinburg")

    assert "2025-10-31T07:00:00" in stored(environment, "data->>'scanned_at'")


def test_rejected_rows_go_where_they_are_wanted(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "rejected").mkdir()

    run(
        *(environment, a_csv(tmp_path / "a.csv", [BAD]), "--tenant", "demo"),
        *("--rejects", tmp_path / "rejected"),
    )

    assert (tmp_path / "rejected" / "a.csv.rejected.csv").exists()
    assert not (tmp_path / "a.csv.rejected.csv").exists()


def test_a_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    path = a_csv(tmp_path / "a.csv", ROWS)

    done = run(environment_of(NOWHERE), path, "--tenant", "demo")

    assert (done.returncode, done.stderr) == (1, "nothing was imported: database unavailable\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.csv"], "--tenant"),
        (["--tenant", "demo"], "name files"),
        (["--tenant", "*", "a.csv"], "one tenant"),
        (["--tenant", " ", "a.csv"], "one tenant"),
        (["--tenant", "demo", "a.csv", "--timezone", "Moscow"], "time zone"),
        (["--tenant", "demo", "a.csv", "--rejects", "nowhere"], "folder"),
        (["--tenant", "demo", "--spreadsheet-id", "x"], "--credentials"),
        (["--tenant", "demo", "--spreadsheet-id", "../x", "--credentials", "k"], "no spreadsheet"),
        (["--tenant", "demo", "a.csv", "a.csv.rejected.csv"], "would be overwritten"),
        (["--tenant", "demo", "x/a.csv", "y/a.csv", "--rejects", "."], "one name"),
    ],
)
def test_what_was_not_asked_rightly_is_refused_before_anything(
    arguments: list[str], said: str
) -> None:
    done = CliRunner().invoke(app, ["import", *arguments], env=environment_of(NOWHERE))

    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_run_that_is_stopped_says_how_to_go_on_and_can_be_continued(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    path = a_csv(tmp_path / "long.csv", (a_row(n) for n in range(40_000)))
    process = subprocess.Popen(
        command(path, "--tenant", "demo"),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: stored(environment, "least(count(*), 1)").split()[-1] != "0")
    process.send_signal(number)
    output, said = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130, said
    assert "run the same again to go on" in said
    total, inserted, *rest = counted(output, "long.csv")
    assert 0 < total == inserted < 40_000
    assert rest == [0, 0]

    after = run(environment, path, "--tenant", "demo")
    assert after.returncode == 0
    assert counted(after.stdout, "long.csv") == [40_000, 40_000 - inserted, inserted, 0]
