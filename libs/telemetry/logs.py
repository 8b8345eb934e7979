"""Logs: one JSON object per line on stderr, with its trace and request."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from opentelemetry.trace import get_current_span
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
SENSITIVE = re.compile(r"secret|passw|token|api[-_]?key|authorization|cookie", re.IGNORECASE)
CREDENTIALS = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
# Postgres quotes the offending row in this line of its errors.
DETAIL = re.compile(r"^DETAIL: .*$", re.MULTILINE)
CHATTY = ("aiokafka", "alembic", "faststream", "granian", "_granian", "asyncio", "urllib3")
DEPTH = 6


def set_up(service: str, level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send structlog and stdlib logging to `stream` (stderr): JSON, or readable on a terminal.

    Libraries in `CHATTY` log from level WARNING on. May be called again; the last call counts.
    """
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _identify(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.processors.format_exc_info, redact]
    last += _renderer(out)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _route_stdlib(out, level, shared, last)


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Redact values of sensitive keys, at any depth, and credentials inside URLs."""
    return {key: _clean(key, value, DEPTH) for key, value in event.items()}


def _clean(key: object, value: Any, depth: int) -> Any:
    if isinstance(key, str) and SENSITIVE.search(key) and value is not None:
        return REDACTED
    if isinstance(value, str):
        if "://" in value:
            value = CREDENTIALS.sub(REDACTED, value)
        return DETAIL.sub(f"DETAIL: {REDACTED}", value) if "DETAIL: " in value else value
    if isinstance(value, Mapping):
        return {k: _clean(k, v, depth - 1) for k, v in value.items()} if depth else "..."
    if isinstance(value, list | tuple):
        return [_clean(None, v, depth - 1) for v in value] if depth else "..."
    return value


def _identify(service: str) -> Processor:
    def identify(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        context = get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"] = f"{context.trace_id:032x}"
            event["span_id"] = f"{context.span_id:016x}"
        return event

    return identify


def _renderer(out: TextIO) -> list[Processor]:
    if out.isatty():
        return [structlog.dev.ConsoleRenderer()]
    return [structlog.processors.JSONRenderer(serializer=_json)]


def _json(event: EventDict, **_: Any) -> str:
    try:
        return json.dumps(event, default=str, allow_nan=False)
    except (TypeError, ValueError):
        # NaN, or a key that is not a string: an inexact line is better than none.
        return json.dumps({str(key): str(value) for key, value in event.items()})


def _route_stdlib(out: TextIO, level: str, shared: list[Processor], last: list[Processor]) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in CHATTY:
        chatty = logging.getLogger(name)
        chatty.setLevel(max(logging.WARNING, root.level))
        # Some libraries add handlers of their own, which would bypass ours.
        chatty.handlers.clear()
        chatty.propagate = True
    logging.captureWarnings(True)
