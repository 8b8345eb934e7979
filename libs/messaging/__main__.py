"""`python -m libs.messaging topics`: create the declared topics."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from libs.messaging.topics import DECLARED, TopicMismatch, ensure_topics, read_topics

app = typer.Typer(add_completion=False, help="Commands for Kafka as a whole.")


@app.callback()
def main() -> None:
    """Commands for Kafka as a whole."""


@app.command()
def topics(
    file: Annotated[Path, typer.Option(help="The declared topics.")] = DECLARED,
    replicas: Annotated[int, typer.Option(help="Copies of every partition.")] = 1,
) -> None:
    """Create the declared topics that are missing; safe to repeat."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    prefix = os.environ.get("TILLSTREAM_TOPIC_PREFIX", "tillstream")
    specs = read_topics(file)
    try:
        created = asyncio.run(ensure_topics(bootstrap, prefix, specs, replicas=replicas))
    except TopicMismatch as mismatch:
        raise typer.BadParameter(str(mismatch)) from mismatch
    Console().print(f"{len(created)} topics created, {len(specs) - len(created)} were there")


if __name__ == "__main__":
    app()
