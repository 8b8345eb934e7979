"""How commands that work on a service's database run, and the status they exit with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, NoReturn, TypeAlias

import typer
from rich.console import Console

from libs.errors import Refused, Unavailable
from libs.postgres.pool import STATEMENT_TIMEOUT, SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role
from libs.process.service import Service, open_service_context
from libs.telemetry.traces import set_up

Faults: TypeAlias = Mapping[type[Exception], str]
"""The errors that are printed as one sentence, each with how the sentence begins."""

AWAY: Final[Faults] = {Unavailable: ""}
REFUSED: Final[Faults] = {Refused: "", **AWAY}


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


def run_command(
    service: Service[Any], work: Callable[[Any], Coroutine[Any, Any, int | None]]
) -> NoReturn:
    """Run `work` with what the routes of the service receive, and exit with the status it returns.

    A refusal, or a database that is away, is printed as one sentence and exits with 1.
    """

    async def run() -> int:
        async with open_command_context(service) as context:
            return await work(context) or 0

    exit_with(run(), REFUSED)


@asynccontextmanager
async def open_command_context(service: Service[Any]) -> AsyncIterator[Any]:
    """As `open_service_context`, with settings and telemetry of its own. Raises Unavailable."""
    settings = service.read_settings()
    telemetry = set_up(service.name, settings.otlp_endpoint)
    try:
        async with open_service_context(service, settings, telemetry) as context:
            yield context
    finally:
        await telemetry.stop()


@asynccontextmanager
async def open_service_pool(
    service: Service[Any],
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
