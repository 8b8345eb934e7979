"""Live messages: a read model of what has just happened, pushed to clients at once.

Messages belong to a kind within a tenant, such as `orders`. They are stored for a while, so that a
client that was disconnected gets those that it missed, from whichever process it reconnects to.

A message must not contain personal data: ids, types and states are enough. What a client sees of a
person is added when the message is sent: see `Group.complete`. `libs.http.sockets` sends messages.
"""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import msgspec

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec
from libs.http import live
from libs.http.live import LiveQuery
from libs.postgres import query
from libs.postgres.pool import Pool, tenant_connection
from libs.postgres.rls import Migration, create_tenant_tables
from libs.process.periodic import Periodic
from libs.projections.projection import Connection, Projection

Event = TypeVar("Event")

NAME: Final = "live_message"
"""The name of the read model and of its table."""
PAGE: Final = 200
"""The most messages that are read at once."""
NO_LIMIT: Final = 2**63 - 1
RETENTION: Final = timedelta(hours=2)
"""Longer than a socket lives by default."""
PRUNE_SECONDS: Final = 60.0
BACKLOG_BYTES = 1024 * 1024
"""How many of a group's latest messages stay in memory: as JSON, at least one message."""
OLDEST_EVENT: Final = timedelta(days=1)
"""Events that were recorded before that are of no interest any more: a rebuild skips them."""

DEFINITION: Final = """(
    id bigint PRIMARY KEY,
    tenant text NOT NULL,
    kind text NOT NULL,
    type text NOT NULL,
    data jsonb NOT NULL,
    at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now()
)"""
INDEX: Final = "CREATE INDEX live_message_group ON live_message (tenant, kind, id)"

# Only one shard feeds the read model, so that transactions, and ids within them, follow each other.
_NEWEST_OF_ALL: Final = "SELECT coalesce(max(id), 0) FROM live_message"
_INSERT: Final = """
INSERT INTO live_message (id, tenant, kind, type, data, at)
SELECT id, tenant, kind, type, data::jsonb, at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    AS new (id, tenant, kind, type, data, at)
WHERE at > now() - $7::interval
"""

_NEWEST: Final = "SELECT coalesce(max(id), 0) FROM live_message WHERE tenant = $1 AND kind = $2"
_IS_STORED: Final = """
SELECT EXISTS (SELECT FROM live_message WHERE tenant = $1 AND kind = $2 AND id = $3)
"""
_PAGE: Final = """
SELECT id, type, data, at FROM live_message
WHERE tenant = $1 AND kind = $2 AND id > $3 AND id <= $4 ORDER BY id LIMIT $5
"""

# The newest message of a kind stays: by its id a client learns that it missed nothing.
_PRUNE: Final = """
DELETE FROM live_message AS old
WHERE stored_at <= now() - $1::interval AND EXISTS (
    SELECT FROM live_message AS newer
    WHERE (newer.tenant, newer.kind) = (old.tenant, old.kind) AND newer.id > old.id
)
"""

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class NewMessage:
    """A message of an event: its kind and type, and its data, without personal data."""

    kind: str
    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class LiveMessage:
    """A stored message. `id` rises in the order in which messages become visible."""

    id: int
    type: str
    data: Mapping[str, Any]
    at: datetime

    @cached_property
    def text(self) -> str:
        """The message as JSON for clients."""
        return _encode(
            {
                "type": self.type,
                "data": self.data,
                "timestamp": self.at.isoformat(),
                "event_id": str(self.id),
            }
        ).decode()


@dataclass(frozen=True)
class MessagePage:
    """Messages in order. Of the ids up to `reached` there are no others; `more` may follow."""

    messages: Sequence[LiveMessage]
    reached: int
    more: bool = False


Announce: TypeAlias = Callable[[Envelope[Event]], Iterable[NewMessage]]
"""The messages of an event, in order; none for most events."""
Complete: TypeAlias = Callable[[str, Sequence[LiveMessage]], Awaitable[Sequence[LiveMessage]]]
"""Adds to messages of a tenant what was not stored; may leave some out. Called once per process for
new messages, and for pages of old ones."""


def create_live_messages(op: Migration) -> None:
    """Create the table in the current schema."""
    create_tenant_tables(op, {NAME: DEFINITION}, [INDEX])


def live_messages(
    announce: Announce[Event], *, codec: Codec[Event], topics: Sequence[str]
) -> Projection[Event]:
    """The projection that stores the messages of events.

    An id is the time of recording in microseconds, or the next free one after the newest id: so
    ids rise even if transactions became visible in another order, and a rebuild assigns the same
    ones, save for that rare case. Columns `id` and `stored_at` are no part of what the history
    determines.
    """

    async def project(connection: Connection, events: Sequence[Envelope[Event]]) -> None:
        new = [(event, message) for event in events for message in announce(event)]
        if not new:
            return
        last, rows = await connection.fetchval(_NEWEST_OF_ALL), []
        for event, message in new:
            last = max(last + 1, round(event.recorded_at.timestamp() * 1_000_000))
            data = _encode(message.data).decode()
            rows.append((last, event.tenant, message.kind, message.type, data, event.recorded_at))
        await connection.execute(_INSERT, *map(list, zip(*rows, strict=True)), OLDEST_EVENT)

    return Projection(name=NAME, tables=(NAME,), topics=tuple(topics), codec=codec, project=project)


def pruning(system: Pool, retention: timedelta = RETENTION) -> Periodic:
    """The job of a worker that deletes messages older than `retention`. Several may run it."""

    async def prune() -> None:
        await query.execute(system, _PRUNE, retention)

    return Periodic(f"{NAME} retention", prune, PRUNE_SECONDS)


@dataclass(frozen=True)
class MessageReader:
    """Reads the messages of a kind in a tenant. All methods raise Unavailable."""

    pool: Pool
    tenant: str
    kind: str

    async def newest(self) -> int:
        """The id of the newest message, 0 without any."""
        async with tenant_connection(self.pool, self.tenant) as connection:
            newest: int = await connection.fetchval(_NEWEST, self.tenant, self.kind)
        return newest

    async def is_stored(self, id: int) -> bool:
        """Whether the message is still stored; then so are all that came after it."""
        async with tenant_connection(self.pool, self.tenant) as connection:
            return bool(await connection.fetchval(_IS_STORED, self.tenant, self.kind, id))

    async def page(self, after: int, until: int = NO_LIMIT) -> MessagePage:
        """The first messages with `after` < id <= `until`."""
        async with tenant_connection(self.pool, self.tenant) as connection:
            rows = await connection.fetch(_PAGE, self.tenant, self.kind, after, until, PAGE)
        messages = [_message(row) for row in rows]
        if more := len(rows) == PAGE:
            until = messages[-1].id
        elif until == NO_LIMIT:
            until = messages[-1].id if messages else after
        return MessagePage(messages, until, more)


def _message(row: Any) -> LiveMessage:
    return LiveMessage(row["id"], row["type"], msgspec.json.decode(row["data"]), row["at"])


async def as_stored(_: str, messages: Sequence[LiveMessage]) -> Sequence[LiveMessage]:
    """The default of a group: messages are sent as they are stored."""
    return messages


@dataclass(frozen=True)
class Group:
    """The sockets that receive messages of one kind in one tenant.

    All sockets of a process with equal `kind` and `tenant` use the same `complete`.
    """

    kind: str
    tenant: str
    complete: Complete = as_stored


@dataclass(frozen=True)
class Backlog:
    """The latest messages of a group: all with `after` < id <= `last`."""

    after: int
    last: int
    messages: Sequence[LiveMessage] = ()

    def extended(self, page: MessagePage) -> "Backlog":
        """With a further page, without the oldest messages beyond BACKLOG_BYTES."""
        messages = [*self.messages, *page.messages]
        size, start = 0, len(messages)
        while start and (size := size + len(messages[start - 1].text)) <= BACKLOG_BYTES:
            start -= 1
        start = min(start, max(0, len(messages) - 1))
        after = messages[start - 1].id if start else self.after
        return Backlog(after, page.reached, messages[start:])

    def since(self, id: int) -> Sequence[LiveMessage]:
        """The messages after `id`, which must not be before `after`."""
        return self.messages[bisect_right(self.messages, id, key=attrgetter("id")) :]


class GroupMessages(LiveQuery[Backlog]):
    """The latest messages of a group, for all its sockets in this process."""

    models: ClassVar[Sequence[str]] = (NAME,)
    max_states: ClassVar[int] = 1

    def __init__(self, pool: Pool, group: Group) -> None:
        self.key = group.kind, group.tenant
        self.reader = MessageReader(pool, group.tenant, group.kind)
        self._group = group
        self._backlog: Backlog | None = None

    async def load(self, *, changed: bool) -> Backlog | None:
        """The backlog with all messages there are now. Raises Unavailable."""
        backlog = self._backlog
        if backlog is None:
            newest = await self.reader.newest()
            backlog = Backlog(newest, newest)
        more = True
        while more:
            page = await self.page(backlog.last)
            backlog, more = backlog.extended(page), page.more
        self._backlog = backlog
        return backlog

    async def page(self, after: int, *until: int) -> MessagePage:
        """A page of stored messages, completed. Raises Unavailable."""
        page = await self.reader.page(after, *until)
        if not page.messages:
            return page
        return replace(page, messages=await self._group.complete(self._group.tenant, page.messages))

    def event(self, old: Backlog | None, new: Backlog) -> live.Event | None:
        """Not sent itself; wakes the sockets."""
        return None if old is not None and old.last == new.last else ("messages", new.last)
