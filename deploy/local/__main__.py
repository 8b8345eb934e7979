"""The commands behind `make up`, `down`, `status`, `reset`: `python -m deploy.local <command>`."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import typer

from deploy.local import jars
from deploy.local.interruption import Interruption
from deploy.local.report import running_lines
from deploy.local.runtime import lock_file, only_one, process_of, read_runtime, stop_leftovers
from deploy.local.settings import LocalSettings
from deploy.local.stack import AlreadyRunning, Stack
from deploy.local.status import show_status
from deploy.local.trouble import CannotStart, Interrupted
from deploy.local.view import plain_console, watch

# Longer than a supervisor may take to stop.
DOWN_SECONDS = 40.0

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True)
console = plain_console()


@contextmanager
def in_plain_words() -> Iterator[None]:
    """Turn what went wrong into a sentence and an exit status."""
    try:
        yield
    except CannotStart as trouble:
        console.print(f"Cannot go on: {trouble.sentence}\n{trouble.remedy}")
        raise typer.Exit(1) from None
    except Interrupted:
        console.print("Stopped before everything was up.")
        raise typer.Exit(130) from None
    except AlreadyRunning as running:
        for line in running_lines(running.runtime):
            console.print(line)


@app.command()
def up() -> None:
    """Start everything and keep it running until Ctrl-C."""
    # A client that meets a server which is still starting is no news to the person watching.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    interruption = Interruption()
    with in_plain_words():
        settings = LocalSettings.from_env()
        interruption.listen()
        with Stack(settings, tell=console.print, interruption=interruption) as stack:
            stack.up()
            console.print(f"Everything is up: {stack.gateway_url}  (Ctrl-C stops it)")
            if settings.profile == "test":
                console.print("Profile test: no rate limits; +77011234567 logs in with 123456.")
            watch(stack, console)
            console.print("Stopping …")
        console.print(f"Everything has stopped. What was stored is kept in {settings.home}.")


@app.command()
def down() -> None:
    """Stop everything that was started from this folder, wherever it was started."""
    with in_plain_words():
        _stop(LocalSettings.from_env())


@app.command()
def status() -> None:
    """What runs, where, and how much memory it takes."""
    with in_plain_words():
        settings = LocalSettings.from_env()
        show_status(read_runtime(settings.home), console)


@app.command()
def reset() -> None:
    """Stop everything and wipe what was stored."""
    with in_plain_words():
        settings = LocalSettings.from_env()
        if not settings.home.exists():
            console.print("There is nothing to wipe.")
            return
        if not lock_file(settings.home).exists():
            raise CannotStart(
                f"{settings.home} was not made by `make up`, so it is left alone.",
                remedy="Remove it by hand if you are sure.",
            )
        _stop(settings)
        shutil.rmtree(settings.home)
        console.print(f"Wiped {settings.home}.")


@app.command(hidden=True)
def lock_jars() -> None:
    """Resolve Kafka's jars afresh and write deploy/kafka/jars.lock."""
    with in_plain_words():
        jars.write_lock(console.print)


def _stop(settings: LocalSettings) -> None:
    runtime = read_runtime(settings.home) or {}
    supervisor = process_of(runtime.get("supervisor", {}))
    if supervisor is not None:
        console.print("Stopping …")
        supervisor.terminate()
        try:
            supervisor.wait(DOWN_SECONDS)
        except psutil.TimeoutExpired:
            supervisor.kill()
    with only_one(settings.home) as alone:
        if not alone:
            raise CannotStart(
                "Another terminal is just starting the installation.",
                remedy="Press Ctrl-C there, or wait until it is up and run the command again.",
            )
        left = stop_leftovers(settings.home)
    what = "Everything has stopped." if supervisor or left else "Nothing was running."
    console.print(what)


if __name__ == "__main__":
    app()
