"""`fleet` on a command line: several simulated scales in one process, well and not so well."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from libs.process.lifecycle import main, run_until_signal
from services.scale_bridge.driver.simulator.fleet import (
    ITEMS,
    BadFleet,
    Member,
    mixed,
    open_fleet,
    read_fleet,
)
from services.scale_bridge.driver.simulator.server import Simulator

CANNOT = 1
MIXED_UP = 3
"""Exit status: operations met on a scale's wire, or something was no packet."""


def add_fleet(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def fleet(
        file: Annotated[
            Path | None,
            typer.Argument(
                exists=True,
                dir_okay=False,
                help="TOML: tables [[scales]] with name, port, items, password, faults.",
            ),
        ] = None,
        well: Annotated[int, typer.Option(help="Scales without a fault.", min=0, max=200)] = 7,
        dead: Annotated[int, typer.Option(help="Nobody listens.", min=0, max=200)] = 1,
        slow: Annotated[int, typer.Option(help="Slow to answer.", min=0, max=200)] = 1,
        liars: Annotated[
            int, typer.Option(help="Confirm uploads and import nothing.", min=0, max=200)
        ] = 1,
        items: Annotated[
            int, typer.Option(help="How many products a new base has.", min=0, max=100_000)
        ] = ITEMS,
        port: Annotated[
            int, typer.Option(help="The first one's; 0 means any free ones.", min=0, max=64_000)
        ] = 0,
        host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
        bases: Annotated[
            Path | None, typer.Option(help="A folder in which the product bases are kept.")
        ] = None,
    ) -> None:
        """Be several label scales, until stopped: those of FILE, or so many of each kind."""
        console = Console()
        try:
            members = (
                read_fleet(file.read_text(encoding="utf-8"))
                if file is not None
                else mixed(
                    well=well, dead=dead, slow=slow, liars=liars, items=items, first_port=port
                )
            )
            if bases is not None:
                bases.mkdir(parents=True, exist_ok=True)
            raise typer.Exit(main(_run(members, bases, host, console)))
        except BadFleet as bad:
            raise typer.BadParameter(str(bad), param_hint="FILE") from bad
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            console.print(f"The scales cannot be switched on: {reason}", markup=False)
            raise typer.Exit(CANNOT) from error


async def _run(members: Sequence[Member], bases: Path | None, host: str, console: Console) -> int:
    async with open_fleet(members, bases=bases, host=host) as running:
        console.print(_table(members, running))
        await run_until_signal(_until_stopped)
        console.print(_ended(members, running))
        mixed_up = any(one.transcript.overlap_count or one.transcript.malformed for one in running)
        return MIXED_UP if mixed_up else 0


async def _until_stopped(stop: asyncio.Event) -> None:
    await stop.wait()


def _table(members: Sequence[Member], running: Sequence[Simulator]) -> Table:
    table = Table("scale", "address", "products", "faults")
    for member, one in zip(members, running, strict=True):
        address = f"{one.host}:{one.port}"
        table.add_row(
            member.name, address, str(len(one.base.products)), " ".join(member.faults) or "none"
        )
    return table


def _ended(members: Sequence[Member], running: Sequence[Simulator]) -> Table:
    table = Table("scale", "connections", "frames", "met", "malformed")
    for member, one in zip(members, running, strict=True):
        said = one.transcript
        figures = (said.connections, said.count, said.overlap_count, said.malformed)
        table.add_row(member.name, *map(str, figures))
    return table


if __name__ == "__main__":
    # The same without the service around it, in less than half the memory.
    alone = typer.Typer(add_completion=False)
    add_fleet(alone)
    alone()
