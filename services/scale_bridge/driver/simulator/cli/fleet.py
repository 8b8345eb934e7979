"""`fleet` on a command line: simulated scales in one process, with and without faults (§6)."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from libs.process.lifecycle import main, run_until_signal
from services.scale_bridge.driver.simulator.adapters.fleet import (
    ITEMS,
    BadFleet,
    Member,
    mixed,
    open_fleet,
    read_fleet,
)
from services.scale_bridge.driver.simulator.adapters.server import Simulator
from services.scale_bridge.driver.simulator.adapters.transcript import Frame
from services.scale_bridge.driver.simulator.domain.faults import KINDS

CANNOT = 1
MIXED_UP = 3
"""Exit status: commands of two connections were interleaved, or something was no packet."""

File: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        exists=True,
        dir_okay=False,
        help="TOML: tables [[scales]] with name, port, items, faults, and the options of a scale.",
    ),
]
Well: TypeAlias = Annotated[int, typer.Option(help="Scales without a fault.", min=0, max=200)]
Dead: TypeAlias = Annotated[int, typer.Option(help="Scales that do not answer.", min=0, max=200)]
Slow: TypeAlias = Annotated[int, typer.Option(help="Slow to answer.", min=0, max=200)]
Liars: TypeAlias = Annotated[
    int, typer.Option(help="Confirm uploads and import nothing.", min=0, max=200)
]
Items: TypeAlias = Annotated[
    int, typer.Option(help="How many products a new base has.", min=0, max=100_000)
]
Port: TypeAlias = Annotated[
    int, typer.Option(help="The first one's; 0 means any free ones.", min=0, max=64_000)
]
Host: TypeAlias = Annotated[str, typer.Option(help="The address to listen on.")]
Bases: TypeAlias = Annotated[
    Path | None, typer.Option(help="A folder in which the product bases are kept.")
]
Transcripts: TypeAlias = Annotated[
    Path | None, typer.Option(help="A folder for every frame, passwords masked.")
]
ListFaults: TypeAlias = Annotated[
    bool, typer.Option("--list-faults", help="Show what may be wrong with a scale, and end.")
]


def add_fleet(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(fleet)


def fleet(
    file: File = None,
    well: Well = 7,
    dead: Dead = 1,
    slow: Slow = 1,
    liars: Liars = 1,
    items: Items = ITEMS,
    port: Port = 0,
    host: Host = "127.0.0.1",
    bases: Bases = None,
    transcripts: Transcripts = None,
    list_faults: ListFaults = False,
) -> None:
    """Be several label scales, until stopped: those of FILE, or so many of each kind.

    Exits with 3 if two operations ever met on a wire.
    """
    console = Console()
    if list_faults:
        console.print(_faults_table())
        return
    try:
        members = mixed(well=well, dead=dead, slow=slow, liars=liars, items=items, first_port=port)
        if file is not None:
            members = read_fleet(file.read_text(encoding="utf-8"))
        for folder in (bases, transcripts):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        raise typer.Exit(main(_run(members, bases, transcripts, host, console)))
    except BadFleet as bad:
        raise typer.BadParameter(str(bad), param_hint="FILE") from bad
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        console.print(f"The scales cannot be switched on: {reason}", markup=False)
        raise typer.Exit(CANNOT) from error


async def until_stopped(stop: asyncio.Event) -> None:
    """Wait for the signal that stops the simulation."""
    await stop.wait()


async def _run(
    members: Sequence[Member],
    bases: Path | None,
    frames: Path | None,
    host: str,
    console: Console,
) -> int:
    on_frame = partial(_write, frames) if frames is not None else None
    async with open_fleet(members, bases=bases, host=host, on_frame=on_frame) as simulators:
        console.print(_addresses(members, simulators))
        await run_until_signal(until_stopped)
        console.print(_counts(members, simulators))
        transcripts = [simulator.transcript for simulator in simulators]
        for overlap in (overlap for one in transcripts for overlap in one.overlaps):
            console.print(
                f"{overlap.at:.3f} s: {overlap.step} of connection {overlap.intruder} into the "
                f"operation of connection {overlap.running}",
                style="red",
                highlight=False,
            )
        mixed_up = any(one.overlap_count or one.malformed for one in transcripts)
        return MIXED_UP if mixed_up else 0


def _write(folder: Path, member: Member, frame: Frame) -> None:
    with (folder / f"{member.name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{frame.line()}\n")


def _addresses(members: Sequence[Member], simulators: Sequence[Simulator]) -> Table:
    table = Table("scale", "address", "products", "faults")
    for member, one in zip(members, simulators, strict=True):
        address = f"{one.host}:{one.port}"
        table.add_row(
            member.name, address, str(len(one.base.products)), " ".join(member.faults) or "none"
        )
    return table


def _counts(members: Sequence[Member], simulators: Sequence[Simulator]) -> Table:
    table = Table("scale", "connections", "frames", "size byte orders", "met", "malformed")
    for member, one in zip(members, simulators, strict=True):
        transcript = one.transcript
        table.add_row(
            member.name,
            str(transcript.connections),
            str(transcript.count),
            " ".join(sorted(set(one.scale.size_orders))),
            str(transcript.overlap_count),
            str(transcript.malformed),
        )
    return table


def _faults_table() -> Table:
    table = Table("fault", "what the scale does", title="Append *N for N times only")
    for name, kind in KINDS.items():
        table.add_row(kind.form(name), kind.effect)
    return table


if __name__ == "__main__":
    # The same without the service around it, in less than half the memory.
    alone = typer.Typer(add_completion=False)
    add_fleet(alone)
    alone()
