"""Ask a service through the gateway's client, and take the whole answer."""

from contextlib import AbstractAsyncContextManager

from services.gateway.adapters.breaker import Breaker
from services.gateway.adapters.upstream import Asked, Body, Deadlines, Upstream, open_upstream
from tests.services.gateway.conftest import Exchange

PATIENT = Deadlines(connect=5, answer=20, idle=20)


def opened(
    url: str, deadlines: Deadlines = PATIENT, failures: int = 100
) -> AbstractAsyncContextManager[Upstream]:
    breaker = Breaker(failures=failures, seconds=60)
    return open_upstream(url, connections=10, breaker=breaker, deadlines=deadlines)


def asked(method: str = "GET", target: str = "/", body: Body = None) -> Asked:
    return Asked(method=method, target=target, headers=[], body=body)


async def relayed(upstream: Upstream, what: Asked) -> tuple[int, dict[bytes, bytes], bytes]:
    """The whole answer."""
    exchange = Exchange()
    await upstream.relay(what, exchange.receive, exchange.send)
    start = await exchange.next()
    body = b""
    while (message := await exchange.next())["more_body"]:
        body += message["body"]
    return start["status"], dict(start["headers"]), body + message["body"]
