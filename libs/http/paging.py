"""Long lists, page after page: `cursor` goes on after the last one seen, whatever came since.

The bodies are as they always were. Where there is more, `Link` says how to ask for it (RFC 8288),
relative to where it was asked: it is right behind every prefix.
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
PLU: Final = re.compile(r"[^\x00]+")

Cursor = Annotated[str | None, Query(max_length=LONGEST)]


def cursor_of(*place: object) -> str:
    """Where a page ended, for clients to hand back as it is."""
    said = msgspec.json.encode([str(part) for part in place])
    return urlsafe_b64encode(said).rstrip(b"=").decode()


def moment_and_id(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The place of such a cursor. Raises HTTPException 422."""
    if cursor is None:
        return None
    try:
        at, number = _parts(cursor, of=2)
        moment, named = datetime.fromisoformat(at), UUID(number)
    except ValueError:
        _no_cursor()
    # What has no zone is none of ours.
    return (moment, named) if moment.tzinfo else _no_cursor()


def plu(cursor: str | None) -> str | None:
    """The place of a cursor that is a PLU. Raises HTTPException 422."""
    if cursor is None:
        return None
    try:
        [found] = _parts(cursor, of=1)
    except ValueError:
        _no_cursor()
    return found if PLU.fullmatch(found) else _no_cursor()


def page_of(found: Sequence[Item], limit: int) -> tuple[Sequence[Item], bool]:
    """What is on the page, and whether there is more, if one more was asked for than fits."""
    return found[:limit], len(found) > limit


def tell_next(request: Request, response: Response, cursor: str) -> None:
    """Say how to ask for what follows: as this was asked, but after `cursor`."""
    asked = [(name, value) for name, value in request.query_params.multi_items()]
    kept = [(name, value) for name, value in asked if name not in ("cursor", "offset")]
    query = urlencode([*kept, ("cursor", cursor)])
    response.headers[LINK] = f'<?{query}>; rel="next"'


def _parts(cursor: str, *, of: int) -> list[str]:
    """Raises ValueError."""
    try:
        said = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        parts = msgspec.json.decode(said, type=list[str])
    except (Error, msgspec.MsgspecError, UnicodeError) as error:
        raise ValueError from error
    if len(parts) != of:
        raise ValueError
    return parts


def _no_cursor() -> NoReturn:
    """Say so. Raises HTTPException."""
    said = "cursor must be one that an answer gave"
    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, said)
