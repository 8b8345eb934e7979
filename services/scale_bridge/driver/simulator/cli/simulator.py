"""`simulator` on a command line: a label scale on a port of this machine, with any faults (§6)."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.console import Console
from rich.table import Table

from libs.process.lifecycle import main, run_until_signal
from services.scale_bridge.driver.domain.wire import CHUNK_BYTES
from services.scale_bridge.driver.simulator.adapters.products import open_base
from services.scale_bridge.driver.simulator.adapters.scale import DEFAULT_PASSWORD, Options
from services.scale_bridge.driver.simulator.adapters.server import Simulator, open_simulator
from services.scale_bridge.driver.simulator.adapters.transcript import Frame
from services.scale_bridge.driver.simulator.domain.faults import (
    KINDS,
    BadFault,
    Fault,
    parse_fault,
)
from services.scale_bridge.driver.simulator.domain.goods import catalogue

CANNOT = 1
MIXED_UP = 3
"""Exit status: commands of two connections were interleaved, or something was no packet."""

Port: TypeAlias = Annotated[int, typer.Option(help="0 means any free one.", min=0, max=65535)]
Host: TypeAlias = Annotated[str, typer.Option(help="The address to listen on.")]
Products: TypeAlias = Annotated[
    Path | None, typer.Option(help="Where the product base is kept; made if missing.")
]
Items: TypeAlias = Annotated[
    int, typer.Option(help="How many products a new base has.", min=0, max=100_000)
]
FaultTexts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="name:argument*times; may be repeated. See --list-faults."),
]
Slow: TypeAlias = Annotated[float, typer.Option(help="Seconds before each answer.", min=0)]
Password: TypeAlias = Annotated[str, typer.Option(help="Four characters.")]
Creating: TypeAlias = Annotated[
    int, typer.Option(help="How often it is still writing the export.", min=0)
]
Checking: TypeAlias = Annotated[int, typer.Option(help="How often it is still importing.", min=0)]
ChunkBytes: TypeAlias = Annotated[
    int, typer.Option(help="How much it exports at once.", min=1, max=CHUNK_BYTES)
]
State: TypeAlias = Annotated[
    Literal["scale", "connection"],
    typer.Option(help="Whose exports and uploads are: do they survive a reconnect?"),
]
Connections: TypeAlias = Annotated[
    int, typer.Option(help="How many are served at once; 0 means any number.", min=0)
]
MergeBy: TypeAlias = Annotated[
    str, typer.Option(help="The keys by which an uploaded product is the same.")
]
Derives: TypeAlias = Annotated[
    bool, typer.Option("--derives", help="Computes shelfLifeInDays from shelfLife.")
]
Serial: TypeAlias = Annotated[str, typer.Option(help="Its serial number.")]
TranscriptFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="Writes every frame there, passwords masked.")
]
ListFaults: TypeAlias = Annotated[
    bool, typer.Option("--list-faults", help="Show what may be wrong with it, and end.")
]


def add_simulator(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulator)


def simulator(
    port: Port = 1111,
    host: Host = "127.0.0.1",
    products: Products = None,
    items: Items = 100,
    fault: FaultTexts = None,
    slow: Slow = 0.0,
    password: Password = DEFAULT_PASSWORD,
    creating: Creating = 0,
    checking: Checking = 0,
    chunk_bytes: ChunkBytes = CHUNK_BYTES,
    state: State = "scale",
    connections: Connections = 0,
    merge_by: MergeBy = "id,code",
    derives: Derives = False,
    serial: Serial = "SIM-0001",
    transcript: TranscriptFile = None,
    list_faults: ListFaults = False,
) -> None:
    """Be a label scale, until stopped. Exits with 3 if two operations ever met on its wire."""
    if list_faults:
        Console().print(_faults_table())
        return
    options = Options(
        password=_password(password),
        creating=creating,
        checking=checking,
        chunk_bytes=chunk_bytes,
        state=state,
        connections=connections or None,
        derives=derives,
        merge_by=tuple(key.strip() for key in merge_by.split(",")),
        serial=serial,
    )
    faults = _faults([*(fault or []), *([f"slow:{slow}"] if slow else [])])
    raise typer.Exit(_Run(host, port, products, items, faults, options).until_stopped(transcript))


async def until_stopped(stop: asyncio.Event) -> None:
    """Wait for the signal that stops the simulation."""
    await stop.wait()


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a simulated scale; a new product base has `items` products."""

    host: str
    port: int
    file: Path | None
    items: int
    faults: Sequence[Fault]
    options: Options

    def until_stopped(self, transcript: Path | None) -> int:
        """The exit status. Every frame is appended to the file `transcript`."""
        console = Console()
        try:
            with ExitStack() as files:
                on_frame = None if transcript is None else _writer(files, transcript)
                return main(self._serve(on_frame, console))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            console.print(f"The scale cannot be switched on: {reason}", markup=False)
            return CANNOT

    async def _serve(self, on_frame: Callable[[Frame], None] | None, console: Console) -> int:
        merge_by = self.options.merge_by
        base = open_base(self.file, lambda: catalogue(self.items), merge_by=merge_by)
        async with open_simulator(
            base,
            options=self.options,
            faults=self.faults,
            host=self.host,
            port=self.port,
            on_frame=on_frame,
        ) as scale:
            console.print(
                f"scale {self.options.serial} on {scale.host}:{scale.port}, "
                f"{len(base.products)} products, faults: "
                f"{' '.join(fault.name for fault in self.faults) or 'none'}",
                markup=False,
                highlight=False,
            )
            await run_until_signal(until_stopped)
            return _summary(scale, console)


def _writer(files: ExitStack, path: Path) -> Callable[[Frame], None]:
    file = files.enter_context(path.open("a", encoding="utf-8", buffering=1))

    def write(frame: Frame) -> None:
        file.write(f"{frame.line()}\n")

    return write


def _summary(scale: Simulator, console: Console) -> int:
    """Print the counts and the overlaps; the exit status."""
    transcript = scale.transcript
    table = Table("connections", "frames", "products", "size byte orders", "met", "malformed")
    table.add_row(
        str(transcript.connections),
        str(transcript.count),
        str(len(scale.base.products)),
        " ".join(sorted(set(scale.scale.size_orders))),
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


def _faults(texts: list[str]) -> list[Fault]:
    try:
        return [parse_fault(text) for text in texts]
    except BadFault as bad:
        raise typer.BadParameter(str(bad), param_hint="--fault") from bad


def _password(password: str) -> str:
    if not password.isascii() or len(password) != 4:
        raise typer.BadParameter("must be four ASCII characters", param_hint="--password")
    return password


def _faults_table() -> Table:
    table = Table("fault", "what the scale does", title="Append *N for N times only")
    for name, kind in KINDS.items():
        table.add_row(kind.form(name), kind.effect)
    return table
