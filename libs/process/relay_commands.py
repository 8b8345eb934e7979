"""The commands of the relay: send a topic again, and begin anew with a log loaded from a dump."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from libs.errors import Unavailable
from libs.messaging.categories import spelled
from libs.postgres.pool import SYSTEM, Pool, open_pool
from libs.postgres.rls import application_role

if TYPE_CHECKING:
    from libs.process.commands import Service

Topics = Annotated[list[str], typer.Argument(help="For example `tillstream.ingest.scan`.")]

POLL_SECONDS: Final = 0.2


def relay_commands(service: "Service[Any]") -> typer.Typer:
    """`relay republish | restored`."""
    app = typer.Typer(no_args_is_help=True, help="What is sent to Kafka, and from which log.")

    @app.command("republish")
    def send_again(topics: Topics) -> None:
        """Send topics again from the log, under new incarnations. Safe to repeat or break off.

        The relay that leads does it, or this command if none does; the rest of the log waits.
        Readers stop at the first record of a new incarnation until it is accepted.
        """
        _exit(_republish(service, topics))

    @app.command()
    def restored() -> None:
        """Begin anew with a log loaded from a dump. Stop the service's workers before.

        A log restored from a base backup needs it only if the cluster did not change its timeline.
        """
        _exit(_restored(service))

    return app


def _exit(program: Coroutine[Any, Any, int]) -> None:
    try:
        status = asyncio.run(program)
    except Unavailable as error:
        Console(stderr=True).print(str(error), markup=False)
        status = 1
    raise typer.Exit(status)


async def _republish(service: "Service[Any]", topics: Sequence[str]) -> int:
    # Kafka's client is loaded by this command alone: a process that answers HTTP needs none.
    from libs.messaging import republish
    from libs.messaging.publisher import Publisher
    from libs.messaging.relay import Relay
    from libs.messaging.topics import topic_name

    settings, name = service.read_settings(), spelled(service.name)
    ours = topic_name(settings.topic_prefix, f"{name}.")
    if strange := [topic for topic in topics if not topic.startswith(ours)]:
        raise typer.BadParameter(
            f"{', '.join(strange)}: topics of {service.name} begin with {ours}"
        )
    connect = partial(
        Publisher.connect,
        settings.kafka_bootstrap_servers,
        service=name,
        prefix=settings.topic_prefix,
    )
    async with _pool(service, application_role(service.name), size=2) as pool:
        for topic in topics:
            await republish.request(pool, topic)
        stop, relay = asyncio.Event(), Relay(pool, connect)
        running = asyncio.create_task(relay.run(stop))
        try:
            await _show_progress(pool, topics)
        finally:
            stop.set()
            await running
    return 0


async def _show_progress(pool: Pool, topics: Sequence[str]) -> None:
    """Bars that grow until all topics are sent again."""
    from libs.messaging import republish

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console()) as progress:
        bars = {topic: progress.add_task(topic, total=None) for topic in topics}
        while bars:
            for topic, bar in [*bars.items()]:
                at = await republish.progress(pool, topic)
                if at is None:
                    progress.update(bars.pop(topic), completed=1, total=1)
                else:
                    progress.update(bar, completed=at[0], total=at[1] or None)
            await asyncio.sleep(POLL_SECONDS)


async def _restored(service: "Service[Any]") -> int:
    from libs.process.restored import adopt_loaded_log

    async with _pool(service, None, size=1) as pool:
        behind = await adopt_loaded_log(pool)
    console = Console()
    console.print("the log has a new incarnation; its relay sends everything again")
    if behind:
        console.print(
            f"behind when dumped, so `migrate` must rebuild them: {' '.join(behind)}", markup=False
        )
    return 0


@asynccontextmanager
async def _pool(service: "Service[Any]", role: str | None, *, size: int) -> AsyncIterator[Pool]:
    pool = await open_pool(
        service.read_settings().database_url.get_secret_value(),
        role=role,
        schema=service.name,
        size=size,
        application_name=f"{service.name} relay commands",
        tenant_scope=SYSTEM,
        statement_timeout=timedelta(0),
    )
    try:
        yield pool
    finally:
        await pool.close()
