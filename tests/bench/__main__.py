"""`python -m tests.bench`: every line beside a limit or a peer, measured in the same run.

`LINES='name …'` chooses lines, `QUICK=1` only shows that they work, `STRICT=1` fails on a missed
goal, `TILLSTREAM_DATA` is where `bench.json` goes (.data).
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psutil
from rich.console import Console
from rich.status import Status

from deploy.local.settings import LocalSettings
from libs.telemetry.logs import set_up
from tests.bench import (
    appends,
    clients,
    exports,
    freshness,
    kafka,
    logins,
    looking_back,
    platform,
    projections,
    scales,
    shop,
    stored,
    whole,
)
from tests.bench.bench import Bench, Line
from tests.bench.house import Servers
from tests.bench.measure import QUICK, Measured, Scale, Skipped, Tell, show, write_json

LOOK_SECONDS = 2.0
"""Seconds for measuring how busy the machine is before the start."""

LINES: Final = (
    Line(name="appends", what="one-event appends to the log", run=appends.run),
    Line(name="ingest", what="HTTP ingest of 20-event batches", run=clients.ingest),
    Line(name="visible", what="the same, answered when it is visible", run=clients.visible),
    Line(name="gateway", what="the same through the gateway", run=clients.gateway),
    Line(name="logins", what="logins through the gateway, and who waits for them", run=logins.run),
    Line(name="whole", what="the whole line at once", run=whole.run),
    Line(name="relay", what="from the log to Kafka", run=kafka.relay),
    Line(name="projections", what="from the log into all read models", run=projections.run),
    Line(name="freshness", what="from accepted to visible", run=freshness.run),
    Line(name="user", what="dashboards and freshness with much stored", run=freshness.at_once),
    Line(name="rebuild", what="the dashboard from the log", run=stored.rebuild),
    Line(name="exports", what="CSV and XLSX of a whole day", run=exports.run),
    Line(name="dashboard", what="dashboard/state, few and many events", run=clients.dashboard),
    Line(name="as-of", what="what was known at an earlier instant", run=looking_back.run),
    Line(name="scales", what="a scale's whole catalogue there and back", run=scales.run),
    Line(name="shop", what="orders that reserve stock, and who follows them", run=shop.run),
    Line(name="platform", what="memory and start of everything", run=platform.run),
)


class UnknownLine(Exception):
    """There is no such line."""


def chosen(names: str) -> list[Line]:
    """The lines named, by blanks or commas; all of them if none is. Raises UnknownLine."""
    selected = names.replace(",", " ").split()
    if unknown := set(selected) - {line.name for line in LINES}:
        raise UnknownLine(", ".join(sorted(unknown)))
    return [line for line in LINES if not selected or line.name in selected]


def main() -> int:
    """Measure and show. 0, or 1 if a line failed (with STRICT also if a goal was missed)."""
    console = Console()
    try:
        lines = chosen(os.environ.get("LINES", ""))
    except UnknownLine as unknown:
        known = "\n".join(f"  {line.name:10} {line.what}" for line in LINES)
        console.print(f"There is no line {unknown}. There are:\n{known}", markup=False)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        # So that servers are stopped and folders wiped on the way out.
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    set_up("bench", "ERROR")
    quick, strict = _asked_for("QUICK"), _asked_for("STRICT")
    caption, began = _how_busy(), time.monotonic()
    with progress(console) as tell, Servers(tell) as servers:
        bench = Bench(scale=QUICK if quick else Scale(), servers=servers, tell=tell)
        rows, failed = measure_all(bench, lines, console)
    caption += f"; took {(time.monotonic() - began) / 60:.1f} min"
    if quick:
        caption += "; a smoke run: the figures mean nothing"
    show(rows, console, caption=caption)
    file = LocalSettings.from_env().home / "bench.json"
    write_json(rows, file)
    console.print(f"The same with all samples: {file}", markup=False)
    missed = [row for row in rows if row.met is False]
    return int(failed or (strict and bool(missed)))


def measure_all(
    bench: Bench, lines: Sequence[Line], console: Console
) -> tuple[list[Measured], bool]:
    """The rows of all lines, and whether one failed: then a row says why and the others go on."""
    rows: list[Measured] = []
    failed = False
    for n, line in enumerate(lines, 1):
        console.print(f"{n}/{len(lines)} {line.name}: {line.what}", markup=False)
        bench.tell(line.name)
        began = time.monotonic()
        try:
            rows.extend(line.run(bench))
        except Skipped as reason:
            rows.append(Measured(line.name, (), unit="", note=f"skipped: {reason}"))
        except Exception as error:  # noqa: BLE001 -- whatever it was, the other lines go on
            failed = True
            message = f"failed: {type(error).__name__}: {error}"
            console.print(message, markup=False)
            rows.append(Measured(line.name, (), unit="", note=message.splitlines()[0]))
        console.print(f"  took {time.monotonic() - began:.0f} s", markup=False, highlight=False)
    return rows, failed


@contextmanager
def progress(console: Console) -> Iterator[Tell]:
    """A moving line on a terminal, nothing elsewhere."""
    with Status("", console=console) as status:
        yield status.update


def _how_busy() -> str:
    others = psutil.cpu_percent(LOOK_SECONDS)
    load = os.getloadavg()[0]
    return (
        f"{psutil.cpu_count()} cores; before the run others kept them {others:.0f} % busy "
        f"(load {load:.1f})"
    )


def _asked_for(variable: str) -> bool:
    return os.environ.get(variable, "") not in {"", "0", "false", "no"}


if __name__ == "__main__":
    sys.exit(main())
