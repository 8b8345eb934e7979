"""Entity tags: which state of a resource a response shows, and which one a request is about.

RFC 9110 §8.8.3 and §13.1. Ours are strong: the same tag is the same state, byte for byte.
"""

import re
from collections.abc import Iterable
from typing import Final

ANY: Final = "*"
# RFC 9110 §8.8.3; a comma may stand inside of the quotes.
_TAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def strong_tag(state: object) -> str:
    """The tag of a state, as the header `ETag` has it. `state` is spelled without quotes."""
    return f'"{state}"'


def if_match_allows(if_match: Iterable[str], current: str | None) -> bool:
    """Whether `If-Match` (its lines, none if it was not sent) allows a change of `current`.

    `current` is None if the resource does not exist. Weak tags never match, nor does what is no tag
    (§13.1.1).
    """
    lines = list(if_match)
    if not lines:
        return True
    if _is_any(lines):
        return current is not None
    return current in {tag for weak, tag in _tags(lines) if not weak}


def is_not_modified(if_none_match: Iterable[str], current: str) -> bool:
    """Whether the client has `current` already, by `If-None-Match` (§13.1.2); weak tags count."""
    lines = list(if_none_match)
    return _is_any(lines) or current in {tag for _, tag in _tags(lines)}


def _is_any(lines: Iterable[str]) -> bool:
    return ",".join(lines).strip() == ANY


def _tags(lines: Iterable[str]) -> list[tuple[str, str]]:
    return _TAG.findall(",".join(lines))
