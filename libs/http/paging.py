"""Pages of long lists: `cursor` continues after the last entry seen, whatever was added since.

The body is the list alone; the header `Link` names the next page (RFC 8288), relative to the
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
    """An opaque cursor for the position where a page ended."""
    encoded = msgspec.json.encode([str(part) for part in position])
    return urlsafe_b64encode(encoded).rstrip(b"=").decode()


def moment_and_id(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The position in a cursor of an instant and an id. Raises HTTPException 422."""
    if cursor is None:
        return None
    try:
        at, number = _parts(cursor, of=2)
        moment, named = datetime.fromisoformat(at), UUID(number)
    except ValueError:
        _no_cursor()
    # Our instants have a zone.
    return (moment, named) if moment.tzinfo else _no_cursor()


def text(cursor: str | None) -> str | None:
    """The position in a cursor of one text. Raises HTTPException 422."""
    if cursor is None:
        return None
    try:
        [position] = _parts(cursor, of=1)
    except ValueError:
        _no_cursor()
    return position if TEXT.fullmatch(position) else _no_cursor()


def page_of(items: Sequence[Item], limit: int) -> tuple[Sequence[Item], bool]:
    """The page, and whether there are more; `items` were read with a limit of one more."""
    return items[:limit], len(items) > limit


def link_next(request: Request, response: Response, cursor: str) -> None:
    """Name the next page: the same request, but after `cursor`."""
    given = [(name, value) for name, value in request.query_params.multi_items()]
    kept = [(name, value) for name, value in given if name not in ("cursor", "offset")]
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


def _no_cursor() -> NoReturn:
    """Raises HTTPException 422."""
    detail = "cursor must be one that an answer gave"
    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
