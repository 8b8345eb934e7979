"""Between the client's words and the service's: how addresses are spelled, what refusals mean."""

from math import ceil
from typing import Final
from urllib.parse import quote

from starlette.types import Scope

from services.gateway.doors.api import fault
from services.gateway.doors.domain.door import (
    BadPath,
    Closed,
    NoSuchMethod,
    TrailingSlash,
    WebSocketOnly,
)
from services.gateway.proxy.adapters.upstream import UpstreamAway, UpstreamBroke, UpstreamSlow

PRINTABLE: Final = "!$%&'()*+,-./:;<=>?@[\\]^_`{|}~\""


def raw_path(scope: Scope) -> str:
    """The path as the client encoded it, without query."""
    raw: bytes | None = scope.get("raw_path")
    path = quote(scope["path"], safe=PRINTABLE) if raw is None else raw.decode("latin-1")
    return path.partition("?")[0] if raw is not None else path


def target_of(path: str, query: bytes) -> str:
    """Path and query, percent-encoded."""
    if not query:
        return path
    text = query.decode("latin-1")
    if "#" in text or not (text.isascii() and text.isprintable()) or " " in text:
        text = quote(query, safe=PRINTABLE)
    return f"{path}?{text}"


def fault_of(no: Closed, query: bytes) -> fault.Fault:
    """What the client is told when the door does not let it through."""
    match no:
        case BadPath():
            return fault.bad_path()
        case NoSuchMethod():
            return fault.method_not_allowed(no.allowed)
        case WebSocketOnly():
            return fault.websocket_only()
        case TrailingSlash():
            return fault.elsewhere(target_of(no.path, query))
        case _:
            return fault.not_found()


def fault_behind(error: UpstreamAway | UpstreamBroke | UpstreamSlow) -> fault.Fault:
    """What the client is told when the service does not answer."""
    match error:
        case UpstreamAway():
            return fault.unavailable(ceil(error.retry_after))
        case UpstreamBroke():
            return fault.bad_gateway()
        case UpstreamSlow():
            return fault.timed_out()
