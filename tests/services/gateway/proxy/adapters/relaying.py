"""Forwarding a request through the client of a service."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from libs.testing.clock import MonotonicClock
from libs.testing.polling import PATIENCE_SECONDS
from libs.testing.servers import AsgiExchange
from services.gateway.proxy.adapters.upstream import (
    Body,
    CircuitBreaker,
    Deadlines,
    Upstream,
    UpstreamRequest,
    open_upstream,
)

PATIENT = Deadlines(connect=PATIENCE_SECONDS, answer=PATIENCE_SECONDS, idle=PATIENCE_SECONDS)


def connect(
    url: str, deadlines: Deadlines = PATIENT, failures: int = 100
) -> AbstractAsyncContextManager[Upstream]:
    breaker = CircuitBreaker(failures=failures, seconds=60, now=MonotonicClock())
    return open_upstream(url, connections=10, breaker=breaker, deadlines=deadlines)


def request(method: str = "GET", target: str = "/", body: Body = None) -> UpstreamRequest:
    return UpstreamRequest(method=method, target=target, headers=[], body=body)


POST = request("POST", body=b"x")


async def relayed(
    upstream: Upstream, what: UpstreamRequest | None = None
) -> tuple[int, dict[bytes, bytes], bytes]:
    """The whole answer."""
    exchange = AsgiExchange()
    await upstream.relay(what or request(), exchange.receive, exchange.send)
    start = await exchange.next()
    body = b""
    while (message := await exchange.next())["more_body"]:
        body += message["body"]
    return start["status"], dict(start["headers"]), body + message["body"]


async def aiter_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
