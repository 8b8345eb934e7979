"""What an import shows: a bar on a terminal, lines elsewhere, sums at the end."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from services.ingest.api.import_screen import progress, show
from services.ingest.handlers.importing import Account, Report


def console(*, terminal: bool) -> tuple[Console, StringIO]:
    written = StringIO()
    return Console(file=written, force_terminal=terminal, width=100, color_system=None), written


def test_on_a_terminal_every_worksheet_has_a_bar_with_its_speed() -> None:
    made, written = console(terminal=True)

    with progress(made) as tell:
        for name in ("[october]", "november"):
            for done in (0, 1000, 2000):
                tell(name, done, 2000)

    last = written.getvalue().rpartition("[october]")[2]
    assert "november" in last
    assert last.count("2000/2000") == 2
    assert "rows/s" in last


def test_elsewhere_there_are_lines_but_not_too_many() -> None:
    made, written = console(terminal=False)

    with progress(made) as tell:
        for done in range(0, 120_001, 1000):
            tell("[october]", done, 120_000)
        tell("unknown", 0, None)

    assert written.getvalue().splitlines() == [
        "[october]: 0 of 120000 rows",
        "[october]: 50000 of 120000 rows",
        "[october]: 100000 of 120000 rows",
        "[october]: 120000 of 120000 rows",
        "unknown: 0 rows",
    ]


def test_the_account_of_several_files_ends_in_a_sum() -> None:
    made, written = console(terminal=False)
    one = Account(name="[a].csv", rejects=Path("x"), inserted=1, skipped=2, rejected=4)
    other = Account(name="b.csv", rejects=Path("y"), inserted=10)

    show(made, Report([one, other]), dry=False)

    rows = [line.replace("│", " ").split() for line in written.getvalue().splitlines()]
    assert ["[a].csv", "7", "1", "2", "4"] in rows
    assert ["b.csv", "10", "10", "0", "0"] in rows
    assert ["together", "17", "11", "2", "4"] in rows
