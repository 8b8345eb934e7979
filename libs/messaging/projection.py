"""What a read model tells its projector: a name, its tables, its topics, and how events change it.

A projection has no side effects beyond its own tables and can be rebuilt at any time. `project`
gets a batch of events, several streams mixed, each stream in its order; however the same history
is cut into batches, the tables must come out the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec

Event = TypeVar("Event")

Connection: TypeAlias = Any
"""An asyncpg connection or the pool's proxy of one, inside a transaction."""

Project: TypeAlias = Callable[[Connection, Sequence[Envelope[Event]]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection(Generic[Event]):
    """One read model as its projector sees it.

    `tables` are unqualified names: the edition in use is a matter of the search path (see
    `libs.messaging.editions`). `topics` are categories such as `ingest.scan`. `project` may raise
    anything: what cannot be applied is parked with its stream. After a batch events gather for
    `linger_seconds`, which costs less work and some freshness, but for the first after a silence;
    a backlog is not waited for.
    """

    name: str
    tables: tuple[str, ...]
    topics: tuple[str, ...]
    codec: Codec[Event]
    project: Project[Event]
    linger_seconds: float = 0.0
