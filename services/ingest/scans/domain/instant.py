"""Instants in RFC 3339."""

import re
from datetime import UTC, datetime
from typing import Final

_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+ -]\d\d:\d\d)", re.ASCII
)


class BadInstant(ValueError):
    """An instant is invalid; the message is for people."""


def parse_instant(text: str) -> datetime:
    """Parse an RFC 3339 timestamp into UTC, truncated to microseconds. Raises BadInstant.

    A blank before the offset means a plus sign: query strings decode `+` as a blank.
    """
    if not (match := _RFC_3339.fullmatch(text)):
        raise BadInstant("an instant must be written YYYY-MM-DDThh:mm:ss+hh:mm, offset and all")
    day, time, fraction, offset = match.groups(default="")
    offset = "+00:00" if offset in "Zz" else offset.replace(" ", "+")
    try:
        moment = datetime.fromisoformat(f"{day}T{time}.{fraction[1:7]:0<6}{offset}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInstant("there is no such instant") from None
