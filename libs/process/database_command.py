"""Helpers of commands that work on a service's database."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import typer
from rich.console import Console

from libs.errors import Unavailable
from libs.postgres.pool import STATEMENT_TIMEOUT, SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role

if TYPE_CHECKING:
    from libs.process.service import Service


Faults: TypeAlias = Mapping[type[Exception], str]
"""The errors that are printed as one sentence, each with how the sentence begins."""

AWAY: Final[Faults] = {Unavailable: ""}


def status_of(program: Coroutine[Any, Any, int], faults: Faults = AWAY) -> int:
    """Run a program. Returns its exit status, or 1 after printing one of `faults`."""
    try:
        return asyncio.run(program)
    except tuple(faults) as error:
        beginning = next(faults[kind] for kind in faults if isinstance(error, kind))
        Console(stderr=True).print(f"{beginning}{error}", markup=False)
        return 1


def exit_with(program: Coroutine[Any, Any, int], faults: Faults = AWAY) -> NoReturn:
    """Run a program and exit with its status, as `status_of`."""
    raise typer.Exit(status_of(program, faults))


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
