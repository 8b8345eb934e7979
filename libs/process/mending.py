"""The commands that rebuild read models and look after what was parked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from aiokafka.errors import KafkaConnectionError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from libs.errors import Unavailable
from libs.messaging.diff import TableDiff
from libs.messaging.editions import NoSuchEdition, Schemas
from libs.messaging.rebuild import Rebuild, RebuildFailed, Tell
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.projections import parking
from libs.projections.checkpoints import StreamKey
from libs.projections.projection import Projection
from libs.settings import ServiceSettings

if TYPE_CHECKING:
    from libs.process.commands import Service

Name = Annotated[str, typer.Argument(help="The read model's name.")]
Tenant = Annotated[str, typer.Argument(help="The tenant, as `park list` shows it.")]
Stream = Annotated[str, typer.Argument(help="The stream, as `park list` shows it.")]


def rebuild_commands(service: "Service[Any]") -> typer.Typer:
    """`rebuild build | switch | back`."""
    app = typer.Typer(no_args_is_help=True, help="Build a read model anew beside the live one.")

    @app.command()
    def build(
        name: Name,
        accept_differences: Annotated[
            bool, typer.Option(help="Switch even if the rows differ from the live ones.")
        ] = False,
        switch: Annotated[bool, typer.Option(help="Switch when it is built.")] = True,
    ) -> None:
        """Build it from the log, show how it differs, and switch if it does not."""
        _answer(_build(service, name, accept_differences=accept_differences, switch=switch))

    @app.command()
    def switch(name: Name) -> None:
        """Make what was built live, whatever differs; the live one is kept as previous."""
        _answer(_with_rebuild(service, name, lambda rebuild: rebuild.switch()))

    @app.command()
    def back(name: Name) -> None:
        """Make the previous one live again; it catches up by itself."""
        _answer(_with_rebuild(service, name, lambda rebuild: rebuild.roll_back()))

    return app


def rebuild_changed(service: "Service[Any]", names: Sequence[str]) -> int:
    """Build each of the read models anew and switch to it, because it must differ; an exit status.

    What goes wrong is said in one sentence. Safe to repeat.
    """

    async def each() -> int:
        for name in names:
            await _build(service, name, accept_differences=True, switch=True)
        return 0

    return _status(each())


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
    raise typer.Exit(_status(program))


def _status(program: Coroutine[Any, Any, int]) -> int:
    """Run it, and say in one sentence what was wrong."""
    try:
        return asyncio.run(program)
    except (Unavailable, RebuildFailed, NoSuchEdition, parking.NotParked) as error:
        Console(stderr=True).print(str(error), markup=False)
    except KafkaConnectionError:
        Console(stderr=True).print("Kafka cannot be reached; try again when it can", markup=False)
    except parking.StillFailing as error:
        Console(stderr=True).print(f"It still fails and stays parked: {error}", markup=False)
    return 1


async def _build(
    service: "Service[Any]", name: str, *, accept_differences: bool, switch: bool
) -> int:
    console = Console()
    with _progress(console) as tell:
        async with _rebuild(service, name, tell) as rebuild:
            differences = await rebuild.build()
            same = all(table.same for table in differences)
            switched = switch and (same or accept_differences)
            if switched:
                await rebuild.switch()
    _show(console, differences)
    if switched:
        console.print(f"{name} is switched; `rebuild back {name}` undoes it")
    elif not same:
        console.print(f"the rows differ; `rebuild switch {name}` makes the new ones live")
    return 0 if switched or not switch else 1


async def _with_rebuild(
    service: "Service[Any]", name: str, do: Callable[[Rebuild[Any]], Coroutine[Any, Any, None]]
) -> int:
    with _progress(Console()) as tell:
        async with _rebuild(service, name, tell) as rebuild:
            await do(rebuild)
    return 0


async def _list_parked(service: "Service[Any]") -> int:
    async with _owner_pool(service, service.read_settings()) as pool:
        streams = await parking.list_parked(pool)
    # Streams are to be copied, so they may break over lines but are never cut.
    whole = Column("stream", overflow="fold")
    table = Table("read model", "tenant", whole, "events", "tries", "since", "why")
    for one in streams:
        since, why = f"{one.parked_at:%Y-%m-%d %H:%M:%S}", f"{one.reason}: {one.error}"
        counts = (str(one.waiting), str(one.attempts))
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
    projection = _projection(service, settings, name)
    async with _owner_pool(service, settings) as pool:
        count = await do(pool, projection, key)
    Console().print(f"{count} events {done}; the stream goes on")
    return 0


@asynccontextmanager
async def _rebuild(service: "Service[Any]", name: str, tell: Tell) -> AsyncIterator[Rebuild[Any]]:
    settings = service.read_settings()
    projection = _projection(service, settings, name)
    async with _owner_pool(service, settings) as pool:
        yield Rebuild(
            pool,
            projection,
            Schemas(service.name, application_role(service.name)),
            service=service.name,
            bootstrap=settings.kafka_bootstrap_servers,
            prefix=settings.topic_prefix,
            tell=tell,
        )


@asynccontextmanager
async def _owner_pool(service: "Service[Any]", settings: ServiceSettings) -> AsyncIterator[Pool]:
    """Connections with the login's own rights: only the owner may create and move tables."""
    pool = await open_pool(
        settings.database_url.get_secret_value(),
        role=None,
        schema=service.name,
        size=4,
        application_name=f"{service.name} mending",
        tenant_scope=SYSTEM,
        statement_timeout=timedelta(0),
    )
    try:
        yield pool
    finally:
        await pool.close()


def _projection(service: "Service[Any]", settings: ServiceSettings, name: str) -> Projection[Any]:
    known = {projection.name: projection for projection in service.projections(settings)}
    if name not in known:
        raise typer.BadParameter(f"there is no read model {name}; there are {', '.join(known)}")
    return known[name]


@contextmanager
def _progress(console: Console) -> Any:
    """A bar for what has an end, a line for what has none."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total or None)
            progress.update(bars[what], completed=done, total=total or None)

        yield tell


def _show(console: Console, differences: Sequence[TableDiff]) -> None:
    table = Table("table", "rows", "only live", "only new")
    for one in differences:
        table.add_row(one.table, str(one.rows), str(one.only_live), str(one.only_next))
    console.print(table)
    for one in differences:
        for edition, row in one.samples:
            console.print(f"{one.table}, only {edition}: {row}", markup=False)
