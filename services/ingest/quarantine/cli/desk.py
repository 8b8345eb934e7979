"""What the commands about quarantined events do and show, straight on the database.

Each takes the `Deps` of ingest, tells its result as a table or, for scripts, as one JSON value,
and answers with the status to exit with. Raises what the handlers raise.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from libs.eventsourcing.log import Metadata
from libs.postgres.pool import tenant_transaction
from services.ingest.context import Deps
from services.ingest.quarantine import read_models as quarantine
from services.ingest.quarantine.api import presenters
from services.ingest.quarantine.domain import AlreadyDecided, StillWrong
from services.ingest.quarantine.handlers import quarantine as handlers
from services.ingest.quarantine.handlers.correction import Correction
from services.ingest.quarantine.read_models import QuarantineFilter

ACTOR: Final = "command line"
AT_ONCE: Final = 200


async def list_events(
    deps: Deps, wanted: QuarantineFilter, limit: int, offset: int, *, as_json: bool
) -> int:
    """Events of a page, newest first."""
    async with tenant_transaction(deps.reading, wanted.tenant) as connection:
        rows = await quarantine.page(connection, wanted, limit=limit, offset=offset)
    listed = [presenters.summary(row, deps.settings.zone) for row in rows]
    # Ids are to be copied, so they may break over lines but are never cut.
    table = Table(Column("id", overflow="fold"), "received", "status", "code", "why", "event")
    for one in listed:
        table.add_row(
            one.id, one.received_at, one.status, one.code, one.reason, escape(one.raw[:200])
        )
    _print(listed, table if listed else "nothing is there", as_json=as_json)
    return 0


async def count(deps: Deps, wanted: QuarantineFilter, *, as_json: bool) -> int:
    """How many there are of each code."""
    async with tenant_transaction(deps.reading, wanted.tenant) as connection:
        counts = await quarantine.counts(connection, wanted)
    table = Table("code", Column("events", justify="right"), show_footer=True)
    table.columns[0].footer, table.columns[1].footer = "together", str(sum(counts.values()))
    for code, number in counts.items():
        table.add_row(code, str(number))
    _print({"counts": counts, "total": sum(counts.values())}, table, as_json=as_json)
    return 0


async def show(deps: Deps, id: UUID, tenant: str, *, as_json: bool) -> int:
    """All of one event."""
    not_before, zone = deps.settings.plausible_from, deps.settings.zone
    found = await handlers.inspect(deps.store, id, tenant=tenant, not_before=not_before)
    shown = presenters.inspected(found, zone)
    table = Table("", "", show_header=False)
    table.add_row("id", shown.id)
    table.add_row("status", shown.status)
    table.add_row("wrong then", escape(f"{shown.reason} [{shown.code}]"))
    for one in shown.wrong:
        table.add_row("wrong now", escape(f"{one.reason} [{one.code}]"))
    for moment in shown.history:
        why = moment.scan_id or moment.reason or ""
        table.add_row(moment.what, escape(f"{moment.at} by {moment.by or '?'}: {why}"))
    _print(shown, table, as_json=as_json)
    if not as_json:
        Console().print(shown.raw, markup=False, highlight=False, soft_wrap=True)
    return 0


async def mend(
    deps: Deps, id: UUID, correction: Correction | None, tenant: str, *, as_json: bool
) -> int:
    """Correct it, or try it again as it came."""
    if correction is None:
        done = await handlers.replay(deps.store, id, **_given(deps, tenant))
    else:
        done = await handlers.mend(deps.store, id, correction, **_given(deps, tenant))
    known = ", which was known before" if done.duplicate else ""
    _print(presenters.mended(done), f"mended: it is scan {done.scan_id}{known}", as_json=as_json)
    return 0


async def replay_many(deps: Deps, wanted: QuarantineFilter, *, as_json: bool) -> int:
    """Try all that are asked for again; 1 if some of them stay."""
    became = dict(await handlers.replay_each(deps.store, (), **_given(deps, wanted.tenant)))
    after: UUID | None = None
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        bar = progress.add_task("trying again", total=await _how_many(deps, wanted))
        while ids := await _next(deps, wanted, after):
            some = await handlers.replay_each(deps.store, ids, **_given(deps, wanted.tenant))
            became = {name: became[name] + number for name, number in some.items()}
            progress.advance(bar, len(ids))
            after = ids[-1]
    table = Table("what became of them", Column("events", justify="right"))
    for name, number in became.items():
        table.add_row(name.replace("_", " "), str(number))
    _print(presenters.Replayed(ok=True, next=None, **became), table, as_json=as_json)
    return 1 if became["still_wrong"] or became["cut_short"] else 0


async def drop(deps: Deps, id: UUID, reason: str, tenant: str, *, as_json: bool) -> int:
    """Give one up."""
    metadata = Metadata(tenant=tenant, actor=ACTOR)
    await handlers.drop(deps.store, id, reason=reason, metadata=metadata, now=deps.clock())
    _print(presenters.Done(True, "dropped"), "dropped", as_json=as_json)
    return 0


async def _how_many(deps: Deps, wanted: QuarantineFilter) -> int:
    async with tenant_transaction(deps.reading, wanted.tenant) as connection:
        return sum((await quarantine.counts(connection, wanted)).values())


async def _next(deps: Deps, wanted: QuarantineFilter, after: UUID | None) -> Sequence[UUID]:
    async with tenant_transaction(deps.reading, wanted.tenant) as connection:
        return await quarantine.ids(connection, wanted, after=after, limit=AT_ONCE)


def _given(deps: Deps, tenant: str) -> dict[str, Any]:
    return {
        "metadata": Metadata(tenant=tenant, actor=ACTOR),
        "now": deps.clock(),
        "not_before": deps.settings.plausible_from,
    }


def message_of(refused: Exception, deps: Deps) -> str:
    """A refusal as people read it on a terminal."""
    if isinstance(refused, AlreadyDecided):
        was = presenters.present_decision(refused.decision, deps.settings.zone)
        return f"{refused} It was {was.status} at {was.decided_at} by {was.decided_by}."
    if isinstance(refused, StillWrong):
        faults = [f"{name}: {fault.reason}" for name, fault in refused.wrong.items()]
        return "\n".join(["It is still no scan; nothing was changed.", *(faults or [str(refused)])])
    return str(refused)


def _print(value: object, shown: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(value).decode())
    else:
        Console().print(shown, markup=isinstance(shown, Table))
