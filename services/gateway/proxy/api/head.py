"""The head of a request: its length, and its headers by name."""

from collections.abc import Iterable

from services.gateway.doors.api import fault
from services.gateway.doors.api.cors import Scope
from services.gateway.settings import Settings

LINE_BYTES = len(b": \r\n")


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """One value per name (in lower case), the last. Of host and credentials `Edge` leaves one."""
    return dict(headers)


def overlong(scope: Scope, settings: Settings) -> fault.Fault | None:
    """The refusal of a head that is too long: 414 for the address, 431 for the headers."""
    path: bytes | str = scope.get("raw_path") or scope["path"]
    if len(path) + len(scope["query_string"]) > settings.max_url_bytes:
        return fault.long_url()
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value) + LINE_BYTES
    return fault.large_headers() if size > settings.max_header_bytes else None
