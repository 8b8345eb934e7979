"""Clients that append commands determined by their number and the seed.

A client sends its commands one after the other. Its successor starts with the first command that
was not acknowledged, under the same id.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from libs.eventsourcing.store import EventStore
from tests.libs.messaging.history import Ack
from tests.libs.messaging.lab import Numbered, append_with_retries

STREAMS: Final = 12
MOST_EVENTS: Final = 3
PAUSE_SECONDS: Final = 0.03
"""The longest pause of a client between two commands."""
_COMMANDS: Final = UUID(int=0xC4A05)


@dataclass(frozen=True, slots=True)
class Command:
    """Append these unique values to a shared stream."""

    id: UUID
    stream: str
    values: tuple[int, ...]


def command_of(seed: int, client: int, number: int) -> Command:
    """The `number`-th command of a client, determined by the arguments."""
    dice = random.Random(f"{seed}/{client}/{number}")
    first = client * 10_000_000 + number * 10
    return Command(
        id=uuid5(_COMMANDS, f"{seed}/{client}/{number}"),
        stream=f"order-{dice.randrange(STREAMS)}",
        values=tuple(range(first, first + dice.randint(1, MOST_EVENTS))),
    )


def ack_of(command: Command, version: int) -> Ack:
    """The acknowledgement of the command at this version."""
    return Ack(command.stream, command.values, version)


async def append_commands(
    store: EventStore[Any],
    seed: int,
    client: int,
    *,
    first: int,
    on_ack: Callable[[int, int, int], None],
    stop: asyncio.Event,
) -> None:
    """Send commands from the `first` on until `stop`; `on_ack` gets client, number and version."""
    dice, number = random.Random(f"{seed}/{client}"), first
    while not stop.is_set():
        command = command_of(seed, client, number)
        events = [*map(Numbered, command.values)]
        on_ack(
            client,
            number,
            (await append_with_retries(store, command.stream, events, command.id)).version,
        )
        number += 1
        await asyncio.sleep(dice.random() * PAUSE_SECONDS)
