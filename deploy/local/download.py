"""Show that something large is arriving: a bar on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

Tell: TypeAlias = Callable[[str], None]
"""Says one line to the person who waits."""

Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Called per file with its name and size in bytes; yields what counts the bytes as they arrive."""

LINE_EVERY = 10


def quietly(_: str) -> None:
    """A `Tell` that prints nothing."""


@contextmanager
def watch_downloads(tell: Tell, *, files: int) -> Iterator[Progress]:
    """Yield what jgo calls for each file. Says nothing at all when everything is there already."""
    # Only here: a supervisor that has downloaded nothing need not have it in memory.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console()
    columns = (
        TextColumn("  Kafka {task.fields[file]}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
    seen, begun = 0, False

    @contextmanager
    def progress(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        nonlocal seen, begun
        if not begun:
            begun = True
            bar.start()
            tell("Downloading Kafka by its Maven coordinates (about 50 MB, only this once).")
        # Each jar comes with a small description, which is not worth counting.
        seen += name.endswith(".jar")
        if not console.is_terminal and name.endswith(".jar") and seen % LINE_EVERY == 0:
            tell(f"  {seen} of {files} files of Kafka have arrived.")
        task = bar.add_task("", file=name, total=size_bytes)
        yield lambda count: bar.advance(task, count)
        bar.remove_task(task)

    try:
        yield progress
    finally:
        bar.stop()
