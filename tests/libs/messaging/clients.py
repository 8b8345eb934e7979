"""Clients that append, again and again, what follows from their number and the seed alone.

A client sends its commands one after the other; whoever goes on for it begins with the first that
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
from tests.libs.messaging.lab import Numbered, insist

STREAMS: Final = 12
MOST_EVENTS: Final = 3
PAUSE_SECONDS: Final = 0.03
"""The longest pause of a client between two commands."""
_COMMANDS: Final = UUID(int=0xC4A05)


@dataclass(frozen=True, slots=True)
class Command:
    """Append these values, which nobody else uses, to a stream that everybody uses."""

    id: UUID
    stream: str
    values: tuple[int, ...]


def command_of(seed: int, client: int, number: int) -> Command:
    """The `number`-th command of a client, the same for the same three numbers."""
    dice = random.Random(f"{seed}/{client}/{number}")
    first = client * 10_000_000 + number * 10
    return Command(
        id=uuid5(_COMMANDS, f"{seed}/{client}/{number}"),
        stream=f"order-{dice.randrange(STREAMS)}",
        values=tuple(range(first, first + dice.randint(1, MOST_EVENTS))),
    )


def ack_of(command: Command, version: int) -> Ack:
    """What the client may say it was told."""
    return Ack(command.stream, command.values, version)


async def keep_appending(
    store: EventStore[Any],
    seed: int,
    client: int,
    *,
    first: int,
    told: Callable[[int, int, int], None],
    stop: asyncio.Event,
) -> None:
    """Send commands from the `first` on until `stop`; `told` hears client, number and version."""
    dice, number = random.Random(f"{seed}/{client}"), first
    while not stop.is_set():
        command = command_of(seed, client, number)
        events = [*map(Numbered, command.values)]
        told(client, number, (await insist(store, command.stream, events, command.id)).version)
        number += 1
        await asyncio.sleep(dice.random() * PAUSE_SECONDS)
