"""The head of a request: its length, and its headers by name."""

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, unquote_plus

from services.gateway.doors.api import fault
from services.gateway.doors.api.cors import Scope
from services.gateway.settings import Settings

LINE_BYTES = len(b": \r\n")
TOKEN = "token"  # noqa: S105 -- the name of a parameter


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


def with_query_token(headers: Mapping[bytes, bytes], query: bytes) -> Mapping[bytes, bytes]:
    """The headers of a WebSocket's handshake, with an access token of its query as a bearer token.

    Browsers cannot send headers with a WebSocket. Credentials in headers take precedence, and
    several tokens are none.
    """
    if b"authorization" in headers or b"x-api-key" in headers:
        return headers
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    tokens = [value for name, value in given if name == TOKEN]
    if len(tokens) != 1:
        return headers
    return {**headers, b"authorization": b"Bearer " + tokens[0].encode()}


def without_token(query: bytes) -> bytes:
    """The query for the service, without tokens, otherwise as it is."""
    parts = query.split(b"&")
    names = [unquote_plus(part.partition(b"=")[0].decode("latin-1")) for part in parts]
    return b"&".join(part for part, name in zip(parts, names, strict=True) if name != TOKEN)
