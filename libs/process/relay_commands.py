"""The commands of the relay: send a topic again, adopt a log that was loaded from a dump."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from libs.messaging.categories import wire_name
from libs.postgres.pool import Pool
from libs.process.database_command import exit_with, open_service_pool

if TYPE_CHECKING:
    from libs.process.commands import Service

Topics = Annotated[list[str], typer.Argument(help="For example `tillstream.ingest.scan`.")]

POLL_SECONDS: Final = 0.2
LINE_SECONDS: Final = 2.0

_open_pool: Final = partial(
    open_service_pool, purpose="relay commands", statement_timeout=timedelta(0)
)


def relay_commands(service: "Service[Any]") -> typer.Typer:
    """`relay republish | restored`."""
    app = typer.Typer(no_args_is_help=True, help="What is sent to Kafka, and from which log.")

    @app.command("republish")
    def send_again(topics: Topics) -> None:
        """Send topics again from the log, under new incarnations. Safe to repeat or interrupt.

        The leading relay does it, or this command if no relay leads; the rest of the log waits.
        Readers stop at the first record of a new incarnation until it is accepted.
        """
        exit_with(_republish(service, topics))

    @app.command("restored")
    def adopt_log() -> None:
        """Adopt a log that was loaded from a dump. Stop the service's workers before.

        A log restored from a base backup needs it only if the cluster did not change its timeline.
        """
        exit_with(_adopt_log(service))

    return app


async def _republish(service: "Service[Any]", topics: Sequence[str]) -> int:
    # Kafka's client is loaded by this command alone: a process that answers HTTP needs none.
    from libs.messaging import republish
    from libs.messaging.publisher import Publisher
    from libs.messaging.relay import Relay
    from libs.messaging.topics import topic_name

    settings, name = service.read_settings(), wire_name(service.name)
    prefix = topic_name(settings.topic_prefix, f"{name}.")
    if foreign := [topic for topic in topics if not topic.startswith(prefix)]:
        raise typer.BadParameter(
            f"{', '.join(foreign)}: topics of {service.name} begin with {prefix}"
        )
    connect = partial(
        Publisher.connect,
        settings.kafka_bootstrap_servers,
        service=name,
        prefix=settings.topic_prefix,
    )
    async with _open_pool(service, size=2) as pool:
        for topic in topics:
            await republish.request(pool, topic)
        stop, relay = asyncio.Event(), Relay(pool, connect)
        running = asyncio.create_task(relay.run(stop))
        try:
            with _progress_display(topics, Console()) as show:
                await _follow(pool, topics, show)
        finally:
            stop.set()
            await running
    return 0


ShowProgress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with a topic, the number of events sent again, and their total if it is known."""


async def _follow(pool: Pool, topics: Sequence[str], show: ShowProgress) -> None:
    """Show the progress of the topics until all are sent again."""
    from libs.messaging import republish

    totals: dict[str, int | None] = dict.fromkeys(topics)
    while totals:
        for topic, total in [*totals.items()]:
            state = await republish.progress(pool, topic)
            if state is None:
                del totals[topic]
                show(topic, total or 1, total or 1)
            else:
                totals[topic] = state[1]
                show(topic, *state)
        await asyncio.sleep(POLL_SECONDS)


@contextmanager
def _progress_display(topics: Sequence[str], console: Console) -> Iterator[ShowProgress]:
    """Bars at a terminal; otherwise a line per topic every `LINE_SECONDS`."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bars = {topic: progress.add_task(topic, total=None) for topic in topics}
        yield lambda topic, sent, total: progress.update(bars[topic], completed=sent, total=total)


def _lines(console: Console) -> ShowProgress:
    printed_at: dict[str, float] = {}

    def show(topic: str, sent: int, total: int | None) -> None:
        if sent != total and monotonic() - printed_at.get(topic, -inf) < LINE_SECONDS:
            return
        printed_at[topic] = monotonic()
        if sent == total:
            text = "sent again"
        else:
            text = "waits for its turn" if total is None else f"{sent:,} of {total:,} events"
        console.print(f"{topic}: {text}", markup=False)

    return show


async def _adopt_log(service: "Service[Any]") -> int:
    from libs.messaging.loaded_log import adopt_loaded_log

    async with _open_pool(service, as_owner=True) as pool:
        lagging = await adopt_loaded_log(pool)
    console = Console()
    console.print("the log has a new incarnation; its relay sends everything again")
    if lagging:
        console.print(
            f"behind when dumped, so `migrate` must rebuild them: {' '.join(lagging)}", markup=False
        )
    return 0
