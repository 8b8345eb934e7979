"""What a person sees while the installation runs: a live table, or plain lines."""

import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local.metrics import Figures
from deploy.local.observer import Observer
from deploy.local.stack import Stack
from deploy.local.supervisor import Slot, State

SUMMARY_SECONDS = 10.0
STAGES = ("requests", "appended", "relayed", "projected")
QUEUES = ("backlog", "lag")
COLOURS = {State.READY: "green", State.STARTING: "yellow", State.STOPPED: "dim"}
MEBIBYTE = 1 << 20


def plain_console() -> Console:
    """Standard output without markup: colours and cursor movement on a terminal alone."""
    return Console(highlight=False, markup=False, soft_wrap=True, emoji=False)


def watch(stack: Stack, console: Console, *, until: Callable[[], bool] = lambda: False) -> None:
    """Show the stack and run it until a stop is requested or `until` returns True."""
    if not console.is_terminal:
        stack.watch(until=_with_summaries(stack, console, until))
        return
    stack.observer.attended = True
    with Live(
        console=console,
        get_renderable=lambda: table(stack.supervisor.slots, stack.observer),
        refresh_per_second=1,
        transient=True,
    ):
        stack.watch(until=until)


def table(slots: Iterable[Slot], observer: Observer) -> Table:
    """One row per program; events per second by stage, and events still to do."""
    grid = Table(title="Tillstream", title_justify="left", box=None, pad_edge=False)
    for title in ("program", "state", "restarts", "MiB"):
        grid.add_column(title, justify="left" if title in {"program", "state"} else "right")
    for title in STAGES:
        grid.add_column(f"{title}/s", justify="right")
    for title in QUEUES:
        grid.add_column(title, justify="right")
    for slot in slots:
        grid.add_row(*_row(slot, observer))
    total = sum(observer.memory.values()) / MEBIBYTE
    grid.add_row("total", "", "", f"{total:.0f}", style="bold")
    grid.caption = "Ctrl-C stops everything"
    return grid


def _row(slot: Slot, observer: Observer) -> list[str | Text]:
    name = slot.program.name
    figures = observer.figures.get(name, Figures())
    return [
        name,
        _state(slot),
        str(slot.restarts),
        f"{observer.memory.get(name, 0) / MEBIBYTE:.0f}",
        *(_figure(figures.per_second.get(stage)) for stage in STAGES),
        *(_figure(figures.queued.get(queue)) for queue in QUEUES),
    ]


def _state(slot: Slot) -> Text:
    if slot.late_since is not None:
        return Text(f"{slot.state.value}, slow", style="yellow")
    return Text(slot.state.value, style=COLOURS.get(slot.state, "red"))


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def summary(slots: Iterable[Slot], observer: Observer) -> str:
    """The table in one line."""
    slots = list(slots)
    late = sum(slot.late_since is not None for slot in slots)
    ready = sum(slot.state is State.READY for slot in slots)
    parts = [f"{ready} of {len(slots)} ready" + (f" ({late} slow to answer)" if late else "")]
    parts.append(f"{sum(observer.memory.values()) / MEBIBYTE:.0f} MiB")
    for stage in STAGES:
        known = [f.per_second[stage] for f in observer.figures.values() if stage in f.per_second]
        parts += [f"{stage} {sum(known):,.0f}/s"] if known else []
    for queue in QUEUES:
        known = [f.queued[queue] for f in observer.figures.values() if queue in f.queued]
        parts += [f"{queue} {sum(known):,.0f}"] if known else []
    return ", ".join(parts)


def _with_summaries(
    stack: Stack, console: Console, until: Callable[[], bool]
) -> Callable[[], bool]:
    printed_at = time.monotonic()

    def should_stop() -> bool:
        nonlocal printed_at
        if time.monotonic() - printed_at >= SUMMARY_SECONDS:
            printed_at = time.monotonic()
            console.print(summary(stack.supervisor.slots, stack.observer))
        return until()

    return should_stop
