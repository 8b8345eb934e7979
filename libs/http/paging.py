"""Paging: `cursor` continues after the last entry of a page, whatever was added since.

The body is the list itself. The header `Link` names the next page (RFC 8288), relative to the
request, so that it is right behind every prefix.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, NoReturn, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import HTTPException, Query, Request, Response

Item = TypeVar("Item")

LINK: Final = "Link"
LONGEST: Final = 2048
TEXT: Final = re.compile(r"[^\x00]+")

Cursor = Annotated[str | None, Query(max_length=LONGEST)]


def cursor_of(*position: object) -> str:
    """The opaque cursor of the position at which a page ended."""
    encoded = msgspec.json.encode([str(part) for part in position])
    return urlsafe_b64encode(encoded).rstrip(b"=").decode()


def moment_and_id(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The instant and id that a cursor holds. Raises HTTPException 422."""
    if cursor is None:
        return None
    try:
        at, number = _parts(cursor, of=2)
        moment, identifier = datetime.fromisoformat(at), UUID(number)
    except ValueError:
        _raise_invalid()
    # Our instants have a zone.
    return (moment, identifier) if moment.tzinfo else _raise_invalid()


def text(cursor: str | None) -> str | None:
    """The text that a cursor holds. Raises HTTPException 422."""
    if cursor is None:
        return None
    try:
        [position] = _parts(cursor, of=1)
    except ValueError:
        _raise_invalid()
    return position if TEXT.fullmatch(position) else _raise_invalid()


def page_of(items: Sequence[Item], limit: int) -> tuple[Sequence[Item], bool]:
    """The first `limit` items, and whether there are more; read `items` with `limit + 1`."""
    return items[:limit], len(items) > limit


def link_next(request: Request, response: Response, cursor: str) -> None:
    """Set the link to the next page: the same request after `cursor`."""
    parameters = [(name, value) for name, value in request.query_params.multi_items()]
    kept = [(name, value) for name, value in parameters if name not in ("cursor", "offset")]
    query = urlencode([*kept, ("cursor", cursor)])
    response.headers[LINK] = f'<?{query}>; rel="next"'


def _parts(cursor: str, *, of: int) -> list[str]:
    """Raises ValueError."""
    try:
        encoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        parts = msgspec.json.decode(encoded, type=list[str])
    except (Error, msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError from error
    if len(parts) != of:
        raise ValueError
    return parts


def _raise_invalid() -> NoReturn:
    """Raises HTTPException 422."""
    detail = "cursor must be one that an answer gave"
    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
