"""`simulator` on a command line: a label scale on a port of this machine, with any faults (§6)."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from libs.process.lifecycle import main, run_until_signal
from services.scale_bridge.driver.adapters.wire import CHUNK_BYTES
from services.scale_bridge.driver.simulator.faults import KINDS, BadFault, Fault, parse_fault
from services.scale_bridge.driver.simulator.goods import catalogue
from services.scale_bridge.driver.simulator.products import open_base
from services.scale_bridge.driver.simulator.scale import DEFAULT_PASSWORD, Options
from services.scale_bridge.driver.simulator.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.transcript import Frame

CANNOT = 1
MIXED_UP = 3
"""Exit status: commands of two connections were interleaved, or something was no packet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What was asked for on the command line."""

    host: str
    port: int
    file: Path | None
    items: int
    faults: list[Fault]
    options: Options
    transcript: Path | None


def add_simulator(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def simulator(
        port: Annotated[int, typer.Option(help="0 means any free one.", min=0, max=65535)] = 1111,
        host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
        products: Annotated[
            Path | None, typer.Option(help="Where the product base is kept; made if missing.")
        ] = None,
        items: Annotated[
            int, typer.Option(help="How many products a new base has.", min=0, max=100_000)
        ] = 100,
        fault: Annotated[
            list[str] | None,
            typer.Option(help="name:argument*times; may be repeated. See --list-faults."),
        ] = None,
        slow: Annotated[float, typer.Option(help="Seconds before each answer.", min=0)] = 0.0,
        password: Annotated[str, typer.Option(help="Four characters.")] = DEFAULT_PASSWORD,
        creating: Annotated[
            int, typer.Option(help="How often it is still writing the export.", min=0)
        ] = 0,
        checking: Annotated[int, typer.Option(help="How often it is still importing.", min=0)] = 0,
        chunk_bytes: Annotated[
            int, typer.Option(help="How much it exports at once.", min=1, max=CHUNK_BYTES)
        ] = CHUNK_BYTES,
        state: Annotated[
            Literal["scale", "connection"],
            typer.Option(help="Whose exports and uploads are: do they survive a reconnect?"),
        ] = "scale",
        connections: Annotated[
            int, typer.Option(help="How many are served at once; 0 means any number.", min=0)
        ] = 0,
        merge_by: Annotated[
            str, typer.Option(help="The keys by which an uploaded product is the same.")
        ] = "id,code",
        derives: Annotated[
            bool, typer.Option("--derives", help="Computes shelfLifeInDays from shelfLife.")
        ] = False,
        serial: Annotated[str, typer.Option(help="Its serial number.")] = "SIM-0001",
        transcript: Annotated[
            Path | None, typer.Option(help="Writes every frame there, passwords masked.")
        ] = None,
        list_faults: Annotated[
            bool, typer.Option("--list-faults", help="Show what may be wrong with it, and end.")
        ] = False,
    ) -> None:
        """Be a label scale, until stopped. Exits with 3 if two operations ever met on its wire."""
        if list_faults:
            Console().print(_faults_table())
            return
        order = Order(
            host=host,
            port=port,
            file=products,
            items=items,
            faults=_faults([*(fault or []), *([f"slow:{slow}"] if slow else [])]),
            options=Options(
                password=_password(password),
                creating=creating,
                checking=checking,
                chunk_bytes=chunk_bytes,
                state=state,
                connections=connections or None,
                derives=derives,
                merge_by=tuple(key.strip() for key in merge_by.split(",")),
                serial=serial,
            ),
            transcript=transcript,
        )
        raise typer.Exit(_carry_out(order, Console()))


def _carry_out(order: Order, console: Console) -> int:
    try:
        with ExitStack() as files:
            write = None
            if order.transcript is not None:
                write = _writer(files, order.transcript)
            return main(_run(order, write, console))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        console.print(f"The scale cannot be switched on: {reason}", markup=False)
        return CANNOT


def _writer(files: ExitStack, path: Path) -> Callable[[Frame], None]:
    file = files.enter_context(path.open("a", encoding="utf-8", buffering=1))

    def write(frame: Frame) -> None:
        file.write(f"{frame.line()}\n")

    return write


async def _run(order: Order, write: Callable[[Frame], None] | None, console: Console) -> int:
    base = open_base(order.file, lambda: catalogue(order.items), merge_by=order.options.merge_by)
    async with open_simulator(
        base,
        options=order.options,
        faults=order.faults,
        host=order.host,
        port=order.port,
        listen=write,
    ) as simulator:
        console.print(
            f"scale {order.options.serial} on {simulator.host}:{simulator.port}, "
            f"{len(base.products)} products, faults: "
            f"{' '.join(fault.name for fault in order.faults) or 'none'}",
            markup=False,
            highlight=False,
        )
        await run_until_signal(_until_stopped)
        return _ended(simulator, console)


async def _until_stopped(stop: asyncio.Event) -> None:
    await stop.wait()


def _ended(simulator: Simulator, console: Console) -> int:
    transcript = simulator.transcript
    orders = sorted(set(simulator.scale.size_orders))
    table = Table("connections", "frames", "products", "size byte orders", "met", "malformed")
    table.add_row(
        str(transcript.connections),
        str(transcript.count),
        str(len(simulator.base.products)),
        " ".join(orders),
        str(transcript.overlap_count),
        str(transcript.malformed),
    )
    console.print(table)
    for overlap in transcript.overlaps:
        console.print(
            f"{overlap.at:.3f} s: {overlap.step} of connection {overlap.intruder} into the "
            f"operation of connection {overlap.running}",
            style="red",
            highlight=False,
        )
    return MIXED_UP if transcript.overlap_count or transcript.malformed else 0


def _faults(given: list[str]) -> list[Fault]:
    try:
        return [parse_fault(one) for one in given]
    except BadFault as bad:
        raise typer.BadParameter(str(bad), param_hint="--fault") from bad


def _password(given: str) -> str:
    if not given.isascii() or len(given) != 4:
        raise typer.BadParameter("must be four ASCII characters", param_hint="--password")
    return given


def _faults_table() -> Table:
    table = Table("fault", "what the scale does", title="Append *N for N times only")
    for name, kind in KINDS.items():
        table.add_row(kind.form(name), kind.says)
    return table
