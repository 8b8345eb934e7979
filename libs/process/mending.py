"""The commands that rebuild read models and look after what was parked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from libs.errors import Unavailable
from libs.messaging.categories import spelled
from libs.messaging.reaction import FEED, own_feeds
from libs.postgres.pool import Pool, translated
from libs.postgres.rls import application_role
from libs.process.database_command import open_service_pool
from libs.projections import parking
from libs.projections.compare import Progress, TableDiff
from libs.projections.projection import Projection
from libs.projections.rebuild import Rebuild, RebuildFailed
from libs.projections.shards import StreamKey
from libs.projections.versions import NoSuchVersion, ShapesDiffer, VersionSchemas
from libs.settings import ServiceSettings
from libs.telemetry import traces

if TYPE_CHECKING:
    from libs.process.commands import Service

Name = Annotated[str, typer.Argument(help="The name, as `park list` shows it.")]
Names = Annotated[list[str], typer.Argument(help="The read models' names.")]
Tenant = Annotated[str, typer.Argument(help="The tenant, as `park list` shows it.")]
Stream = Annotated[str, typer.Argument(help="The stream, as `park list` shows it.")]

LINE_SECONDS: Final = 5.0


def rebuild_commands(service: "Service[Any]") -> typer.Typer:
    """`rebuild build | switch | back`."""
    app = typer.Typer(no_args_is_help=True, help="Build read models anew beside the live ones.")

    @app.command()
    def build(
        names: Names,
        accept_differences: Annotated[
            bool, typer.Option(help="Switch even if the rows differ from the live ones.")
        ] = False,
        switch: Annotated[bool, typer.Option(help="Switch when they are built.")] = True,
        anew: Annotated[
            bool, typer.Option("--anew", help="Do not go on with a build that was broken off.")
        ] = False,
    ) -> None:
        """Build them from the log in one pass, show how they differ, and switch if they do not.

        A build that was broken off goes on when the same command is given again.
        """
        chosen = _Build(names, accept_differences=accept_differences, switch=switch, anew=anew)
        _answer(_build(service, chosen))

    @app.command()
    def switch(names: Names) -> None:
        """Make what was built live, whatever differs; the live ones are kept as previous."""
        _answer(_with_rebuild(service, names, lambda rebuild: rebuild.switch()))

    @app.command()
    def back(names: Names) -> None:
        """Make the previous ones live again; they catch up by themselves."""
        _answer(_with_rebuild(service, names, lambda rebuild: rebuild.roll_back()))

    return app


def rebuild_changed(service: "Service[Any]", names: Sequence[str]) -> int:
    """Build the read models anew and switch to them, because they must differ; an exit status.

    An error is printed as one sentence. Safe to repeat.
    """
    return status_of(_build(service, _Build(names, accept_differences=True, anew=True)))


async def replace_all(service: "Service[Any]", names: Sequence[str]) -> int:
    """Build the read models from the log and switch to them, whatever differs; an exit status.

    A build that was broken off goes on. Rows that differ are counted, not shown. Raises what
    `Rebuild` does.
    """
    return await _build(service, _Build(names, accept_differences=True, samples=False))


def park_commands(service: "Service[Any]") -> typer.Typer:
    """`park list | retry | drop`."""
    app = typer.Typer(no_args_is_help=True, help="Streams set aside because they failed.")

    @app.command("list")
    def list_parked() -> None:
        """Show every parked stream, why, and how many events wait in it."""
        _answer(_list_parked(service))

    @app.command()
    def retry(name: Name, tenant: Tenant, stream: Stream) -> None:
        """Apply a stream's events in order and let it go on, or leave it parked if it fails."""
        _answer(_unpark(service, name, (tenant, stream), parking.retry, "applied"))

    @app.command()
    def drop(name: Name, tenant: Tenant, stream: Stream) -> None:
        """Give a stream's parked events up; the log keeps them."""
        _answer(_unpark(service, name, (tenant, stream), parking.drop, "given up"))

    return app


def _answer(program: Coroutine[Any, Any, int]) -> None:
    raise typer.Exit(status_of(program))


def status_of(program: Coroutine[Any, Any, int]) -> int:
    """Run it; an error is printed as one sentence. An exit status."""
    try:
        return asyncio.run(program)
    except (Unavailable, RebuildFailed, NoSuchVersion, ShapesDiffer, parking.NotParked) as error:
        Console(stderr=True).print(str(error), markup=False)
    except (parking.VersionMismatch, parking.ShardsApart) as error:
        Console(stderr=True).print(f"It stays parked: {error}", markup=False)
    except parking.StillFailing as error:
        Console(stderr=True).print(f"It still fails and stays parked: {error}", markup=False)
    return 1


@dataclass(frozen=True, slots=True)
class _Build:
    """What is to be built, and what then."""

    names: Sequence[str]
    accept_differences: bool = False
    switch: bool = True
    anew: bool = False
    samples: bool = True


async def _build(service: "Service[Any]", chosen: _Build) -> int:
    console, named = Console(), " ".join(chosen.names)
    with _progress(console) as progress:
        async with _rebuild(service, chosen.names, progress) as rebuild:
            differences = await rebuild.build(anew=chosen.anew)
            same = all(table.same for table in differences)
            switched = chosen.switch and (same or chosen.accept_differences)
            if switched:
                await rebuild.switch()
    _show(console, differences, samples=chosen.samples)
    if switched:
        console.print(f"{named} switched; `rebuild back {named}` undoes it")
    elif not same:
        console.print(f"the rows differ; `rebuild switch {named}` makes the new ones live")
    return 0 if switched or not chosen.switch else 1


async def _with_rebuild(
    service: "Service[Any]",
    names: Sequence[str],
    do: Callable[[Rebuild], Coroutine[Any, Any, None]],
) -> int:
    with _progress(Console()) as progress:
        async with _rebuild(service, names, progress) as rebuild:
            await do(rebuild)
    return 0


async def _list_parked(service: "Service[Any]") -> int:
    async with owner_pool(service) as pool:
        streams = await parking.list_parked(pool)
    # Streams are to be copied, so they may break over lines but are never cut.
    whole = Column("stream", overflow="fold")
    table = Table("read model", "tenant", whole, "events", "tries", "since", "why")
    for one in streams:
        since, why = f"{one.parked_at:%Y-%m-%d %H:%M:%S}", f"{one.reason}: {one.error}"
        counts = (str(one.pending_events), str(one.attempts))
        table.add_row(one.projection, one.tenant, one.stream, *counts, since, why)
    Console().print(table if streams else "nothing is parked")
    return 0


async def _unpark(
    service: "Service[Any]",
    name: str,
    key: StreamKey,
    do: Callable[[Pool, Projection[Any], StreamKey], Coroutine[Any, Any, int]],
    done: str,
) -> int:
    settings = service.read_settings()
    async with (
        _projection_or_feed(service, settings, name) as projection,
        owner_pool(service) as pool,
    ):
        count = await do(pool, projection, key)
    Console().print(f"{count} events {done}; the stream goes on")
    return 0


@asynccontextmanager
async def _rebuild(
    service: "Service[Any]", names: Sequence[str], progress: Progress
) -> AsyncIterator[Rebuild]:
    settings = service.read_settings()
    models = [_projection(service, settings, name) for name in dict.fromkeys(names)]
    schemas = VersionSchemas(service.name, application_role(service.name))
    async with owner_pool(service) as pool:
        with translated(OSError):
            yield Rebuild(pool, models, schemas, service=spelled(service.name), progress=progress)


def owner_pool(service: "Service[Any]") -> AbstractAsyncContextManager[Pool]:
    """Connections with the login's own rights, whose statements take as long as they take."""
    return open_service_pool(
        service, "mending", size=4, as_owner=True, statement_timeout=timedelta(0)
    )


def _projection(service: "Service[Any]", settings: ServiceSettings, name: str) -> Projection[Any]:
    return _named(name, service.projections(settings))


@asynccontextmanager
async def _projection_or_feed(
    service: "Service[Any]", settings: ServiceSettings, name: str
) -> AsyncIterator[Projection[Any]]:
    """The read model of this name, or the feed of the inbox of a reaction to the service's own
    facts, which needs what the reactions work with."""
    if service.open_reactions is None or not name.startswith(FEED):
        yield _projection(service, settings, name)
        return
    telemetry = traces.set_up(service.name, settings.otlp_endpoint)
    try:
        async with service.open_reactions(settings, telemetry) as reactions:
            yield _named(name, own_feeds(spelled(service.name), reactions))
    finally:
        await telemetry.stop()


def _named(name: str, projections: Sequence[Projection[Any]]) -> Projection[Any]:
    known = {projection.name: projection for projection in projections}
    if name not in known:
        raise typer.BadParameter(f"there is no read model {name}; there are {', '.join(known)}")
    return known[name]


@contextmanager
def _progress(console: Console) -> Any:
    """A bar for what has an end, a line for what has none; in a log, a line from time to time."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=console) as progress:
        bars: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total or None)
            progress.update(bars[what], completed=done, total=total or None)

        yield tell


class _Lines:
    """Progress as lines: one for each new thing, then one every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._shown_at = 0.0

    def show(self, what: str, done: int, total: int) -> None:
        if what == self._last and monotonic() - self._shown_at < LINE_SECONDS:
            return
        self._last, self._shown_at = what, monotonic()
        self._console.print(f"{what}: {done} of {total}" if total else what, markup=False)


def _show(console: Console, differences: Sequence[TableDiff], *, samples: bool) -> None:
    table = Table("table", "rows", "only live", "only new")
    for one in differences:
        table.add_row(one.table, str(one.rows), str(one.only_live), str(one.only_next))
    console.print(table)
    for one in differences if samples else ():
        for version, row in one.samples:
            console.print(f"{one.table}, only {version}: {row}", markup=False)
