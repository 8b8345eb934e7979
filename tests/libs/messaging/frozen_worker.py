"""A worker that stops itself in the middle of a reaction, like a frozen machine."""

import asyncio
import os
import signal
import sys
from typing import Any

import asyncpg

from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.reaction import Reaction, Schedule
from libs.testing.clock import NOON
from tests.libs.messaging.lab import CODEC

SEEN = "CREATE TABLE seen (by text NOT NULL)"


class Frozen(InboxWorker[Any]):
    """Stops after it has claimed a message and before it reacts."""

    async def _react(self, message: Any) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        await super()._react(message)


async def see(connection: Any, _: Any) -> None:
    await connection.execute("INSERT INTO seen VALUES ('the frozen one')")


async def main(database: str) -> None:
    reaction: Reaction[Any] = Reaction(
        name="deeds",
        topics=("lab.order",),
        codec=CODEC,
        schedule_of=lambda _: Schedule("all", NOON),
        react_in_transaction=see,
    )
    async with asyncpg.create_pool(database, min_size=0, max_size=2) as pool:
        assert await Frozen(pool, reaction).react() == 1


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
