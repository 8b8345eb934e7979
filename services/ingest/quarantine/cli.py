"""The commands `quarantine list | show | fix | replay | drop | count`.

They work on the database directly, so they work while the API is down. Exit status: 0 when done,
1 when refused (the reason is printed), 2 for wrong arguments.
"""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from libs.errors import Refused
from libs.eventsourcing.log import Metadata
from libs.postgres.pool import tenant_transaction
from libs.process.database_command import run_command
from libs.process.service import Service
from services.ingest.context import Deps
from services.ingest.quarantine import read_models as quarantine
from services.ingest.quarantine.api import presenters
from services.ingest.quarantine.domain import AlreadyDecided, StillWrong
from services.ingest.quarantine.handlers.correction import Correction, read_correction
from services.ingest.quarantine.handlers.quarantine import QuarantineCommands, inspect
from services.ingest.quarantine.read_models import QuarantineFilter, Status
from services.ingest.scans.handlers.body import BadRequest
from services.ingest.settings import Settings

ACTOR: Final = "command line"
AT_ONCE: Final = 200
"""How many events one query of `replay` selects."""

Tenant = Annotated[str, typer.Option(help="Whose events.")]
Id = Annotated[UUID, typer.Argument(help="As `quarantine list` shows it.")]
OptionalId = Annotated[UUID | None, typer.Argument(help="One event; or give --code, --all.")]
Code = Annotated[str | None, typer.Option(help="Only those with this code, as `count` shows it.")]
Which = Annotated[str, typer.Option(help="open, mended, dropped or all.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value, for scripts.")]
Limit = Annotated[int, typer.Option(min=1, max=1000)]
Offset = Annotated[int, typer.Option(min=0)]
Set = Annotated[list[str] | None, typer.Option(help="A field as it should be: `code=4607001`.")]
Unset = Annotated[list[str] | None, typer.Option(help="A field to take away.")]
File = Annotated[
    Path | None,
    typer.Option(help='The whole event as JSON, or {"patch": {…}}; - is standard input.'),
]
All = Annotated[bool, typer.Option("--all", help="All that are open.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def quarantine_commands(service: Service[Settings]) -> typer.Typer:
    """The commands; each opens and closes a context of its own."""
    app = typer.Typer(
        no_args_is_help=True,
        help="Events that could not be understood: see them, mend them, give them up.",
    )
    _add_queries(app, service)
    _add_mending(app, service)
    _add_drop(app, service)
    return app


def _add_queries(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command("list")
    def list_events(
        code: Code = None,
        status: Which = "open",
        limit: Limit = 50,
        offset: Offset = 0,
        tenant: Tenant = "demo",
        as_json: AsJson = False,
    ) -> None:
        """Show events, newest first. New ones appear within moments of being received."""
        filters = QuarantineFilter(tenant=tenant, status=_status(status), code=code)
        _run(service, lambda deps: _list(deps, filters, limit, offset, as_json=as_json))

    @app.command()
    def count(status: Which = "open", tenant: Tenant = "demo", as_json: AsJson = False) -> None:
        """Count events by the code of what is wrong with them."""
        filters = QuarantineFilter(tenant=tenant, status=_status(status))
        _run(service, lambda deps: _count(deps, filters, as_json=as_json))

    @app.command()
    def show(id: Id, tenant: Tenant = "demo", as_json: AsJson = False) -> None:
        """Show all of one event: word for word, what is wrong with it, what became of it."""
        _run(service, lambda deps: _show(deps, id, tenant, as_json=as_json))


def _add_mending(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command()
    def fix(
        id: Id,
        set: Set = None,
        unset: Unset = None,
        file: File = None,
        tenant: Tenant = "demo",
        as_json: AsJson = False,
    ) -> None:
        """Correct an event and store it as the scan it should have been.

        It counts from when it was received. What is still wrong is said, and nothing changed.
        """
        correction = _correction(set or [], unset or [], file)
        _run(service, lambda deps: _mend(deps, id, correction, tenant, as_json=as_json))

    @app.command()
    def replay(
        id: OptionalId = None,
        code: Code = None,
        all: All = False,
        tenant: Tenant = "demo",
        as_json: AsJson = False,
    ) -> None:
        """Try events again as they came, for when rules or settings have changed."""
        if [id is not None, code is not None, all].count(True) != 1:
            raise typer.BadParameter("give one of: an id, --code, --all")
        if id is not None:
            _run(service, lambda deps: _mend(deps, id, None, tenant, as_json=as_json))
        filters = QuarantineFilter(tenant=tenant, code=code)
        _run(service, lambda deps: _replay_many(deps, filters, as_json=as_json))


def _add_drop(app: typer.Typer, service: Service[Settings]) -> None:
    @app.command()
    def drop(id: Id, reason: Reason, tenant: Tenant = "demo", as_json: AsJson = False) -> None:
        """Give an event up. The log keeps it, and devices still hear that it arrived."""
        _run(service, lambda deps: _drop(deps, id, reason, tenant, as_json=as_json))


def _run(service: Service[Settings], work: Callable[[Deps], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run `work` and exit with the status it returns; print a refusal as one sentence."""

    async def run(deps: Deps) -> int:
        try:
            return await work(deps)
        except Refused as refused:
            raise Refused(_refusal(refused, deps)) from refused

    run_command(service, run)


def _status(which: str) -> Status | None:
    if which == "all":
        return None
    try:
        return Status(which)
    except ValueError:
        raise typer.BadParameter("one of open, mended, dropped, all") from None


def _correction(set_: Sequence[str], unset: Sequence[str], file: Path | None) -> Correction:
    if (file is None) == (not set_ and not unset):
        raise typer.BadParameter("give --set and --unset, or --file")
    if file is not None:
        body = typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
        try:
            return read_correction(body)
        except BadRequest as error:
            raise typer.BadParameter(str(error)) from error
    pairs = [assignment.partition("=") for assignment in set_]
    if not all(equals and name for name, equals, _ in pairs):
        raise typer.BadParameter("--set takes field=value")
    patch = {name: value for name, _, value in pairs} | dict.fromkeys(unset)
    return Correction(patch, is_patch=True)


async def _list(
    deps: Deps, filters: QuarantineFilter, limit: int, offset: int, *, as_json: bool
) -> int:
    async with tenant_transaction(deps.reading, filters.tenant) as connection:
        rows = await quarantine.page(connection, filters, limit=limit, offset=offset)
    events = [presenters.summary(row, deps.settings.zone) for row in rows]
    # Ids are to be copied, so they may break over lines but are never cut.
    table = Table(Column("id", overflow="fold"), "received", "status", "code", "why", "event")
    for event in events:
        table.add_row(
            *(event.id, event.received_at, event.status, event.code, event.reason),
            escape(event.raw[:200]),
        )
    _print(events, table if events else "nothing is there", as_json=as_json)
    return 0


async def _count(deps: Deps, filters: QuarantineFilter, *, as_json: bool) -> int:
    async with tenant_transaction(deps.reading, filters.tenant) as connection:
        counts = await quarantine.counts(connection, filters)
    table = Table("code", Column("events", justify="right"), show_footer=True)
    table.columns[0].footer, table.columns[1].footer = "together", str(sum(counts.values()))
    for code, number in counts.items():
        table.add_row(code, str(number))
    _print({"counts": counts, "total": sum(counts.values())}, table, as_json=as_json)
    return 0


async def _show(deps: Deps, id: UUID, tenant: str, *, as_json: bool) -> int:
    not_before, zone = deps.settings.plausible_from, deps.settings.zone
    inspected = await inspect(deps.store, id, tenant=tenant, not_before=not_before)
    event = presenters.inspection(inspected, zone)
    table = Table("", "", show_header=False)
    table.add_row("id", event.id)
    table.add_row("status", event.status)
    table.add_row("wrong then", escape(f"{event.reason} [{event.code}]"))
    for wrong in event.wrong:
        table.add_row("wrong now", escape(f"{wrong.reason} [{wrong.code}]"))
    for moment in event.history:
        why = moment.scan_id or moment.reason or ""
        table.add_row(moment.what, escape(f"{moment.at} by {moment.by or '?'}: {why}"))
    _print(event, table, as_json=as_json)
    if not as_json:
        Console().print(event.raw, markup=False, highlight=False, soft_wrap=True)
    return 0


async def _mend(
    deps: Deps, id: UUID, correction: Correction | None, tenant: str, *, as_json: bool
) -> int:
    """Apply the correction; without one, try the event again as it arrived."""
    done = await _commands(deps, tenant).mend(id, correction)
    known = ", which was known before" if done.duplicate else ""
    _print(presenters.mended(done), f"mended: it is scan {done.scan_id}{known}", as_json=as_json)
    return 0


async def _replay_many(deps: Deps, filters: QuarantineFilter, *, as_json: bool) -> int:
    """Try every matching event again; the status is 1 if some stay in quarantine."""
    results = dict(await _commands(deps, filters.tenant).replay_each(()))
    after: UUID | None = None
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        bar = progress.add_task("trying again", total=await _total(deps, filters))
        while ids := await _ids(deps, filters, after):
            page = await _commands(deps, filters.tenant).replay_each(ids)
            results = {name: results[name] + number for name, number in page.items()}
            progress.advance(bar, len(ids))
            after = ids[-1]
    table = Table("what became of them", Column("events", justify="right"))
    for name, number in results.items():
        table.add_row(name.replace("_", " "), str(number))
    _print(presenters.Replayed(ok=True, next=None, **results), table, as_json=as_json)
    return 1 if results["still_wrong"] or results["cut_short"] else 0


async def _drop(deps: Deps, id: UUID, reason: str, tenant: str, *, as_json: bool) -> int:
    await _commands(deps, tenant).drop(id, reason)
    _print(presenters.Done(True, "dropped"), "dropped", as_json=as_json)
    return 0


async def _total(deps: Deps, filters: QuarantineFilter) -> int:
    async with tenant_transaction(deps.reading, filters.tenant) as connection:
        return sum((await quarantine.counts(connection, filters)).values())


async def _ids(deps: Deps, filters: QuarantineFilter, after: UUID | None) -> Sequence[UUID]:
    async with tenant_transaction(deps.reading, filters.tenant) as connection:
        return await quarantine.ids(connection, filters, after=after, limit=AT_ONCE)


def _commands(deps: Deps, tenant: str) -> QuarantineCommands:
    return QuarantineCommands(
        store=deps.store,
        metadata=Metadata(tenant=tenant, actor=ACTOR),
        now=deps.clock(),
        not_before=deps.settings.plausible_from,
    )


def _refusal(refused: Exception, deps: Deps) -> str:
    """The sentence for the terminal."""
    if isinstance(refused, AlreadyDecided):
        was = presenters.present_decision(refused.decision, deps.settings.zone)
        return f"{refused} It was {was.status} at {was.decided_at} by {was.decided_by}."
    if isinstance(refused, StillWrong):
        faults = [f"{name}: {fault.reason}" for name, fault in refused.wrong.items()]
        return "\n".join(["It is still no scan; nothing was changed.", *(faults or [str(refused)])])
    return str(refused)


def _print(value: object, text: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(value).decode())
    else:
        Console().print(text, markup=isinstance(text, Table))
