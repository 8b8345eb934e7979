"""HTTP clients for other services: pooled connections, deadlines, trace propagation."""

import aiohttp
import structlog

from libs.telemetry.traces import current_traceparent

CONNECT_SECONDS = 3.0


def open_client(
    *,
    total_seconds: float | None = 30.0,
    connections: int = 100,
) -> aiohttp.ClientSession:
    """A session with a pool of connections and without cookies. The caller must close it.

    `total_seconds` limits a whole exchange, body included; None is for endless streams. Needs a
    running event loop.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30),
        timeout=aiohttp.ClientTimeout(total=total_seconds, sock_connect=CONNECT_SECONDS),
        # The cookies of one caller must not be sent for another.
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def trace_headers(request_id: str | None = None) -> dict[str, str]:
    """The headers with which the next service continues this request's trace and id.

    Passing the id, where it is known, saves looking it up in the context.
    """
    if request_id is None:
        request_id = structlog.contextvars.get_contextvars().get("request_id")
    headers = {"traceparent": current_traceparent(), "X-Request-Id": request_id}
    return {name: value for name, value in headers.items() if value is not None}
