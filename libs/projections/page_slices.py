"""The events of a page that each read model is given, decoded: by categories and by shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from contracts.envelope import Envelope
from libs.eventsourcing.codec import Codec, UndecodableEvent, UnknownEvent
from libs.eventsourcing.log import RecordedEvent
from libs.eventsourcing.store import envelope
from libs.projections.projection import Projection, Select
from libs.projections.shards import Shard, StreamKey

Event = TypeVar("Event")


@dataclass(slots=True)
class Decoded(Generic[Event]):
    """An event of the log and its envelope; without one, `reason` and `error` say why."""

    recorded: RecordedEvent
    envelope: Envelope[Event] | None
    reason: str = ""
    error: str = ""

    @property
    def stream(self) -> StreamKey:
        return self.recorded.metadata.tenant, self.recorded.stream


class PageSlice(Generic[Event]):
    """The events of a page for read models that share codec and categories."""

    def __init__(self, events: Sequence[Decoded[Event]]) -> None:
        self.events = events
        self.envelopes = envelopes_of(events)
        self.readable = len(self.envelopes) == len(events)
        self.selected: dict[Select[Event], Sequence[Envelope[Event]]] = {}
        """The result of each `select` for all envelopes; valid in one transaction."""

    async def apply_all(self, connection: Any, model: Projection[Event]) -> None:
        """Apply what the read model selects of all the events, which must be readable."""
        if model.select is None:
            events: Sequence[Envelope[Event]] = self.envelopes
        else:
            if model.select not in self.selected:
                self.selected[model.select] = await model.select(connection, self.envelopes)
            events = self.selected[model.select]
        if events:
            await model.project(connection, events)


def envelopes_of(events: Sequence[Decoded[Event]]) -> Sequence[Envelope[Event]]:
    """The envelopes of the events that could be decoded."""
    return [event.envelope for event in events if event.envelope is not None]


def decode_page(codec: Codec[Event], events: Sequence[RecordedEvent]) -> PageSlice[Event]:
    """Decode every event, once for all read models that share the codec."""
    return PageSlice([_decode(codec, recorded) for recorded in events])


def slices_of(
    models: Sequence[Projection[Any]], events: Sequence[RecordedEvent], service: str
) -> dict[str, PageSlice[Any]]:
    """The events of each read model's categories, by read model."""
    kinds = [event.stream.partition("-")[0] for event in events]
    names = {kind: f"{service}.{kind}" for kind in set(kinds)}
    categories = [names[kind] for kind in kinds]
    present, by_codec = set(categories), {}
    slices: dict[tuple[int, frozenset[str]], PageSlice[Any]] = {}
    for model in models:
        key = id(model.codec)
        if key not in by_codec:
            by_codec[key] = decode_page(model.codec, events)
        topics = frozenset(model.topics) & present
        if (key, topics) not in slices:
            pairs = zip(categories, by_codec[key].events, strict=True)
            slices[key, topics] = (
                by_codec[key]
                if topics == present
                else PageSlice([event for category, event in pairs if category in topics])
            )
    return {m.name: slices[id(m.codec), frozenset(m.topics) & present] for m in models}


def of_shard(model: Projection[Any], part: PageSlice[Any], shard: Shard) -> PageSlice[Any]:
    """The events that the shard applies to the read model."""
    if not shard.serves(model):
        return PageSlice([])
    if model.shard_key is None:
        return part
    return PageSlice([event for event in part.events if shard.applies(model, event.stream)])


def _decode(codec: Codec[Event], recorded: RecordedEvent) -> Decoded[Event]:
    try:
        event = codec.decode(recorded.type, recorded.schema_version, recorded.data)
    except UnknownEvent as error:
        return Decoded(recorded, None, "unknown", str(error))
    except UndecodableEvent as error:
        return Decoded(recorded, None, "undecodable", str(error))
    return Decoded(recorded, envelope(recorded, event))
