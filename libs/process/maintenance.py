"""The maintenance commands: rebuild read models, retry or drop parked streams."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from time import monotonic
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from libs.messaging.categories import wire_name
from libs.messaging.reaction import FEED_PREFIX, own_feeds
from libs.postgres.pool import Pool, unavailable_if_lost
from libs.postgres.rls import application_role
from libs.process.database_command import (
    AWAY,
    Faults,
    exit_with,
    open_service_pool,
    status_of,
)
from libs.process.service import Service, open_reactions
from libs.projections import parking
from libs.projections.compare import Progress, TableDiff
from libs.projections.projection import Projection
from libs.projections.rebuild import Rebuild, RebuildFailed
from libs.projections.shards import StreamKey
from libs.projections.versions import NoSuchVersion, ShapesDiffer, VersionSchemas
from libs.settings import ServiceSettings

Name = Annotated[str, typer.Argument(help="The name, as `park list` shows it.")]
Names = Annotated[list[str], typer.Argument(help="The read models' names.")]
Tenant = Annotated[str, typer.Argument(help="The tenant, as `park list` shows it.")]
Stream = Annotated[str, typer.Argument(help="The stream, as `park list` shows it.")]

LINE_SECONDS: Final = 5.0

FAULTS: Final[Faults] = {
    **AWAY,
    **dict.fromkeys((RebuildFailed, NoSuchVersion, ShapesDiffer, parking.NotParked), ""),
    parking.VersionMismatch: "It stays parked: ",
    parking.ShardsApart: "It stays parked: ",
    parking.StillFailing: "It still fails and stays parked: ",
}

_OUTDATED: Final = """
SELECT name, registered.version FROM projections AS registered
JOIN unnest($1::text[], $2::int[]) AS code (name, version) USING (name)
WHERE registered.state = 'live' AND registered.version < code.version ORDER BY name
"""


def rebuild_commands(service: Service[Any]) -> typer.Typer:
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
            bool, typer.Option("--anew", help="Do not go on with an interrupted build.")
        ] = False,
    ) -> None:
        """Build them from the log in one pass, show how they differ, and switch if they do not.

        An interrupted build goes on when the same command is given again.
        """
        building = _build(
            service, names, accept_differences=accept_differences, switch=switch, anew=anew
        )
        exit_with(building, FAULTS)

    @app.command()
    def switch(names: Names) -> None:
        """Make the built models live, even if rows differ; keep the live ones as previous."""
        exit_with(_with_rebuild(service, names, lambda rebuild: rebuild.switch()), FAULTS)

    @app.command()
    def back(names: Names) -> None:
        """Make the previous models live again; they catch up by themselves."""
        exit_with(_with_rebuild(service, names, lambda rebuild: rebuild.roll_back()), FAULTS)

    return app


def rebuild_changed(service: Service[Any], names: Sequence[str]) -> int:
    """Rebuild read models that are known to differ, and switch to them. Returns an exit status.

    An error is printed as one sentence. Safe to repeat.
    """
    return status_of(_build(service, names, accept_differences=True, anew=True), FAULTS)


async def _find_outdated(connection: Any, models: Sequence[Projection[Any]]) -> Mapping[str, int]:
    """The live read models that older code filled, with the version of that code.

    Version 0 means that the model's position in the log is not known.
    """
    names, versions = [model.name for model in models], [model.version for model in models]
    rows = await connection.fetch(_OUTDATED, names, versions)
    return {row["name"]: row["version"] for row in rows}


def rebuild_outdated(service: Service[Any], *, newer_code: bool) -> int:
    """Rebuild read models whose position in the log is not known. Returns an exit status.

    With `newer_code` also those that an older version of their code filled. The old rows can be
    read until they are replaced. An interrupted rebuild goes on at the next call. An error is
    printed as one sentence.
    """
    return status_of(_rebuild_outdated(service, newer_code), FAULTS)


async def _rebuild_outdated(service: Service[Any], newer_code: bool) -> int:
    settings = service.read_settings()
    async with owner_pool(service) as pool:
        outdated = await _find_outdated(pool, service.projections(settings))
    now = [name for name, version in outdated.items() if newer_code or not version]
    later = [name for name in outdated if name not in now]
    if later:
        Console().print(
            f"filled by older code, and not kept up to date until rebuilt: {' '.join(later)}\n"
            f"`migrate --rebuild` does it, or `rebuild build {' '.join(later)}`",
            markup=False,
            soft_wrap=True,
        )
    if not now:
        return 0
    Console().print(f"to be rebuilt: {' '.join(now)}", markup=False, soft_wrap=True)
    # Rows that differ are counted, not shown.
    return await _build(service, now, accept_differences=True, samples=False)


def park_commands(service: Service[Any]) -> typer.Typer:
    """`park list | retry | drop`."""
    app = typer.Typer(no_args_is_help=True, help="Streams set aside because they failed.")

    @app.command("list")
    def list_parked() -> None:
        """Show every parked stream, why, and how many events wait in it."""
        exit_with(_list_parked(service), FAULTS)

    @app.command()
    def retry(name: Name, tenant: Tenant, stream: Stream) -> None:
        """Apply a stream's events in order and unpark it, or leave it parked if it fails."""
        exit_with(_change_parked(service, name, (tenant, stream), parking.retry, "applied"), FAULTS)

    @app.command()
    def drop(name: Name, tenant: Tenant, stream: Stream) -> None:
        """Discard a stream's parked events; the log still has them."""
        exit_with(_change_parked(service, name, (tenant, stream), parking.drop, "given up"), FAULTS)

    return app


async def _build(
    service: Service[Any],
    names: Sequence[str],
    *,
    accept_differences: bool = False,
    switch: bool = True,
    anew: bool = False,
    samples: bool = True,
) -> int:
    """Build read models, show how they differ, and switch to them if they do not."""
    console, models = Console(), " ".join(names)
    with _progress(console) as progress:
        async with _rebuild(service, names, progress) as rebuild:
            differences = await rebuild.build(anew=anew)
            same = all(table.same for table in differences)
            switched = switch and (same or accept_differences)
            if switched:
                await rebuild.switch()
    _show(console, differences, samples=samples)
    if switched:
        console.print(f"{models} switched; `rebuild back {models}` undoes it")
    elif not same:
        console.print(f"the rows differ; `rebuild switch {models}` makes the new ones live")
    return 0 if switched or not switch else 1


async def _with_rebuild(
    service: Service[Any],
    names: Sequence[str],
    action: Callable[[Rebuild], Coroutine[Any, Any, None]],
) -> int:
    with _progress(Console()) as progress:
        async with _rebuild(service, names, progress) as rebuild:
            await action(rebuild)
    return 0


async def _list_parked(service: Service[Any]) -> int:
    async with owner_pool(service) as pool:
        streams = await parking.list_parked(pool)
    # People copy the streams, so a long one is folded and never cut.
    stream = Column("stream", overflow="fold")
    table = Table("read model", "tenant", stream, "events", "tries", "since", "why")
    for one in streams:
        since, why = f"{one.parked_at:%Y-%m-%d %H:%M:%S}", f"{one.reason}: {one.error}"
        counts = (str(one.pending_events), str(one.attempts))
        table.add_row(one.projection, one.tenant, one.stream, *counts, since, why)
    Console().print(table if streams else "nothing is parked")
    return 0


async def _change_parked(
    service: Service[Any],
    name: str,
    key: StreamKey,
    action: Callable[[Pool, Projection[Any], StreamKey], Coroutine[Any, Any, int]],
    result: str,
) -> int:
    settings = service.read_settings()
    async with (
        _projection_or_feed(service, settings, name) as projection,
        owner_pool(service) as pool,
    ):
        count = await action(pool, projection, key)
    Console().print(f"{count} events {result}; the stream goes on")
    return 0


@asynccontextmanager
async def _rebuild(
    service: Service[Any], names: Sequence[str], progress: Progress
) -> AsyncIterator[Rebuild]:
    settings = service.read_settings()
    models = [_projection(service, settings, name) for name in dict.fromkeys(names)]
    schemas = VersionSchemas(service.name, application_role(service.name))
    async with owner_pool(service) as pool:
        with unavailable_if_lost(OSError):
            yield Rebuild(pool, models, schemas, service=wire_name(service.name), progress=progress)


def owner_pool(service: Service[Any]) -> AbstractAsyncContextManager[Pool]:
    """A pool with the rights of the login itself, without a statement timeout."""
    return open_service_pool(
        service, "maintenance", size=4, as_owner=True, statement_timeout=timedelta(0)
    )


def _projection(service: Service[Any], settings: ServiceSettings, name: str) -> Projection[Any]:
    return _named(name, service.projections(settings))


@asynccontextmanager
async def _projection_or_feed(
    service: Service[Any], settings: ServiceSettings, name: str
) -> AsyncIterator[Projection[Any]]:
    """The read model of this name, or the inbox feed of a reaction to the service's own facts.

    A feed needs the reactions, which are opened for as long as the block lasts.
    """
    if not service.reactions or not name.startswith(FEED_PREFIX):
        yield _projection(service, settings, name)
        return
    async with open_reactions(service, settings) as reactions:
        yield _named(name, own_feeds(wire_name(service.name), reactions))


def _named(name: str, projections: Sequence[Projection[Any]]) -> Projection[Any]:
    known = {projection.name: projection for projection in projections}
    if name not in known:
        raise typer.BadParameter(f"there is no read model {name}; there are {', '.join(known)}")
    return known[name]


@contextmanager
def _progress(console: Console) -> Any:
    """Progress bars at a terminal; otherwise lines every `LINE_SECONDS`."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=console) as progress:
        bars: dict[str, Any] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in bars:
                bars[step] = progress.add_task(step, total=total or None)
            progress.update(bars[step], completed=done, total=total or None)

        yield show


class _Lines:
    """Progress as lines: one at the start of each step, then one every `LINE_SECONDS`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._printed_at = 0.0

    def show(self, step: str, done: int, total: int) -> None:
        if step == self._last and monotonic() - self._printed_at < LINE_SECONDS:
            return
        self._last, self._printed_at = step, monotonic()
        self._console.print(f"{step}: {done} of {total}" if total else step, markup=False)


def _show(console: Console, differences: Sequence[TableDiff], *, samples: bool) -> None:
    table = Table("table", "rows", "only live", "only new")
    for one in differences:
        table.add_row(one.table, str(one.rows), str(one.only_live), str(one.only_next))
    console.print(table)
    for one in differences if samples else ():
        for version, row in one.samples:
            console.print(f"{one.table}, only {version}: {row}", markup=False)
