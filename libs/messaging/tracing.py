"""Where a request's trace goes after its answer: through the relay and into the read models.

The relay serves many requests with one page, so its span only links to them. A commit of a read
model continues each request's own trace: that is the end people look for.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanKind,
    set_span_in_context,
)

from libs.eventsourcing.log import RecordedEvent
from libs.messaging.batch_sender import BatchSpan
from libs.messaging.wire import Row, traceparents
from libs.projections.follower import OnApplied
from libs.telemetry.traces import Telemetry, parse

MOST_LINKS: Final = 32


def relay_span(telemetry: Telemetry) -> BatchSpan:
    """A span around each page the relay sends, linked to the requests in it."""

    def span(rows: Sequence[Row]) -> AbstractContextManager[Any]:
        return telemetry.span(
            "relay publish",
            kind=SpanKind.PRODUCER,
            links=traceparents(rows)[:MOST_LINKS],
            attributes={"messaging.batch.message_count": len(rows)},
        )

    return span


def projected_spans(telemetry: Telemetry) -> OnApplied:
    """A span for each request whose events a commit made visible, continuing its trace."""

    def on_applied(
        models: Sequence[str], events: Sequence[RecordedEvent], began: int, ended: int
    ) -> None:
        for origin in _origins(events):
            context = parse(origin)
            if not (context.is_valid and context.trace_flags.sampled):
                continue
            for model in models:
                span = telemetry.tracer.start_span(
                    f"project {model}",
                    context=set_span_in_context(NonRecordingSpan(context)),
                    kind=SpanKind.CONSUMER,
                    links=[Link(context)],
                    attributes={"tillstream.projection": model},
                    start_time=began,
                )
                span.end(ended)

    return on_applied


def _origins(events: Sequence[RecordedEvent]) -> list[str]:
    """The distinct trace contexts of `events`, in order."""
    return list(dict.fromkeys(e.metadata.traceparent for e in events if e.metadata.traceparent))
