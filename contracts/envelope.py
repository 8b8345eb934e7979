"""The envelope around every event: who, when, why, and where in the log; and its sealed texts."""

from datetime import datetime
from typing import Generic, NamedTuple, NewType, TypeVar
from uuid import UUID

Event = TypeVar("Event", covariant=True)

Sealed = NewType("Sealed", str)
"""A text about a person, encrypted with a key of that person. Only the service that wrote it can
open it, until the person is forgotten. The ids beside it name the person."""


class Envelope(NamedTuple, Generic[Event]):
    """An event as read from the log or from a topic. A named tuple, since that is created in half
    the time of a frozen dataclass, and a projection gets one for every event.

    `version` counts from 1 within the stream and is None for facts, which have no order within it.
    `occurred_at` is by the clock of the event's author, `recorded_at` by the log's. `traceparent`
    is the W3C trace context of the request that caused the event, or None.
    """

    event_id: UUID
    tenant: str
    stream: str
    version: int | None
    occurred_at: datetime
    recorded_at: datetime
    correlation_id: str | None
    causation_id: str | None
    actor: str | None
    traceparent: str | None
    event: Event
