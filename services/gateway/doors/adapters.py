"""The headers that are forwarded to services and to clients."""

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
"""RFC 9110 §7.6.1: they apply to one connection only."""

SET_FOR_SERVICES: Final = frozenset(
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
"""Headers that services trust the gateway for: it sets them, and drops those of clients."""

NOT_FORWARDED: Final = HOP_BY_HOP | SET_FOR_SERVICES
SET_FAMILIES: Final = (b"x-forwarded-", b"x-tenant-", b"x-internal-", b"x-auth-")

SINGLE: Final = frozenset({b"content-type", b"range", b"referer", b"user-agent"})
"""Headers with one value. If repeated, a service might read another one than the gateway."""

SET_BY_GATEWAY: Final = HOP_BY_HOP | {b"server", b"date", b"x-request-id"}
CORS: Final = b"access-control-"
_NONE: Final[frozenset[bytes]] = frozenset()


def forwarded(headers: RawHeaders) -> list[tuple[str, str]]:
    """The request's headers (names in lower case) for the service; of SINGLE ones the last."""
    headers = list(headers)
    connection = _named_by_connection(headers)
    last = {name: number for number, (name, _) in enumerate(headers)}
    return [
        (forwarded_name, _text(value))
        for number, (name, value) in enumerate(headers)
        if (forwarded_name := _forwarded_name(name)) is not None
        and (name not in SINGLE or number == last[name])
        and name not in connection
    ]


def returned(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a service's answer for the client, names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    connection = _named_by_connection(lowered)
    return [
        (name, value) for name, value in lowered if _is_returned(name) and name not in connection
    ]


# There are few names, and every request has them.
@lru_cache(maxsize=256)
def _forwarded_name(name: bytes) -> str | None:
    """The name of a forwarded header; None if the header is dropped."""
    # Some servers read x_tenant as x-tenant.
    if b"_" in name or name in NOT_FORWARDED or name.startswith(SET_FAMILIES):
        return None
    return name.decode("latin-1")


def _named_by_connection(headers: RawHeaders) -> frozenset[bytes]:
    named = [value for name, value in headers if name == b"connection"]
    if not named:
        return _NONE
    return frozenset(part.strip().lower() for value in named for part in value.split(b","))


@lru_cache(maxsize=256)
def _is_returned(name: bytes) -> bool:
    return name not in SET_BY_GATEWAY and not name.startswith(CORS)


def _text(value: bytes) -> str:
    # aiohttp writes UTF-8. Other bytes are nearly always Latin-1 of an old client.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
