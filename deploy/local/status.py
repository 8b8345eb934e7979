"""`make status`: what runs, where, and how much memory it takes."""

from rich.console import Console
from rich.table import Table

from deploy.local.memory import resident_bytes
from deploy.local.runtime import Runtime, process_of

MEBIBYTE = 1 << 20
NARROWEST = 140
COLUMNS = ("program", "state", "pid", "port", "MiB", "restarts", "log")
SUPERVISOR = "supervisor"


def show_status(runtime: Runtime | None, console: Console) -> None:
    """Print the table, or one sentence when nothing runs."""
    if runtime is None:
        console.print("Nothing is running. `make up` starts it.")
        return
    grid = Table(box=None, pad_edge=False)
    for title in COLUMNS:
        grid.add_column(title, justify="right" if title in {"pid", "port", "MiB"} else "left")
    total = 0
    for name, record in {**runtime["processes"], SUPERVISOR: runtime[SUPERVISOR]}.items():
        process = process_of(record)
        # The supervisor's descendants have rows of their own.
        resident = resident_bytes(process, alone=name == SUPERVISOR) if process else 0
        total += resident
        state = record.get("state", "ready") if process else "not running"
        grid.add_row(*_row(name, state, resident, record))
    grid.add_row("total", "", "", "", f"{total / MEBIBYTE:.0f}")
    console.width = max(console.width, NARROWEST)
    console.print(grid, soft_wrap=False)


def _row(name: str, state: str, resident: int, record: Runtime) -> list[str]:
    facts = (record.get(key) for key in ("pid", "port"))
    return [
        name,
        state,
        *("" if fact is None else str(fact) for fact in facts),
        f"{resident / MEBIBYTE:.0f}",
        str(record.get("restarts", "")),
        str(record.get("log_file", "")),
    ]
