"""The commands for messages a reaction could not work off, records it could not read, and gaps."""

import getpass
import socket
from collections.abc import Sequence
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
    app = typer.Typer(no_args_is_help=True, help="What reactions could not do, or not read.")

    @app.command("list")
    def list_waiting(
        waiting_longer_than: Annotated[
            float, typer.Option(help="Show also what has been due for so many seconds.")
        ] = WAITING_SECONDS,
    ) -> None:
        """Show parked messages, and those that have been retried or waiting for long."""
        exit_with(_list_waiting(service, timedelta(seconds=waiting_longer_than)))

    @app.command()
    def retry(name: Name, tenant: Tenant, event_id: EventId) -> None:
        """Let the worker try a parked message again."""
        exit_with(_decide(service, name, tenant, event_id, drop=False))

    @app.command()
    def drop(name: Name, tenant: Tenant, event_id: EventId) -> None:
        """Give a parked message up, so that those behind it go on."""
        exit_with(_decide(service, name, tenant, event_id, drop=True))

    @app.command()
    def gaps() -> None:
        """Show gaps that hold a reaction up, and those that were skipped, by whom and why."""
        exit_with(_list_gaps(service))

    @app.command("skip-gap")
    def skip_gap(
        name: Name,
        reason: Annotated[str, typer.Option(help="Why what is missing need not come.")],
        topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None,
        partition: Annotated[int | None, typer.Option(help="Only of this partition.")] = None,
    ) -> None:
        """Go on behind what is missing, or with another incarnation of the log; it is recorded."""
        exit_with(_skip(service, name, reason, topic, partition))

    return app


async def _list_waiting(service: "Service[Any]", longer_than: timedelta) -> int:
    async with open_service_pool(service, "inbox") as pool:
        rows = await inbox.list_waiting(pool, longer_than=longer_than)
    # Ids are to be copied, so they may break over lines but are never cut.
    whole = Column("event", overflow="fold")
    table = Table("reaction", "tenant", whole, "ordering key", "state", "tries", "since", "error")
    for row in rows:
        key = (row["reaction"], row["tenant"], str(row["event_id"]), row["subject"])
        state = "parked" if row["parked"] else "waiting"
        since = f"{row['since']:%F %T}"
        table.add_row(*key, state, str(row["attempts"]), since, row["error"] or "")
    Console().print(table if rows else "nothing is parked, nothing waits for long")
    return 0


async def _decide(
    service: "Service[Any]", name: str, tenant: str, event_id: UUID, *, drop: bool
) -> int:
    decide = inbox.drop if drop else inbox.retry
    async with open_service_pool(service, "inbox") as pool:
        done = await decide(pool, name, tenant, event_id)
    verdict = "given up" if drop else "will be tried again"
    Console(stderr=not done).print(verdict if done else "this message is not parked")
    return 0 if done else 1


async def _list_gaps(service: "Service[Any]") -> int:
    async with open_service_pool(service, "inbox") as pool:
        stopped, skipped = await positions.list_stopped(pool), await positions.list_gaps(pool)
    table = Table("reaction", "topic", "partition", "state", "numbers", "offsets", "by", "why")
    for name, at, gap in stopped:
        table.add_row(name, *_place(at), "stopped", *_missing(gap), "", gap.message)
    for row in skipped:
        numbers = f"{row['from_seq']}–{row['to_seq']}"
        offsets = f"{row['from_offset']}–{row['to_offset']}"
        where = _place((row["topic"], row["partition"]))
        who = f"{row['accepted_by']} {row['accepted_at']:%F %T}"
        state = f"skipped ({row['kind']})"
        table.add_row(row["reaction"], *where, state, numbers, offsets, who, row["reason"])
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
            for at in await _stopped(pool, name)
            if topic in (None, at[0]) and partition in (None, at[1])
        ]
        skipped = [gap for at in chosen if (gap := await _skip_one(pool, name, at, reason))]
    for gap in skipped:
        Console().print(f"skipped: {gap.message}", markup=False)
    if not skipped:
        Console(stderr=True).print(f"{name} has no such gap", markup=False)
    return 0 if skipped else 1


async def _stopped(pool: Pool, name: str) -> Sequence[TopicPartition]:
    async with pool.acquire() as connection:
        return list(await positions.stopped(connection, name))


async def _skip_one(pool: Pool, name: str, at: TopicPartition, reason: str) -> Gap | None:
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    async with pool.acquire() as connection, connection.transaction():
        return await positions.skip(connection, name, at, reason=reason, accepted_by=who)


def _place(at: TopicPartition) -> tuple[str, str]:
    return at[0], str(at[1])


def _missing(gap: Gap) -> tuple[str, str]:
    first, last = gap.numbers
    return f"{first}–{last}", f"{gap.next_offset}–{gap.offset}"
