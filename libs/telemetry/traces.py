"""Traces: W3C trace context through HTTP, the log and Kafka, with or without a collector."""

import asyncio
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import Token
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, Sampler
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.util.types import AttributeValue

EXPORT_SECONDS = 5
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The tracer of one service, passed on explicitly; nothing is registered globally.

    With `records` false no span is recorded: a span is only its ids.
    """

    service: str
    provider: TracerProvider
    tracer: Tracer
    records: bool = True

    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> AbstractContextManager[Span]:
        """Make a span the current one while the block runs.

        `parent` and `links` are `traceparent` texts; malformed ones are ignored. Without a parent
        the span is a child of the current one. An exception marks the span with its class name
        only, because messages may quote personal input.
        """
        if not self.records:
            return _IdsOnly(parent)
        return self._recorded(name, parent, links, kind, attributes)

    @contextmanager
    def _recorded(
        self,
        name: str,
        parent: str | None,
        links: Sequence[str],
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> Iterator[Span]:
        span = self.tracer.start_span(
            name,
            context=_context(parent),
            kind=kind,
            attributes=attributes,
            links=[Link(context) for link in links if (context := parse(link)).is_valid],
            record_exception=False,
            set_status_on_exception=False,
        )
        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield span
            except Exception as error:
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def close(self) -> None:
        """Send the queued spans, within `EXPORT_SECONDS`. Blocks: call it at the very end."""
        self.provider.force_flush(EXPORT_SECONDS * 1000)
        self.provider.shutdown()

    async def stop(self) -> None:
        """Like `close`, within `CLOSE_SECONDS`: spans that are not sent by then are lost."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self.close()
            # The loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(closed.set)

        # A daemon thread, because a process waits for threads of an executor when it ends.
        threading.Thread(target=close, name="telemetry-close", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await closed.wait()


def set_up(
    service: str,
    otlp_endpoint: str | None = None,
    sampler: Sampler | None = None,
    *,
    exporter: SpanExporter | None = None,
) -> Telemetry:
    """A tracer that sends spans to `otlp_endpoint` (OTLP over HTTP), or at once to `exporter`.

    With neither, spans are not recorded, but still have valid ids, so that logs, log rows and Kafka
    records have the trace.
    """
    recorded = otlp_endpoint is not None or exporter is not None
    provider = TracerProvider(
        sampler=(sampler or DEFAULT_ON) if recorded else ALWAYS_OFF,
        resource=Resource({"service.name": service, "service.namespace": "tillstream"}),
        shutdown_on_exit=False,
    )
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    if otlp_endpoint is not None:
        # Imported here, because it loads requests and protobuf, which take memory.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        url = f"{otlp_endpoint.rstrip('/')}/v1/traces"
        sender = OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(sender))
    return Telemetry(service, provider, provider.get_tracer("tillstream"), recorded)


class _IdsOnly(AbstractContextManager[Span]):
    """Makes a span of ids only the current one while the block runs.

    It costs a tenth of a span that the tracer makes and its sampler drops.
    """

    __slots__ = ("_span", "_token")

    def __init__(self, parent: str | None) -> None:
        context = parse(parent) if parent is not None else INVALID_SPAN_CONTEXT
        if not context.is_valid:
            context = get_current_span().get_span_context()
        trace_id = context.trace_id if context.is_valid else _random_id(128)
        self._span = NonRecordingSpan(SpanContext(trace_id, _random_id(64), is_remote=False))
        self._token: Token[Any] | None = None

    def __enter__(self) -> Span:
        self._token = attach(set_span_in_context(self._span))
        return self._span

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            detach(self._token)


def _random_id(bits: int) -> int:
    # Zero is not a valid id.
    return random.getrandbits(bits) or 1


def current_traceparent() -> str | None:
    """The `traceparent` of the current span, None outside of any span."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def parse(traceparent: str | None) -> SpanContext:
    """Parse a W3C `traceparent`. Returns the invalid context if it is malformed."""
    parts = (traceparent or "").split("-")
    lengths = [len(part) for part in parts[:4]]
    # Version 00 has four parts; later versions may have more, ff is forbidden.
    if lengths != [2, 32, 16, 2] or parts[0] == "ff" or (parts[0] == "00" and len(parts) != 4):
        return INVALID_SPAN_CONTEXT
    if not set("".join(parts[:4])) <= set("0123456789abcdef"):
        return INVALID_SPAN_CONTEXT
    return SpanContext(
        trace_id=int(parts[1], 16),
        span_id=int(parts[2], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(parts[3], 16) & TraceFlags.SAMPLED),
    )


def _context(parent: str | None) -> Context | None:
    if parent is None:
        return None
    context = parse(parent)
    return set_span_in_context(NonRecordingSpan(context)) if context.is_valid else None
