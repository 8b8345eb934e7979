"""The fault matrix on the command line: `python -m tests.chaos`, behind `make chaos`.

It starts a Postgres and a Kafka of its own in a folder of its own, so whatever else runs on the
machine is left alone. Exit status: 0 if nothing was lost, doubled or disordered and every switched
off guarantee was missed, 1 if not, 130 if it was broken off.
"""

import asyncio
import logging
import random
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.local.interruption import Interruption
from deploy.local.settings import LocalSettings
from deploy.local.trouble import CannotStart
from deploy.local.view import plain_console
from tests.chaos.plan import AWAY_SECONDS
from tests.chaos.report import Line, Report, cells_of, show
from tests.chaos.run import KILL_ROUNDS, BrokenOff, play, unless
from tests.chaos.servers import open_servers

WIDTH = 160


def chaos(
    rounds: Annotated[
        int, typer.Option(envvar="ROUNDS", min=1, help="Kills per place; the rest in proportion.")
    ] = KILL_ROUNDS,
    seed: Annotated[
        int | None, typer.Option(envvar="SEED", help="What strikes when; by default another one.")
    ] = None,
    only: Annotated[
        str, typer.Option(envvar="ONLY", help="Only faults with these words in their names.")
    ] = "",
    away: Annotated[
        float, typer.Option(envvar="AWAY", min=1, help="Seconds for which the broker is away.")
    ] = AWAY_SECONDS,
) -> None:
    """Play the fault matrix and say what became of every event."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console, interruption = plain_console(), Interruption()
    interruption.listen()
    chosen = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    home = Path(tempfile.mkdtemp(prefix="tillstream-chaos-"))
    try:
        console.print(f"Starting Postgres and Kafka below {home}; SEED={chosen} ROUNDS={rounds} …")
        with open_servers(home, hurried=False, tell=console.print) as servers:
            doing = play(
                servers,
                rounds=rounds,
                seed=chosen,
                only=only,
                away=away,
                ended=lambda line: console.print(_line(line)),
            )
            report = asyncio.run(unless(interruption.stopping, doing))
    except CannotStart as trouble:
        console.print(f"Cannot start: {trouble.sentence}\n{trouble.remedy}")
        raise typer.Exit(1) from None
    except BrokenOff:
        shutil.rmtree(home)
        console.print("Broken off.")
        raise typer.Exit(130) from None
    _print(report, console, home)
    raise typer.Exit(0 if report.good else 1)


def _line(line: Line) -> str:
    name, rounds, events, again, lost, doubled, disordered, _, seconds = cells_of(line)
    verdict = "as it must" if line.good else f"WRONG: {'; '.join(line.outcome.complaints)}"
    return (
        f"{name}: {rounds} rounds, {events} events, {again} sent again, {lost} lost, "
        f"{doubled} doubled, {disordered} disordered, {seconds} s: {verdict}"
    )


def _print(report: Report, console: Console, home: Path) -> None:
    if not console.is_terminal:
        # A file has no edge: there a line is as long as it has to be.
        console.width = WIDTH
    show(report, console)
    file = LocalSettings.from_env().home / "chaos.json"
    report.write(file)
    console.print(f"The same is in {file}.")
    if report.good:
        shutil.rmtree(home)
    else:
        console.print(f"What the children said is in {home / 'chaos'}.")


if __name__ == "__main__":
    typer.run(chaos)
