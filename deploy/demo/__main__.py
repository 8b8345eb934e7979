"""The simulated day on the command line: `python -m deploy.demo`, behind `make demo`.

Without a command it starts the platform first and keeps it up afterwards; `day` plays against a
platform that runs somewhere. Exit status: 0 if everything agreed, 1 if not or if it could not be
found out, 130 if it was broken off.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from deploy.demo.dashboard import NoAnswer
from deploy.demo.day import Address, ConcurrentWork, Manner, no_concurrent_work
from deploy.demo.house import (
    address_in,
    follow,
    keep_waiting,
    new_day,
    open_house,
    work_in,
)
from deploy.demo.play import GaveUp
from deploy.local.settings import LocalSettings
from deploy.local.stack import AlreadyRunning
from deploy.local.trouble import CannotStart, Interrupted
from deploy.local.view import plain_console

SEED, SPEED, OPERATORS, PATIENCE, LAG = 7, 14000.0, 6, 300.0, 30.0

app = typer.Typer(help=__doc__, add_completion=False, invoke_without_command=True)
console = plain_console()

Seed = Annotated[int, typer.Option(envvar="SEED", help="What happens follows from it.")]
Speed = Annotated[
    float, typer.Option(envvar="SPEED", min=0.1, help="Simulated seconds per second.")
]
Operators = Annotated[int, typer.Option(envvar="OPERATORS", min=1, max=100)]
EndsAt = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"], help="UTC; default now."),
]
PatienceOption = Annotated[
    float, typer.Option(envvar="PATIENCE", min=1, help="Seconds an outage may last.")
]
Lag = Annotated[
    float, typer.Option(envvar="LAG", min=0, help="Seconds the dashboards may lag behind.")
]


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Turn what went wrong into a sentence and an exit status."""
    try:
        yield
    except CannotStart as trouble:
        console.print(f"Cannot go on: {trouble.sentence}\n{trouble.remedy}")
        raise typer.Exit(1) from None
    except (NoAnswer, GaveUp) as trouble:
        console.print(f"The day could not be brought to its end: {trouble}")
        raise typer.Exit(1) from None
    except (Interrupted, KeyboardInterrupt):
        console.print("Broken off.")
        raise typer.Exit(130) from None


@app.callback()
def demo(
    context: typer.Context,
    seed: Seed = SEED,
    speed: Speed = SPEED,
    operators: Operators = OPERATORS,
    ends_at: EndsAt = None,
    patience: PatienceOption = PATIENCE,
    lag: Lag = LAG,
    once: Annotated[bool, typer.Option("--once", envvar="ONCE")] = False,
) -> None:
    """Start the platform, play a day on it, compare, and stay up until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    manner = Manner(speed=speed, patience=patience, lag=lag)
    with in_plain_words():
        settings = LocalSettings.from_env(profile="demo")
        try:
            agrees = open_house(
                settings,
                manner,
                console,
                seed=seed,
                operators=operators,
                ends_at=_utc(ends_at),
                once=once,
            )
        except AlreadyRunning as running:
            address = address_in(running.runtime)
            console.print(f"It runs already; the day is played at {address.url}.")
            work_of = work_in(running.runtime, settings.home, address.url, manner, seed=seed)
            agrees = _play(
                address, manner, seed=seed, operators=operators, ends_at=ends_at, work_of=work_of
            )
    raise typer.Exit(0 if agrees else 1)


@app.command()
def day(
    gateway: Annotated[str, typer.Option(help="For example http://127.0.0.1:8080")],
    key_file: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Its API key.")],
    seed: Seed = SEED,
    speed: Speed = SPEED,
    operators: Operators = OPERATORS,
    ends_at: EndsAt = None,
    patience: PatienceOption = PATIENCE,
    lag: Lag = LAG,
) -> None:
    """Play a day against a platform that runs already, and compare."""
    address = Address(url=gateway, key=key_file.read_text().strip())
    manner = Manner(speed=speed, patience=patience, lag=lag)
    with in_plain_words():
        agrees = _play(address, manner, seed=seed, operators=operators, ends_at=ends_at)
    raise typer.Exit(0 if agrees else 1)


def _play(
    address: Address,
    manner: Manner,
    *,
    seed: int,
    operators: int,
    ends_at: datetime | None,
    work_of: Callable[[str], ConcurrentWork] = lambda _: no_concurrent_work,
) -> bool:
    chosen = new_day(
        address,
        manner,
        console,
        seed=seed,
        operators=operators,
        ends_at=_utc(ends_at),
        work_of=work_of,
    )
    verdict = follow(chosen, console, keep_waiting)
    return verdict is not None and verdict.agrees


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


if __name__ == "__main__":
    app()
