"""What may be switched off or made harder in a child: guarantees by name, and hardships.

A patch changes the code of the process it is applied in and is never taken back, so only children
that are thrown away apply any.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer

from libs.eventsourcing import statements
from libs.eventsourcing.rows import recorded_event
from libs.messaging import checkpoints, consumption, sift, ticks
from libs.messaging.consumption import Consumption
from libs.messaging.publisher import Lane
from libs.messaging.relay import Relay
from libs.messaging.tail import Difference, Page, current
from libs.messaging.ticks import Tick

ANYHOW: Final = "WHERE $1::bigint IS NOT NULL AND $2::bigint IS NOT NULL"
LOOKUP_SECONDS: Final = 0.7


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"{old!r} is not what is written there any more"
    return text.replace(old, new)


def leader_lock() -> None:
    """Every relay believes that it leads."""

    @asynccontextmanager
    async def leadership(self: Any, stop: asyncio.Event) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection:
            self.progress.leading = True
            yield connection

    Relay._leadership = leadership  # type: ignore[method-assign]


def tick_compare() -> None:
    """Ticks are written whoever leads and whatever stands there."""
    ticks._SAVE = _replaced(  # type: ignore[misc]
        ticks._SAVE, "WHERE epoch = $1 AND tick = $2 AND confirmed", ANYHOW
    )
    ticks._CONFIRM = _replaced(  # type: ignore[misc]
        ticks._CONFIRM, "WHERE epoch = $1 AND tick = $2 AND NOT confirmed", ANYHOW
    )


def tick_saved_first() -> None:
    """A tick is written down when Kafka has it, not before it is sent."""
    save, confirm = ticks.save, ticks.confirm

    async def save_nothing(connection: Any, tick: Tick) -> None:
        return

    async def save_and_confirm(connection: Any, tick: Tick, heads: Mapping[Lane, int]) -> Tick:
        await save(connection, tick)
        return await confirm(connection, tick, heads)

    ticks.save, ticks.confirm = save_nothing, save_and_confirm


def snapshot_difference() -> None:
    """The log is followed by position, as everybody tries first."""
    query = (
        f"SELECT {statements.COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT 50"
    )

    async def next_page(self: Any, connection: Any, tick: Tick, seen: Any) -> Page:
        after = tick.until_position
        rows = await connection.fetch(query, after)
        news = Difference(tick.target, await current(connection))
        return Page(news, after, [recorded_event(row) for row in rows], last=True)

    Relay._next_page = next_page  # type: ignore[method-assign]


def checkpoint_lock() -> None:
    """Nobody waits for another's batch."""
    checkpoints._LOCK = _replaced(  # type: ignore[misc]
        checkpoints._LOCK, "FOR NO KEY UPDATE OF c FOR SHARE OF g", ""
    )


def checkpoint_compare() -> None:
    """The checkpoint is moved from wherever it stands."""
    checkpoints._MOVE = _replaced(  # type: ignore[misc]
        checkpoints._MOVE, "AND c.next_offset = moved.old_offset", ""
    )


def chain() -> None:
    """What is missing before a record is not asked."""
    sift._missing = lambda *_: None


def pause_first() -> None:
    """Records are handed out while the checkpoints are still being looked up."""
    AIOKafkaConsumer.pause = lambda *_: None


def event_ids() -> None:
    """Nobody looks whether an event is in the log already."""
    nothing = "WHERE event_id", "WHERE false AND event_id"
    statements.KNOWN = _replaced(statements.KNOWN, *nothing)  # type: ignore[misc]
    statements.STANDING = _replaced(statements.STANDING, *nothing)  # type: ignore[misc]


def versions() -> None:
    """Two events of a stream may bear the same version: see SCHEMA."""


def slow_lookup() -> None:
    """Finding the checkpoints takes long."""
    find = Consumption._go_to_checkpoints

    async def slowly(self: Any, lanes: Any) -> None:
        await asyncio.sleep(LOOKUP_SECONDS)
        await find(self, lanes)

    Consumption._go_to_checkpoints = slowly  # type: ignore[method-assign]


def failing_lookup() -> None:
    """Finding the checkpoints fails every other time."""
    find, dice = Consumption._go_to_checkpoints, random.Random(1)

    async def seldom(self: Any, lanes: Any) -> None:
        await asyncio.sleep(LOOKUP_SECONDS / 7)
        if dice.random() < 0.5:
            raise asyncpg.InterfaceError("looked in vain")
        await find(self, lanes)

    Consumption._go_to_checkpoints = seldom  # type: ignore[method-assign]


def mad_clock() -> None:
    """The clock jumps by up to a day, both ways."""
    dice = random.Random(2)

    def jumping() -> int:
        return time.time_ns() + dice.randint(-86_400, 86_400) * 10**9

    consumption.time_ns = jumping  # type: ignore[attr-defined]


_GUARANTEES: Final = (
    *(leader_lock, tick_compare, tick_saved_first, snapshot_difference, checkpoint_lock),
    *(checkpoint_compare, chain, pause_first, event_ids, versions),
)
_HARDSHIPS: Final = (slow_lookup, failing_lookup, mad_clock)
PATCHES: Final[Mapping[str, Callable[[], None]]] = {
    made.__name__.replace("_", " "): made for made in (*_GUARANTEES, *_HARDSHIPS)
}

SCHEMA: Final[Mapping[str, str]] = {
    "event ids": "ALTER TABLE events DROP CONSTRAINT events_event_id_key",
    "versions": "DROP INDEX events_stream_version",
}
"""What must be taken from the database to switch a guarantee off."""


def patch(names: Sequence[str]) -> None:
    """Apply the named patches to this process, for good."""
    for name in names:
        PATCHES[name]()
