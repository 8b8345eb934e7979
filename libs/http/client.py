"""Asking other services: pooled connections, deadlines, and the caller's trace handed on."""

import aiohttp
import structlog

from libs.telemetry.traces import current_traceparent

CONNECT_SECONDS = 3.0


def open_client(
    *,
    total_seconds: float | None = 30.0,
    connect_seconds: float | None = None,
    connections: int = 100,
    decompress: bool = True,
) -> aiohttp.ClientSession:
    """A session that keeps connections open and no cookies. Close it yourself.

    `total_seconds` bounds a whole exchange, body included; None is for endless streams. To connect
    may take `connect_seconds`, `CONNECT_SECONDS` by default. A proxy that hands bodies on untouched
    does not `decompress`. Needs a running event loop.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(
            total=total_seconds,
            sock_connect=CONNECT_SECONDS if connect_seconds is None else connect_seconds,
        ),
        # One caller's cookies must not be sent for the next.
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=decompress,
    )


def trace_headers(request_id: str | None = None) -> dict[str, str]:
    """The headers by which the next service continues this request's trace and id.

    Where the id is at hand, giving it saves going through the context for it.
    """
    if request_id is None:
        request_id = structlog.contextvars.get_contextvars().get("request_id")
    headers = {"traceparent": current_traceparent(), "X-Request-Id": request_id}
    return {name: value for name, value in headers.items() if value is not None}
