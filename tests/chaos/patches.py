"""What may be switched off or made harder in a child: guarantees by name, and hardships.

A patch changes the code of the process it is applied in and is never taken back, so only children
that are thrown away apply any.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from libs.eventsourcing import insertion
from libs.eventsourcing.rows import COLUMNS, TEXT_COLUMNS, recorded_events
from libs.eventsourcing.tail import Cursor, Page, PageOf, current, read_page
from libs.messaging import dedup, inbox, inbox_feed, relay, relay_batch
from libs.messaging.batch_sender import BatchSender
from libs.messaging.dedup import Chain, Link, NewRecord
from libs.messaging.inbox_worker import InboxWorker
from libs.messaging.relay import Relay
from libs.messaging.relay_batch import BatchTable, Heads, RelayBatch
from libs.projections import apply, checkpoints, follower, membership

ANYHOW: Final = "WHERE $1::bigint IS NOT NULL AND $2::bigint IS NOT NULL"


def _replaced(text: str, old: str, new: str) -> str:
    """The text with `new` for `old`. Raises AssertionError unless it occurs once."""
    times = text.count(old)
    assert times == 1, f"{old!r} occurs {times} times"
    return text.replace(old, new)


def _set(where: Any, name: str, value: Any) -> None:
    """Replace a definition of a module or class. Raises AssertionError if there is none."""
    assert name in vars(where), f"{where.__name__} does not define or import {name}"
    setattr(where, name, value)


def leader_lock() -> None:
    """Every relay believes that it leads."""

    @asynccontextmanager
    async def leadership(self: Any, stop: asyncio.Event) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection:
            self.progress.leading = True
            yield connection

    _set(Relay, "_leadership", leadership)


def batch_compare() -> None:
    """Batches are written whoever leads and whatever was written before."""
    for statements_ in (relay_batch._SAVE, relay_batch._CONFIRM):
        statements_["relay"] = _replaced(
            statements_["relay"], "WHERE epoch = $1 AND batch = $2", ANYHOW
        )


def batch_saved_first() -> None:
    """A batch is saved when Kafka has it, not before it is sent."""
    save, confirm = BatchTable.save, BatchSender.confirm
    waiting: list[tuple[RelayBatch, Heads]] = []

    async def save_nothing(self: Any, batch: RelayBatch, heads: Heads) -> None:
        await save_what_waits(self)
        waiting.append((batch, heads))

    async def save_what_waits(table: BatchTable) -> None:
        for batch, heads in waiting:
            await save(table, batch, heads)
        waiting.clear()

    async def save_and_confirm(self: Any) -> None:
        await save_what_waits(self._table)
        await confirm(self)

    _set(BatchTable, "save", save_nothing)
    _set(BatchSender, "confirm", save_and_confirm)


def snapshot_difference() -> None:
    """The log is followed by position, as everybody tries first."""
    query = f"SELECT {TEXT_COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT 50"

    async def next_page(self: Any, connection: Any, cursor: Cursor) -> PageOf[Any]:
        rows = await connection.fetch(query, cursor.after_position)
        last = rows[-1]["position"] if rows else cursor.after_position
        target = await current(connection)
        return PageOf(rows, Cursor(published=cursor.target, target=target, after_position=last))

    _set(Relay, "_next_page", next_page)


def follower_lock() -> None:
    """Every worker believes that it alone follows the log."""
    _set(follower, "_LOCK", "SELECT $1::bigint IS NOT NULL AND $2::text IS NOT NULL")


def checkpoint_compare() -> None:
    """The checkpoint is moved from wherever it is."""
    _set(
        checkpoints,
        "_ADVANCE",
        _replaced(checkpoints._ADVANCE, "AND batch = $2", "AND $2::bigint IS NOT NULL"),
    )


def park_order() -> None:
    """What comes behind a parked event of its stream is applied."""
    apply_to = apply.apply_to

    async def forgetful(*given: Any, parked: Any = frozenset(), **how: Any) -> Any:
        return await apply_to(*given, parked=frozenset(), **how)

    _set(apply, "apply_to", forgetful)


def log_by_position() -> None:
    """Read models follow the log by position, as everybody tries first."""
    query = f"SELECT {COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT 50"

    async def read_page(connection: Any, cursor: Cursor, **_: Any) -> PageOf[Any]:
        rows = await connection.fetch(query, cursor.after_position)
        events = recorded_events(rows)
        last = events[-1].position if events else cursor.after_position
        moment = await current(connection)
        return PageOf(events, Cursor(published=moment, target=moment, after_position=last))

    _set(follower, "read_page", read_page)


def event_ids() -> None:
    """Nobody looks whether an event is in the log already."""
    nothing = "WHERE event_id", "WHERE false AND event_id"
    _set(insertion, "KNOWN", _replaced(insertion.KNOWN, *nothing))
    _set(insertion, "COMMITTED_STATE", _replaced(insertion.COMMITTED_STATE, *nothing))


def incarnation() -> None:
    """Readers look at the numbers alone, not at which log's they are."""
    link_of = dedup.link_of

    def of_numbers(record: Any) -> Any:
        link = link_of(record)
        return link and replace(link, incarnation="any")

    _set(dedup, "link_of", of_numbers)


def gap_detection() -> None:
    """Readers take what comes next, whatever it follows."""
    follow = dedup._Reader._continue

    def onwards(self: Any, chain: Chain, record: Any, link: Link) -> Any:
        return follow(self, chain, record, replace(link, prev_seq=chain.relay_seq))

    _set(dedup._Reader, "_continue", onwards)


def record_numbers() -> None:
    """Readers take what has a number they have seen."""
    follow = dedup._Reader._continue

    def again(self: Any, chain: Chain, record: Any, link: Link) -> Any:
        if link.relay_seq > chain.relay_seq or record.offset < self.position.next_offset:
            return follow(self, chain, record, link)
        self._move(record.offset)
        return NewRecord(record, link)

    _set(dedup._Reader, "_continue", again)


def inbox_ids() -> None:
    """Messages are known by where their record stood, not by their event."""
    read_message = inbox_feed.read_message

    def placed(reaction: Any, record: Any, recorded: Any) -> Any:
        message = read_message(reaction, record, recorded)
        place = f"{record.topic} {record.partition} {record.offset}"
        return message and replace(message, event_id=inbox_feed.record_id(place))

    _set(inbox_feed, "read_message", placed)


def top_level_ids() -> None:
    """Events know the subtransaction that wrote them, not the transaction: see SCHEMA."""


def rest_of_difference() -> None:
    """A snapshot alone is the place in the log: of a difference only the first page is kept."""
    columns, batch_of = checkpoints._cursor_columns, RelayBatch.next

    def of_snapshot(cursor: Cursor) -> Any:
        return (*columns(cursor)[:-1], True)

    def whole(self: Any, page: PageOf[Any]) -> RelayBatch:
        return replace(batch_of(self, page), complete=True)

    _set(checkpoints, "_cursor_columns", of_snapshot)
    _set(RelayBatch, "next", whole)


def rejoin_remainder() -> None:
    """A read model rejoins the others without what came meanwhile."""

    async def read_nothing(connection: Any, cursor: Cursor, **bounds: Any) -> Page:
        page = await read_page(connection, cursor, **bounds)
        return replace(page, events=[], cursor=replace(page.cursor, complete=True))

    _set(membership, "read_page", read_nothing)


def idle_limit() -> None:
    """A leader may be silent for as long as it likes."""
    _set(relay, "_LIMIT_IDLENESS", "SELECT $1::text, $2::text")
    _set(follower, "_LIMIT_IDLENESS", "SELECT 1")


def claim_deadline() -> None:
    """What reacts goes on with a message for as long as it likes."""
    handle = InboxWorker._handle

    async def unhurried(self: Any, message: Any, deadline: float) -> None:
        await handle(self, message, deadline + 3600)

    _set(InboxWorker, "_handle", unhurried)


def claims() -> None:
    """Messages are finished by whoever had them, however long ago."""
    _set(
        inbox,
        "_COMPLETE",
        _replaced(
            inbox._COMPLETE, "AND fence = $4 AND done_at IS NULL", "AND $4::bigint IS NOT NULL"
        ),
    )


def versions() -> None:
    """Two events of a stream may bear the same version: see SCHEMA."""


def mad_clock() -> None:
    """The clock jumps by up to a day, both ways."""
    dice = random.Random(2)

    def jumping() -> int:
        return time.time_ns() + dice.randint(-86_400, 86_400) * 10**9

    _set(follower, "time_ns", jumping)


_GUARANTEES: Final = (
    *(leader_lock, batch_compare, batch_saved_first, snapshot_difference, follower_lock),
    *(
        checkpoint_compare,
        park_order,
        log_by_position,
        event_ids,
        claims,
        claim_deadline,
        incarnation,
        gap_detection,
        record_numbers,
        inbox_ids,
        top_level_ids,
        rest_of_difference,
        rejoin_remainder,
        idle_limit,
        versions,
    ),
)
_HARDSHIPS: Final = (mad_clock,)
PATCHES: Final[Mapping[str, Callable[[], None]]] = {
    made.__name__.replace("_", " "): made for made in (*_GUARANTEES, *_HARDSHIPS)
}

SCHEMA: Final[Mapping[str, str]] = {
    "event ids": "ALTER TABLE events DROP CONSTRAINT events_event_id_key",
    "versions": "DROP INDEX events_stream_version",
    "top level ids": """CREATE TABLE trace (n bigint);
        CREATE FUNCTION note_subtransaction() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO trace VALUES (NEW.position) RETURNING xmin::text::xid8 INTO NEW.xid;
            RETURN NEW;
        END $$;
        CREATE TRIGGER subtransaction BEFORE INSERT ON events
            FOR EACH ROW EXECUTE FUNCTION note_subtransaction()""",
}
"""What must be taken from the database to switch a guarantee off."""


def patch(names: Sequence[str]) -> None:
    """Apply the named patches to this process, for good."""
    for name in names:
        PATCHES[name]()
