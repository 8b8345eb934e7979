"""What a read model is to the runner: a name, its tables, its categories, how events change it.

A projection has no side effects beyond its own tables and can be rebuilt at any time. `project`
gets a page of events, several streams mixed, each stream in its order; however the same history
is cut into pages, the tables must come out the same, and in whatever order streams are mixed.
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
"""Which of some events are applied; it reads what the transaction sees."""


def by_stream(tenant: str, stream: str) -> str:
    """The `shard_key` of a read model each row of which one stream alone changes."""
    return f"{tenant} {stream}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Projection(Generic[Event]):
    """One read model.

    `tables` are unqualified names: which version of them is in use is a matter of the search path.
    `topics` are categories of streams such as `ingest.scan`. `project` may raise anything: an event
    that cannot be applied is parked with its stream. `version` rises when `project` or `tables`
    change so that old rows no longer fit; then the read model must be rebuilt. `select` is asked
    first, once a page for all read models that share it, codec and events; what it says must depend
    on each event alone, not on its neighbours.

    `shard_key`, given tenant and stream, lets several shards of a runner feed the read model at
    once: all streams that change one row have one key. Without it one shard feeds it. `version`
    rises with it, too.
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
        """Select and project; raises whatever these raise."""
        if self.select is not None:
            events = await self.select(connection, events)
        if events:
            await self.project(connection, events)
