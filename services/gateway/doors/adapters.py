"""Which headers are forwarded to services and to clients."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]

HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110 §7.6.1: they speak of one connection only."""

OURS: Final = frozenset(
    {
        b"authorization",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"content-length",
        b"tenant",
        b"traceparent",
        b"tracestate",
        b"via",
        b"x-api-key",
        b"x-real-ip",
        b"x-request-id",
        b"x-scopes",
        b"x-service",
        b"x-subject",
        b"x-tenant",
    }
)
"""What a client may not tell the services behind us: the gateway says it, or nobody does."""

NOT_FORWARDED: Final = HOP_BY_HOP | OURS
OUR_FAMILIES: Final = (b"x-forwarded-", b"x-tenant-", b"x-internal-", b"x-auth-")

SINGLE: Final = frozenset({b"content-type", b"range", b"referer", b"user-agent"})
"""What has one value: given twice, a service may refuse it, or read another one than we did."""

ANSWERED_BY_US: Final = HOP_BY_HOP | {b"server", b"date", b"x-request-id"}
CORS: Final = b"access-control-"
_NONE: Final[frozenset[bytes]] = frozenset()


def forwarded(headers: RawHeaders) -> list[tuple[str, str]]:
    """What of a request's headers (names in lower case) goes on to the service; of what has one
    value, the last."""
    headers = list(headers)
    connection = _named_by_connection(headers)
    last = {name: number for number, (name, _) in enumerate(headers)}
    return [
        (spelled, _text(value))
        for number, (name, value) in enumerate(headers)
        if (spelled := _spelled(name)) is not None
        and (name not in SINGLE or number == last[name])
        and name not in connection
    ]


def answered(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What of a service's answer goes on to the client, names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    connection = _named_by_connection(lowered)
    return [
        (name, value) for name, value in lowered if _is_answered(name) and name not in connection
    ]


# There are few names, and every request has them.
@lru_cache(maxsize=256)
def _spelled(name: bytes) -> str | None:
    """A header's name as it goes on, None if it does not."""
    # Some servers take x_tenant for x-tenant.
    if b"_" in name or name in NOT_FORWARDED or name.startswith(OUR_FAMILIES):
        return None
    return name.decode("latin-1")


def _named_by_connection(headers: RawHeaders) -> frozenset[bytes]:
    named = [value for name, value in headers if name == b"connection"]
    if not named:
        return _NONE
    return frozenset(part.strip().lower() for value in named for part in value.split(b","))


@lru_cache(maxsize=256)
def _is_answered(name: bytes) -> bool:
    return name not in ANSWERED_BY_US and not name.startswith(CORS)


def _text(value: bytes) -> str:
    # aiohttp writes UTF-8; what is not, is nearly always an old client's Latin-1.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
