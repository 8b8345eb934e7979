"""The path and query of a request, as its client encoded them."""

from typing import Final
from urllib.parse import quote

from starlette.types import Scope

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
