"""Conditional requests: which state of a resource a response shows, and which one a request means.

RFC 9110 §8.8.3 and §13.1. Our entity tags are strong: the same tag is the same state, byte for
byte.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request, Response

ANY: Final = "*"
ETAG: Final = "ETag"
# RFC 9110 §8.8.3; a comma may stand inside of the quotes.
_TAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def strong_tag(state: object) -> str:
    """The tag of a state, as the header `ETag` has it. `state` is spelled without quotes."""
    return f'"{state}"'


def not_modified(
    request: Request, tag: str, headers: Mapping[str, str] | None = None
) -> Response | None:
    """304 with `headers` and the tag if the client has this state already, by `If-None-Match`
    (§13.1.2); weak tags count. None if the state is to be sent."""
    lines = request.headers.getlist("If-None-Match")
    if not _is_any(lines) and tag not in {one for _, one in _tags(lines)}:
        return None
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={**(headers or {}), ETAG: tag})


@dataclass(frozen=True, slots=True)
class Precondition:
    """The lines of `If-Match`, none if it was not sent."""

    lines: tuple[str, ...] = ()

    def allows(self, tag: str | None) -> bool:
        """Whether the resource may be changed; its `tag` is None if it does not exist.

        Weak tags never match, nor does what is no tag (§13.1.1).
        """
        if not self.lines:
            return True
        if _is_any(self.lines):
            return tag is not None
        return tag in {one for weak, one in _tags(self.lines) if not weak}

    def check(self, tag: str | None, detail: str) -> None:
        """Raise HTTPException with 412, the tag and `detail` unless the resource may be changed.

        Check the state that the change is decided on, so that one of several concurrent changes
        of the same state succeeds.
        """
        if not self.allows(tag):
            headers = None if tag is None else {ETAG: tag}
            raise HTTPException(HTTPStatus.PRECONDITION_FAILED, detail, headers)


async def if_match(request: Request) -> Precondition:
    """The precondition of a request."""
    return Precondition(tuple(request.headers.getlist("If-Match")))


IfMatch = Annotated[Precondition, Depends(if_match)]


def _is_any(lines: Iterable[str]) -> bool:
    return ",".join(lines).strip() == ANY


def _tags(lines: Iterable[str]) -> list[tuple[str, str]]:
    return _TAG.findall(",".join(lines))
