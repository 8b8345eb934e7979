"""The same on a command line: `quarantine list | show | fix | replay | drop | count`.

Straight on the database, so it works while the API is down. Exits with 0 when it is done, 1 when
it was refused (and says why), 2 when it was not asked rightly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, TypeAlias
from uuid import UUID

import typer
from rich.console import Console

from libs.errors import Refused, Unavailable
from services.ingest.context import Deps
from services.ingest.quarantine.cli import desk
from services.ingest.quarantine.handlers.correction import Correction, read_correction
from services.ingest.quarantine.read_models import QuarantineFilter, Status
from services.ingest.scans.handlers.body import BadRequest

OpenDeps: TypeAlias = Callable[[], AbstractAsyncContextManager[Deps]]

Tenant = Annotated[str, typer.Option(help="Whose events.")]
Id = Annotated[UUID, typer.Argument(help="As `quarantine list` shows it.")]
Code = Annotated[str | None, typer.Option(help="Only those with this code, as `count` shows it.")]
Which = Annotated[str, typer.Option(help="open, mended, dropped or all.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value, for scripts.")]


def quarantine_commands(open_deps: OpenDeps) -> typer.Typer:
    """The commands, each on a `Deps` of its own."""
    app = typer.Typer(
        no_args_is_help=True,
        help="Events that could not be understood: see them, mend them, give them up.",
    )
    _add_questions(app, open_deps)
    _add_decisions(app, open_deps)
    return app


def _add_questions(app: typer.Typer, open_deps: OpenDeps) -> None:
    @app.command("list")
    def list_events(
        code: Code = None,
        status: Which = "open",
        limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
        offset: Annotated[int, typer.Option(min=0)] = 0,
        tenant: Tenant = "demo",
        as_json: AsJson = False,
    ) -> None:
        """Show events, newest first. New ones appear within moments of being received."""
        wanted = QuarantineFilter(tenant=tenant, status=_status(status), code=code)
        _run(open_deps, lambda deps: desk.list_events(deps, wanted, limit, offset, as_json=as_json))

    @app.command()
    def count(status: Which = "open", tenant: Tenant = "demo", as_json: AsJson = False) -> None:
        """Count events by the code of what is wrong with them."""
        wanted = QuarantineFilter(tenant=tenant, status=_status(status))
        _run(open_deps, lambda deps: desk.count(deps, wanted, as_json=as_json))

    @app.command()
    def show(id: Id, tenant: Tenant = "demo", as_json: AsJson = False) -> None:
        """Show all of one event: word for word, what is wrong with it, what became of it."""
        _run(open_deps, lambda deps: desk.show(deps, id, tenant, as_json=as_json))


def _add_decisions(app: typer.Typer, open_deps: OpenDeps) -> None:
    @app.command()
    def fix(
        id: Id,
        set: Annotated[
            list[str] | None, typer.Option(help="A field as it should be: `code=4607001`.")
        ] = None,
        unset: Annotated[list[str] | None, typer.Option(help="A field to take away.")] = None,
        file: Annotated[
            Path | None,
            typer.Option(help='The whole event as JSON, or {"patch": {…}}; - is standard input.'),
        ] = None,
        tenant: Tenant = "demo",
        as_json: AsJson = False,
    ) -> None:
        """Correct an event and store it as the scan it should have been.

        It counts from when it was received. What is still wrong is said, and nothing changed.
        """
        correction = _correction(set or [], unset or [], file)
        _run(open_deps, lambda deps: desk.mend(deps, id, correction, tenant, as_json=as_json))

    @app.command()
    def replay(
        id: Annotated[UUID | None, typer.Argument(help="One event; or give --code, --all.")] = None,
        code: Code = None,
        all: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
        tenant: Tenant = "demo",
        as_json: AsJson = False,
    ) -> None:
        """Try events again as they came, for when rules or settings have changed."""
        if [id is not None, code is not None, all].count(True) != 1:
            raise typer.BadParameter("give one of: an id, --code, --all")
        if id is not None:
            _run(open_deps, lambda deps: desk.mend(deps, id, None, tenant, as_json=as_json))
        wanted = QuarantineFilter(tenant=tenant, code=code)
        _run(open_deps, lambda deps: desk.replay_many(deps, wanted, as_json=as_json))

    @app.command()
    def drop(
        id: Id,
        reason: Annotated[str, typer.Option(help="Why, for the record.")],
        tenant: Tenant = "demo",
        as_json: AsJson = False,
    ) -> None:
        """Give an event up. The log keeps it, and devices still hear that it arrived."""
        _run(open_deps, lambda deps: desk.drop(deps, id, reason, tenant, as_json=as_json))


def _run(open_deps: OpenDeps, work: Callable[[Deps], Awaitable[int]]) -> None:
    """Do it and exit; a refusal is one sentence."""

    async def run() -> int:
        async with open_deps() as deps:
            try:
                return await work(deps)
            except (Refused, Unavailable) as refused:
                Console(stderr=True).print(desk.message_of(refused, deps), markup=False)
                return 1

    try:
        raise typer.Exit(asyncio.run(run()))
    except Unavailable as error:
        Console(stderr=True).print(str(error), markup=False)
        raise typer.Exit(1) from error


def _status(which: str) -> Status | None:
    if which == "all":
        return None
    try:
        return Status(which)
    except ValueError:
        raise typer.BadParameter("one of open, mended, dropped, all") from None


def _correction(put: Sequence[str], gone: Sequence[str], file: Path | None) -> Correction:
    if (file is None) == (not put and not gone):
        raise typer.BadParameter("give --set and --unset, or --file")
    if file is not None:
        body = typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
        try:
            return read_correction(body)
        except BadRequest as error:
            raise typer.BadParameter(str(error)) from error
    pairs = [one.partition("=") for one in put]
    if not all(equals and name for name, equals, _ in pairs):
        raise typer.BadParameter("--set takes field=value")
    patch = {name: value for name, _, value in pairs} | dict.fromkeys(gone)
    return Correction(patch, is_patch=True)
