"""Refusals for paths that a door does not have, and for services that do not answer."""

from math import ceil

from services.gateway.doors.api import fault
from services.gateway.doors.domain.door import (
    BadPath,
    Closed,
    NoSuchMethod,
    NotInstalled,
    WebSocketOnly,
)
from services.gateway.proxy.adapters.upstream import UpstreamAway, UpstreamBroke, UpstreamSlow


def door_fault(error: Closed) -> fault.Fault:
    """The refusal of a request that matches no rule."""
    match error:
        case BadPath():
            return fault.bad_path()
        case NotInstalled():
            return fault.not_installed(error.service)
        case NoSuchMethod():
            return fault.method_not_allowed(error.allowed)
        case WebSocketOnly():
            return fault.websocket_only()
        case _:
            return fault.not_found()


def upstream_fault(error: UpstreamAway | UpstreamBroke | UpstreamSlow) -> fault.Fault:
    """The refusal when the service does not answer."""
    match error:
        case UpstreamAway():
            return fault.unavailable(ceil(error.retry_after))
        case UpstreamBroke():
            return fault.bad_gateway()
        case UpstreamSlow():
            return fault.timed_out()
