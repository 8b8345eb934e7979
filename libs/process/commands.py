"""The commands of every service: run, migrate, rebuild read models, retry what failed."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from libs.errors import Unavailable
from libs.http.app import create_app
from libs.http.health import Check
from libs.http.manifest import encoded, manifest
from libs.jobs import queue
from libs.jobs.table import JobTable
from libs.messaging.categories import wire_name
from libs.messaging.reaction import own_feeds
from libs.postgres.revisions import MigrationFault
from libs.process import maintenance
from libs.process.database_command import exit_with, open_service_pool
from libs.process.inbox_commands import inbox_commands
from libs.process.lifecycle import Task, main, run_until_signal, serve
from libs.process.relay_commands import relay_commands
from libs.process.service import AnySettings, Service, open_app, open_reactions, open_tasks
from libs.process.vault_commands import vault_commands
from libs.settings import describe
from libs.telemetry import logs
from libs.telemetry.traces import Telemetry, set_up

JobTableName = Annotated[str, typer.Argument(help="The table, as `jobs list` shows it.")]
JobKey = Annotated[list[str], typer.Argument(help="The key, as `jobs list` shows it.")]


def command_line(service: Service[AnySettings]) -> typer.Typer:
    """The service as a command-line program, to which it may add its own commands."""
    app = typer.Typer(
        add_completion=False, no_args_is_help=True, help=f"The service {service.name}."
    )
    _add_processes(app, service)
    _add_migrate(app, service)
    _add_check_config(app, service)
    _add_routes(app, service)
    app.add_typer(maintenance.rebuild_commands(service), name="rebuild")
    app.add_typer(maintenance.park_commands(service), name="park")
    app.add_typer(inbox_commands(service), name="inbox")
    app.add_typer(relay_commands(service), name="relay")
    if service.has_vault:
        app.add_typer(vault_commands(service), name="vault")
    if service.job_tables:
        app.add_typer(_job_commands(service), name="jobs")
    return app


def _add_processes(app: typer.Typer, service: Service[AnySettings]) -> None:
    @app.command()
    def api() -> None:
        """Answer HTTP, nothing else."""
        _run(service, {"api"})

    @app.command()
    def worker() -> None:
        """Relay and projections, with health and metrics on a port of their own."""
        _run(service, {"worker"})

    @app.command()
    def run() -> None:
        """API and worker in one process, for small installations."""
        _run(service, {"api", "worker"})


def _add_migrate(app: typer.Typer, service: Service[AnySettings]) -> None:
    @app.command("migrate")
    def migrate_schema(
        rebuild: Annotated[
            bool, typer.Option("--rebuild", help="Rebuild read models that older code filled.")
        ] = False,
    ) -> None:
        """Bring the service's schema up to date; safe to repeat.

        Read models whose position in the log is not known are rebuilt in any case.
        """
        settings = service.read_settings()
        logs.set_up(service.name, settings.log_level)
        # Alembic takes memory that only this command needs.
        from libs.postgres.migrate import migrate

        try:
            migrate(
                service.name,
                settings.database_url.get_secret_value(),
                migrations=service.migrations,
            )
        except MigrationFault as fault:
            raise typer.BadParameter(str(fault)) from fault
        raise typer.Exit(maintenance.rebuild_outdated(service, newer_code=rebuild))


def _add_check_config(app: typer.Typer, service: Service[AnySettings]) -> None:
    @app.command("check-config")
    def check_config() -> None:
        """Show the settings, secrets masked; exits with 2 if the service cannot start."""
        table = Table("setting", "value")
        for name, value in describe(service.read_settings()):
            table.add_row(name, value)
        Console().print(table)


def _add_routes(app: typer.Typer, service: Service[AnySettings]) -> None:
    @app.command()
    def routes() -> None:
        """Print the routes that the gateway publishes: `contracts/routes/<service>.json`."""
        published = service.routers if service.published else ()
        typer.echo(encoded(manifest(published)), nl=False)


def _job_commands(service: Service[Any]) -> typer.Typer:
    """`jobs list | retry | drop`."""
    app = typer.Typer(no_args_is_help=True, help="Jobs and timers that failed too often.")

    @app.command("list")
    def list_parked() -> None:
        """Show every parked job, how often it failed and the last error."""
        exit_with(_list_jobs(service))

    @app.command()
    def retry(table: JobTableName, key: JobKey) -> None:
        """Let the workers try a parked job again."""
        exit_with(_change_job(service, table, key, drop=False))

    @app.command()
    def drop(table: JobTableName, key: JobKey) -> None:
        """Delete a parked job."""
        exit_with(_change_job(service, table, key, drop=True))

    return app


async def _list_jobs(service: Service[Any]) -> int:
    # People copy the keys, so a long one is folded and never cut.
    shown = Table("table", Column("key", overflow="fold"), "failures", "error")
    async with open_service_pool(service, "jobs") as pool:
        for table in service.job_tables:
            for *key, failures, error in await queue.list_parked(pool, table):
                shown.add_row(table.name, " ".join(key), failures, error)
    Console().print(shown if shown.row_count else "nothing is parked")
    return 0


async def _change_job(service: Service[Any], name: str, key: Sequence[str], *, drop: bool) -> int:
    table = _job_table(service, name, key)
    change = queue.drop if drop else queue.retry
    async with open_service_pool(service, "jobs") as pool:
        done = await change(pool, table, key)
    result = "given up" if drop else "will be tried again"
    Console(stderr=not done).print(result if done else "this job is not parked")
    return 0 if done else 1


def _job_table(service: Service[Any], name: str, key: Sequence[str]) -> JobTable[Any]:
    for table in service.job_tables:
        if table.name == name and len(table.key) == len(key):
            return table
    names = ", ".join(f"{one.name} {' '.join(one.key)}".upper() for one in service.job_tables)
    raise typer.BadParameter(f"give one of {names}")


def _run(service: Service[AnySettings], parts: set[str]) -> None:
    settings = service.read_settings()
    logs.set_up(service.name, settings.log_level)
    raise typer.Exit(main(_serve(service, settings, parts)))


async def _serve(service: Service[AnySettings], settings: AnySettings, parts: set[str]) -> int:
    telemetry = set_up(service.name, settings.otlp_endpoint)
    tasks: list[Task] = []
    checks: Mapping[str, Check] = {}
    try:
        async with AsyncExitStack() as stack:
            if "worker" in parts:
                tasks, checks = await _open_worker(service, settings, telemetry, stack)
                tasks += await stack.enter_async_context(open_tasks(service, settings))
            if "api" in parts:
                api = open_app(service, settings, telemetry, checks)
                app, port = await stack.enter_async_context(api), settings.http_port
            else:
                title = f"{service.name} worker"
                app = create_app(title=title, routers=(), deps=None, checks=checks)
                port = settings.worker_http_port
            return await run_until_signal(_http(app, settings.http_host, port), *tasks)
    except Unavailable as error:
        Console(stderr=True).print(f"{service.name} cannot start: {error}", markup=False)
        return 1
    finally:
        await telemetry.stop()


async def _open_worker(
    service: Service[AnySettings],
    settings: AnySettings,
    telemetry: Telemetry,
    stack: AsyncExitStack,
) -> tuple[list[Task], Mapping[str, Check]]:
    """Open relay, projections and reactions on `stack`."""
    # Kafka's client takes memory that a process which only answers HTTP does not need.
    from libs.messaging.reactor import open_reactors
    from libs.messaging.worker import open_worker

    reactions = await stack.enter_async_context(open_reactions(service, settings))
    feeds = own_feeds(wire_name(service.name), reactions)
    worker = await stack.enter_async_context(
        open_worker(
            settings,
            service=service.name,
            projections=[*service.projections(settings), *feeds],
            telemetry=telemetry,
        )
    )
    reactors = await stack.enter_async_context(
        open_reactors(settings, service=service.name, reactions=reactions)
    )
    checks = worker.checks | {f"reaction {one.name}": one.check for one in reactors}
    return [*worker.tasks, *(one.run for one in reactors)], checks


def _http(app: Any, host: str, port: int) -> Task:
    async def http(stop: asyncio.Event) -> None:
        await serve(app, host, port, stop=stop)

    return http
