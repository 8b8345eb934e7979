"""Reactions: handlers of facts, which run once per fact and never in a replay.

A fact is first stored in the inbox (see `libs.messaging.inbox`). The reaction runs afterwards, and
may fail, wait and be retried. Facts of other services arrive over Kafka
(`libs.messaging.foreign_subscription`), facts of the service itself from its log (`feed_of`).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec
from libs.messaging import inbox
from libs.messaging.inbox import InboxMessage
from libs.projections.projection import Connection, Projection

Event = TypeVar("Event")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to react to an event. Events with the same ordering key are handled in order."""

    ordering_key: str
    run_at: datetime


React: TypeAlias = Callable[[Envelope[Event]], Awaitable[None]]
OnReceived: TypeAlias = Callable[[Connection, Envelope[Event]], Awaitable[None]]
ReactInTransaction: TypeAlias = Callable[[Connection, Envelope[Event]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reaction(Generic[Event]):
    """A handler of facts. `topics` are categories such as `shop.price`.

    `schedule_of` says when to react, None to ignore the event. Exactly one of `react` and
    `react_in_transaction` is given; both may raise anything. `react` runs at least once, so events
    that it appends need a command id derived from the fact. `react_in_transaction` is for effects
    in the reaction's own database: it runs in the transaction that finishes the message, therefore
    exactly once. It must neither commit nor change settings of the session.

    `on_received` runs in the transaction that stores a message, long before `run_at` perhaps. It
    must be safe to repeat. If Postgres refuses its data, the message is parked; any other error
    stops the reading.

    With `latest_wins` only the latest due event of an ordering key is handled, as with prices;
    otherwise a failing event blocks the next ones of its key.
    """

    name: str
    topics: tuple[str, ...]
    codec: Codec[Event]
    schedule_of: Callable[[Event], Schedule | None]
    react: React[Event] | None = None
    react_in_transaction: ReactInTransaction[Event] | None = None
    on_received: OnReceived[Event] | None = None
    latest_wins: bool = False

    def __post_init__(self) -> None:
        if (self.react is None) == (self.react_in_transaction is None):
            raise ValueError(f"reaction {self.name}: give one of react and react_in_transaction")


def is_own(service: str, reaction: Reaction[Any]) -> bool:
    """Whether a reaction handles facts of the service itself; `service` is its wire name.

    Raises ValueError if only some of its topics belong to the service.
    """
    own = {topic.startswith(f"{service}.") for topic in reaction.topics}
    if len(own) != 1:
        raise ValueError(f"reaction {reaction.name} mixes own facts with those of others")
    return own.pop()


FEED_PREFIX: Final = "inbox-"
"""The names of feeds begin with this."""


def own_feeds(service: str, reactions: Iterable[Reaction[Any]]) -> list[Projection[Any]]:
    """The feeds of reactions to facts of the service itself; `service` is its wire name."""
    return [feed_of(reaction) for reaction in reactions if is_own(service, reaction)]


def feed_of(reaction: Reaction[Event]) -> Projection[Event]:
    """The projection that fills the inbox from the service's own log. It has no tables."""
    return Projection(
        name=f"{FEED_PREFIX}{reaction.name}",
        tables=(),
        topics=reaction.topics,
        codec=reaction.codec,
        project=partial(_project, reaction),
    )


async def _project(
    reaction: Reaction[Event], connection: Connection, events: Sequence[Envelope[Event]]
) -> None:
    messages = (message_of(reaction, envelope) for envelope in events)
    await receive(reaction, connection, [one for one in messages if one is not None])


async def receive(
    reaction: Reaction[Event], connection: Any, messages: Sequence[InboxMessage]
) -> None:
    """Store messages in the inbox of a reaction, and run its `on_received`."""
    await inbox.store(connection, reaction.name, messages)
    if reaction.on_received is not None:
        for message in messages:
            if message.record is None:
                await reaction.on_received(connection, envelope_of(reaction, message))


_METADATA: Final = ("actor", "correlation_id", "causation_id", "traceparent")
_encode = msgspec.json.Encoder().encode


def message_of(reaction: Reaction[Event], envelope: Envelope[Event]) -> InboxMessage | None:
    """The event as the inbox stores it; None if the reaction ignores it."""
    schedule = reaction.schedule_of(envelope.event)
    if schedule is None:
        return None
    name, version, data = reaction.codec.encode(envelope.event)
    return InboxMessage(
        tenant=envelope.tenant,
        event_id=envelope.event_id,
        stream=envelope.stream,
        version=envelope.version,
        type=name,
        schema_version=version,
        data=data.decode(),
        metadata=_encode({key: getattr(envelope, key) for key in _METADATA}).decode(),
        occurred_at=envelope.occurred_at,
        recorded_at=envelope.recorded_at,
        ordering_key=schedule.ordering_key,
        run_at=schedule.run_at,
    )


def envelope_of(reaction: Reaction[Event], message: InboxMessage) -> Envelope[Event]:
    """The event of a message. Raises UnknownEvent, UndecodableEvent."""
    metadata: Mapping[str, Any] = msgspec.json.decode(message.metadata)
    data = message.data.encode()
    return Envelope(
        event_id=message.event_id,
        tenant=message.tenant,
        stream=message.stream,
        version=message.version,
        occurred_at=message.occurred_at,
        recorded_at=message.recorded_at,
        event=reaction.codec.decode(message.type, message.schema_version, data),
        **{key: metadata.get(key) for key in _METADATA},
    )
