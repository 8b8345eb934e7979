"""A read model as the runner sees it: name, tables, categories, and how events change it.

A projection has no side effects beyond its own tables and can be rebuilt at any time. `project`
gets a page of events of several streams, each stream in order. The tables must not depend on how
the history is cut into pages, nor on how the streams are interleaved.
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

Select: TypeAlias = Callable[
    [Connection, Sequence[Envelope[Event]]], Awaitable[Sequence[Envelope[Event]]]
]
"""Returns the events to apply; it may query the database in the page's transaction."""


def by_stream(tenant: str, stream: str) -> str:
    """The `shard_key` of a read model in which every row is changed by one stream only."""
    return f"{tenant} {stream}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection(Generic[Event]):
    """One read model.

    `tables` are unqualified names; the search path decides which version of them is used. `topics`
    are categories of streams such as `ingest.scan`. `project` may raise anything: an event that
    cannot be applied is parked with its stream. `select` filters the events first, once a page for
    all read models that share it, the codec and the categories; its result must depend on each
    event alone.

    `shard_key`, given tenant and stream, lets several shards feed the read model concurrently: all
    streams that change the same row must have the same key. Without it one shard feeds it.

    Raise `version` when a change of `project`, `tables` or `shard_key` makes old rows unfit; then
    the read model must be rebuilt.
    """

    name: str
    tables: tuple[str, ...]
    topics: tuple[str, ...]
    codec: Codec[Event]
    project: Project[Event]
    version: int = 1
    select: Select[Event] | None = None
    shard_key: Callable[[str, str], str] | None = None

    async def apply(self, connection: Connection, events: Sequence[Envelope[Event]]) -> None:
        """Select and project. Raises what these raise."""
        if self.select is not None:
            events = await self.select(connection, events)
        if events:
            await self.project(connection, events)
