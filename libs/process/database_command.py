"""Helpers of commands that work on a service's database."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

from libs.errors import Unavailable
from libs.postgres.pool import STATEMENT_TIMEOUT, SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role

if TYPE_CHECKING:
    from libs.process.commands import Service


def exit_with(program: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a program and exit with its status; if the database is away, print so and exit with 1."""
    try:
        status = asyncio.run(program)
    except Unavailable as error:
        Console(stderr=True).print(str(error), markup=False)
        status = 1
    raise typer.Exit(status)


@asynccontextmanager
async def open_service_pool(
    service: "Service[Any]",
    purpose: str,
    *,
    size: int = 1,
    as_owner: bool = False,
    statement_timeout: timedelta = STATEMENT_TIMEOUT,
) -> AsyncIterator[Pool]:
    """A pool that sees all tenants, with the rights of the service's processes.

    With `as_owner` it has the rights of the login itself: only the owner may create and move
    tables. Raises Unavailable.
    """
    pool = await open_pool(
        service.read_settings().database_url.get_secret_value(),
        role=None if as_owner else application_role(service.name),
        schema=service.name,
        size=size,
        application_name=f"{service.name} {purpose}",
        tenant_scope=SYSTEM,
        statement_timeout=statement_timeout,
    )
    try:
        yield pool
    finally:
        await pool.close()
