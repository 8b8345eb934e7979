"""Stores Kafka records in the inbox, each batch in one transaction with the reader's positions."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import asyncpg

from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.schema import MAX_NAME
from libs.eventsourcing.store import envelope
from libs.failpoints import failpoint
from libs.messaging import inbox, positions
from libs.messaging.dedup import Gap, NewRecord, TopicPartition, deduplicate
from libs.messaging.inbox import InboxMessage, RawRecord
from libs.messaging.reaction import Reaction, message_of, receive
from libs.messaging.wire import Record, Unreadable, decode
from libs.postgres.pool import skip_session_reset

Event = TypeVar("Event")

MAX_UNREADABLE: Final = 1000
"""The limit of unreadable records of a reaction. Beyond it the reaction is at fault: it stops."""

UNSTORABLE_ERRORS: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    UnicodeError,
)
"""Errors of Postgres and asyncpg for a message that cannot be stored."""


class TooManyUnreadable(Exception):
    """More than `MAX_UNREADABLE` records cannot be read: the reaction itself is at fault."""


@dataclass(slots=True)
class Stored:
    """The result of one batch: counts, and next offsets and gaps by partition."""

    messages: int = 0
    repeated: int = 0
    unreadable: int = 0
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    gaps: dict[TopicPartition, Gap] = field(default_factory=dict)


class InboxFeed(Generic[Event]):
    """Stores records of other services' topics in the inbox of one reaction."""

    def __init__(self, pool: asyncpg.Pool, reaction: Reaction[Event]) -> None:
        self._pool = pool
        self._reaction = reaction

    async def store(self, records: Sequence[Record]) -> Stored:
        """Store new records and move the positions, in one transaction.

        Records of one partition must be in order. A record that cannot be read is stored as it is
        and parked. Raises PositionConflict, TooManyUnreadable, and what asyncpg raises; nothing is
        stored then.
        """
        partitions: dict[TopicPartition, list[Record]] = defaultdict(list)
        for record in records:
            partitions[record.topic, record.partition].append(record)
        try:
            return await self._store(partitions, one_by_one=False)
        except UNSTORABLE_ERRORS:
            return await self._store(partitions, one_by_one=True)

    async def _store(
        self, partitions: Mapping[TopicPartition, Sequence[Record]], *, one_by_one: bool
    ) -> Stored:
        name = self._reaction.name
        failpoint("inbox-storing")
        async with self._pool.acquire() as connection, connection.transaction():
            skip_session_reset(connection)
            old = await positions.lock(connection, name, partitions)
            read = {at: deduplicate(partitions[at], old[at]) for at in sorted(partitions)}
            stored = Stored(
                repeated=sum(batch.repeated for batch in read.values()),
                next_offsets={at: batch.position.next_offset for at, batch in read.items()},
                gaps={at: batch.gap for at, batch in read.items() if batch.gap},
            )
            for batch in read.values():
                await self._add(connection, batch.records, stored, one_by_one=one_by_one)
            if (
                stored.unreadable
                and await inbox.count_unreadable(connection, name) > MAX_UNREADABLE
            ):
                raise TooManyUnreadable("hardly any record can be read")
            failpoint("inbox-saving")
            await positions.save(
                connection, name, old, {at: batch.position for at, batch in read.items()}
            )
        failpoint("inbox-stored")
        return stored

    async def _add(
        self, connection: Any, records: Sequence[NewRecord], stored: Stored, *, one_by_one: bool
    ) -> None:
        read = [(one.record, self._read(one)) for one in records]
        messages = [(record, message) for record, message in read if message is not None]
        if one_by_one:
            messages = [
                (record, await self._add_one(connection, record, message))
                for record, message in messages
            ]
        else:
            batch = [message for _, message in messages]
            await receive(self._reaction, connection, batch)
        stored.messages += len(messages)
        stored.unreadable += sum(message.record is not None for _, message in messages)

    async def _add_one(
        self, connection: Any, record: Record, message: InboxMessage
    ) -> InboxMessage:
        """Store the message, or else its record as unreadable."""
        try:
            async with connection.transaction():
                await receive(self._reaction, connection, [message])
        except UNSTORABLE_ERRORS as error:
            message = unreadable_message(record, f"{type(error).__name__}: {error}")
            await inbox.store(connection, self._reaction.name, [message])
        return message

    def _read(self, new: NewRecord) -> InboxMessage | None:
        """The message of a record; None if the reaction ignores it."""
        try:
            recorded = decode(new.record).recorded
            if new.floor is not None and recorded.recorded_at < new.floor:
                return None
        except Unreadable as error:
            return unreadable_message(new.record, f"Unreadable: {error}")
        return read_message(self._reaction, new.record, recorded)


def read_message(
    reaction: Reaction[Event], record: Record, recorded: RecordedEvent
) -> InboxMessage | None:
    """The event as a message, None if the reaction ignores it; parked if it cannot be read."""
    try:
        event = reaction.codec.decode(recorded.type, recorded.schema_version, recorded.data)
        return message_of(reaction, envelope(recorded, event))
    except Exception as error:  # noqa: BLE001 -- the reaction's own code may raise anything
        return unreadable_message(record, f"{type(error).__name__}: {error}", recorded)


def unreadable_message(
    record: Record, error: str, recorded: RecordedEvent | None = None
) -> InboxMessage:
    """A parked message with the record itself. Its id is the event's, or one of its offset."""
    location = f"{record.topic} {record.partition} {record.offset}"
    headers = dict(record.headers)
    now = datetime.now(UTC)
    return InboxMessage(
        tenant=recorded.metadata.tenant if recorded else _name(headers.get("tenant"), "?"),
        event_id=recorded.event_id if recorded else record_id(location),
        stream=recorded.stream if recorded else _name(headers.get("ce_subject"), location),
        version=recorded.version if recorded else None,
        type=recorded.type.replace("\0", "") if recorded else "?",
        schema_version=1,
        data="null",
        metadata="{}",
        occurred_at=now,
        recorded_at=now,
        ordering_key=f"record {location}",
        run_at=now,
        record=raw_record(record),
        error=error[:500].replace("\0", ""),
    )


def record_id(location: str) -> UUID:
    """The id of a record without an event id; migrations compute the same with md5()."""
    return UUID(bytes=hashlib.md5(location.encode(), usedforsecurity=False).digest())


def raw_record(record: Record) -> RawRecord:
    """A copy of the record, without NUL characters in the names of its headers."""
    headers = [(name.replace("\0", "?"), value) for name, value in record.headers]
    return RawRecord(
        record.topic, record.partition, record.offset, record.key, record.value, headers
    )


def _name(value: bytes | None, default: str) -> str:
    text = (value or b"").decode(errors="replace").replace("\0", "")
    return text if 0 < len(text) <= MAX_NAME else default
