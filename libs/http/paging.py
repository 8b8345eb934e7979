"""The styles of paging: by number of the page, by entries to skip, by offset, and by cursor.

The first three are dependencies that make a `Slice` of a request: `page: Annotated[Slice,
by_number(limit=20, most=1000)]`; 422 for what is out of bounds. A `cursor` continues after the last
entry of a page, whatever was added since: the body is the list itself, and the header `Link` names
the next page (RFC 8288), relative to the request, so that it is right behind every prefix.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Generic, NoReturn, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from fastapi import Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel

Item = TypeVar("Item")

LINK: Final = "Link"
LONGEST: Final = 2048
MOST_SKIPPED: Final = 10_000_000
TEXT: Final = re.compile(r"[^\x00]+")

Cursor = Annotated[str | None, Query(max_length=LONGEST)]
Number = Annotated[int, Query(ge=1, le=MOST_SKIPPED)]
Offset = Annotated[int, Query(ge=0, le=MOST_SKIPPED)]


class Page(BaseModel, Generic[Item]):
    """A part of a list, and the number of all its entries (spec shop §1)."""

    items: list[Item]
    total: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a list that a client wants: `limit` entries after the first `offset` ones."""

    limit: int
    offset: int

    def numbered(self, items: Sequence[Any], total: int) -> dict[str, Any]:
        """The answer with the number of the page and of all pages, 0 for an empty list."""
        return {
            "items": items,
            "page": self.offset // self.limit + 1,
            "limit": self.limit,
            "total": total,
            "pages": -(-total // self.limit),
        }


def by_number(*, limit: int, most: int) -> Any:
    """`page` from 1, and `limit` (`most` at most), by default the given one (spec crm §1.1)."""
    default, bounds = limit, Query(ge=1, le=most)

    async def params(page: Number = 1, limit: Annotated[int, bounds] = default) -> Slice:
        return Slice(limit, (page - 1) * limit)

    return Depends(params)


def by_skip(*, limit: int, most: int, numbered: bool = False) -> Any:
    """`skip` and `limit` (spec shop §1); with `numbered` also `page` from 1, which overrides."""
    default, bounds = limit, Query(ge=1, le=most)

    async def params(skip: Offset = 0, limit: Annotated[int, bounds] = default) -> Slice:
        return Slice(limit, skip)

    async def params_with_page(
        first: Annotated[Slice, Depends(params)], page: Number | None = None
    ) -> Slice:
        return first if page is None else Slice(first.limit, (page - 1) * first.limit)

    return Depends(params_with_page if numbered else params)


def by_offset(*, limit: int, most: int) -> Any:
    """`limit` and `offset` (spec kiosk §1)."""
    default, bounds = limit, Query(ge=1, le=most)

    async def params(limit: Annotated[int, bounds] = default, offset: Offset = 0) -> Slice:
        return Slice(limit, offset)

    return Depends(params)


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


def linked(
    request: Request,
    response: Response,
    items: Sequence[Item],
    limit: int,
    position: Callable[[Item], tuple[object, ...]],
) -> Sequence[Item]:
    """The first `limit` of `items`, which were read with one more; if there is one more, `Link`
    leads to it: the same request after the `position` of the last entry."""
    page = items[:limit]
    if page and len(items) > limit:
        parameters = request.query_params.multi_items()
        kept = [(name, value) for name, value in parameters if name not in ("cursor", "offset")]
        query = urlencode([*kept, ("cursor", cursor_of(*position(page[-1])))])
        response.headers[LINK] = f'<?{query}>; rel="next"'
    return page


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
