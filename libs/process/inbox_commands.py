"""The inbox commands: parked messages, unreadable records, gaps in topics."""

import getpass
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

from libs.messaging import inbox, positions
from libs.messaging.dedup import Gap, TopicPartition
from libs.postgres.pool import Pool
from libs.process.database_command import exit_with, open_service_pool

if TYPE_CHECKING:
    from libs.process.service import Service

Name = Annotated[str, typer.Argument(help="The reaction's name.")]
Tenant = Annotated[str, typer.Argument(help="The tenant, as `inbox list` shows it.")]
EventId = Annotated[UUID, typer.Argument(help="The event's id, as `inbox list` shows it.")]

WAITING_SECONDS: Final = 30.0


def inbox_commands(service: "Service[Any]") -> typer.Typer:
    """`inbox list | retry | drop | gaps | skip-gap`."""
    app = typer.Typer(
        no_args_is_help=True, help="Messages that reactions could not handle or read."
    )

    @app.command("list")
    def list_waiting(
        waiting_longer_than: Annotated[
            float, typer.Option(help="Show also what has been due for so many seconds.")
        ] = WAITING_SECONDS,
    ) -> None:
        """Show parked messages, and messages that have been due for long."""
        exit_with(_list_waiting(service, timedelta(seconds=waiting_longer_than)))

    @app.command()
    def retry(name: Name, tenant: Tenant, event_id: EventId) -> None:
        """Let the worker try a parked message again."""
        exit_with(_change_parked(service, name, tenant, event_id, drop=False))

    @app.command()
    def drop(name: Name, tenant: Tenant, event_id: EventId) -> None:
        """Drop a parked message, so that the messages behind it go on."""
        exit_with(_change_parked(service, name, tenant, event_id, drop=True))

    _add_gap_commands(app, service)
    return app


def _add_gap_commands(app: typer.Typer, service: "Service[Any]") -> None:
    @app.command()
    def gaps() -> None:
        """Show gaps that block a reaction, and skipped gaps with the person and the reason."""
        exit_with(_list_gaps(service))

    @app.command("skip-gap")
    def skip_gap(
        name: Name,
        reason: Annotated[str, typer.Option(help="Why the missing records are not needed.")],
        topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None,
        partition: Annotated[int | None, typer.Option(help="Only of this partition.")] = None,
    ) -> None:
        """Skip missing records, or accept another incarnation of the log; this is recorded."""
        exit_with(_skip(service, name, reason, topic, partition))


async def _list_waiting(service: "Service[Any]", longer_than: timedelta) -> int:
    async with open_service_pool(service, "inbox") as pool:
        rows = await inbox.list_waiting(pool, longer_than=longer_than)
    # People copy the ids, so a long one is folded and never cut.
    event = Column("event", overflow="fold")
    table = Table("reaction", "tenant", event, "ordering key", "state", "tries", "since", "error")
    for row in rows:
        key = (row["reaction"], row["tenant"], str(row["event_id"]), row["subject"])
        state = "parked" if row["parked"] else "waiting"
        since = f"{row['since']:%F %T}"
        table.add_row(*key, state, str(row["attempts"]), since, row["error"] or "")
    Console().print(table if rows else "nothing is parked, nothing waits for long")
    return 0


async def _change_parked(
    service: "Service[Any]", name: str, tenant: str, event_id: UUID, *, drop: bool
) -> int:
    change = inbox.drop if drop else inbox.retry
    async with open_service_pool(service, "inbox") as pool:
        done = await change(pool, name, tenant, event_id)
    result = "given up" if drop else "will be tried again"
    Console(stderr=not done).print(result if done else "this message is not parked")
    return 0 if done else 1


async def _list_gaps(service: "Service[Any]") -> int:
    async with open_service_pool(service, "inbox") as pool:
        stopped, skipped = await positions.list_stopped(pool), await positions.list_gaps(pool)
    table = Table("reaction", "topic", "partition", "state", "numbers", "offsets", "by", "why")
    for name, at, gap in stopped:
        table.add_row(name, *_partition_cells(at), "stopped", *_gap_cells(gap), "", gap.message)
    for row in skipped:
        numbers = f"{row['from_seq']}–{row['to_seq']}"
        offsets = f"{row['from_offset']}–{row['to_offset']}"
        partition = _partition_cells((row["topic"], row["partition"]))
        accepted = f"{row['accepted_by']} {row['accepted_at']:%F %T}"
        state = f"skipped ({row['kind']})"
        table.add_row(row["reaction"], *partition, state, numbers, offsets, accepted, row["reason"])
    Console().print(table if stopped or skipped else "there are no gaps")
    return 0


async def _skip(
    service: "Service[Any]", name: str, reason: str, topic: str | None, partition: int | None
) -> int:
    if not reason.strip():
        raise typer.BadParameter("say why", param_hint="--reason")
    async with open_service_pool(service, "inbox") as pool:
        chosen = [
            at
            for at in await positions.stopped(pool, name)
            if topic in (None, at[0]) and partition in (None, at[1])
        ]
        skipped = [gap for at in chosen if (gap := await _skip_one(pool, name, at, reason))]
    for gap in skipped:
        Console().print(f"skipped: {gap.message}", markup=False)
    if not skipped:
        Console(stderr=True).print(f"{name} has no such gap", markup=False)
    return 0 if skipped else 1


async def _skip_one(pool: Pool, name: str, at: TopicPartition, reason: str) -> Gap | None:
    user = f"{getpass.getuser()}@{socket.gethostname()}"
    async with pool.acquire() as connection, connection.transaction():
        return await positions.skip(connection, name, at, reason=reason, accepted_by=user)


def _partition_cells(at: TopicPartition) -> tuple[str, str]:
    return at[0], str(at[1])


def _gap_cells(gap: Gap) -> tuple[str, str]:
    first, last = gap.numbers
    return f"{first}–{last}", f"{gap.next_offset}–{gap.offset}"
