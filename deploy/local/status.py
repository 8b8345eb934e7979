"""`make status`: what runs, where, and how much memory it takes."""

from rich.console import Console
from rich.table import Table

from deploy.local.memory import memory_by_program
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
    records = {**runtime["processes"], SUPERVISOR: runtime[SUPERVISOR]}
    running = {name: process for name, one in records.items() if (process := process_of(one))}
    memory = memory_by_program(running)
    for name, record in records.items():
        state = record.get("state", "ready") if name in running else "not running"
        grid.add_row(*_row(name, state, memory.get(name, 0), record))
    grid.add_row("total", "", "", "", f"{sum(memory.values()) / MEBIBYTE:.0f}")
    console.width = max(console.width, NARROWEST)
    console.print(grid, soft_wrap=False)


def _row(name: str, state: str, memory: int, record: Runtime) -> list[str]:
    facts = (record.get(key) for key in ("pid", "port"))
    return [
        name,
        state,
        *("" if fact is None else str(fact) for fact in facts),
        f"{memory / MEBIBYTE:.0f}",
        str(record.get("restarts", "")),
        str(record.get("log_file", "")),
    ]
