"""The commands that look after what a reaction could not do."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

from libs.clock import utc_now
from libs.errors import Unavailable
from libs.messaging import inbox
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role

if TYPE_CHECKING:
    from libs.process.commands import Service

Name = Annotated[str, typer.Argument(help="The reaction's name.")]
Tenant = Annotated[str, typer.Argument(help="The tenant, as `inbox list` shows it.")]
Fact = Annotated[UUID, typer.Argument(help="The fact, as `inbox list` shows it.")]


def inbox_commands(service: "Service[Any]") -> typer.Typer:
    """`inbox list | retry | drop`."""
    app = typer.Typer(no_args_is_help=True, help="Facts about which a reaction could do nothing.")

    @app.command("list")
    def list_parked() -> None:
        """Show every parked fact, and why."""
        _answer(_list_parked(service))

    @app.command()
    def retry(name: Name, tenant: Tenant, fact: Fact) -> None:
        """Have it done again, by the worker."""
        _answer(_decide(service, name, tenant, fact, drop=False))

    @app.command()
    def drop(name: Name, tenant: Tenant, fact: Fact) -> None:
        """Give it up, so that those behind it go on."""
        _answer(_decide(service, name, tenant, fact, drop=True))

    return app


def _answer(program: Coroutine[Any, Any, int]) -> None:
    try:
        status = asyncio.run(program)
    except Unavailable as error:
        Console(stderr=True).print(str(error), markup=False)
        status = 1
    raise typer.Exit(status)


async def _list_parked(service: "Service[Any]") -> int:
    async with _pool(service) as pool:
        found = await inbox.list_parked(pool)
    # Ids are to be copied, so they may break over lines but are never cut.
    whole = Column("fact", overflow="fold")
    table = Table("reaction", "tenant", whole, "subject", "tries", "since", "why")
    for one in found:
        place = (one["reaction"], one["tenant"], str(one["event_id"]), one["subject"])
        table.add_row(*place, str(one["attempts"]), f"{one['parked_at']:%F %T}", one["error"])
    Console().print(table if found else "nothing is parked")
    return 0


async def _decide(
    service: "Service[Any]", name: str, tenant: str, fact: UUID, *, drop: bool
) -> int:
    async with _pool(service) as pool:
        if drop:
            done = await inbox.drop(pool, name, tenant, fact, utc_now())
        else:
            done = await inbox.retry(pool, name, tenant, fact)
    Console(stderr=not done).print("so be it" if done else "this fact is not parked")
    return 0 if done else 1


@asynccontextmanager
async def _pool(service: "Service[Any]") -> AsyncIterator[Pool]:
    pool = await open_pool(
        service.read_settings().database_url.get_secret_value(),
        role=application_role(service.name),
        schema=service.name,
        size=1,
        application_name=f"{service.name} inbox",
        tenant_scope=SYSTEM,
    )
    try:
        yield pool
    finally:
        await pool.close()
