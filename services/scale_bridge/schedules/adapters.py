"""Time zones by IANA name, from this machine or the package tzdata."""

import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from libs.errors import Unfit

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", re.ASCII)
_LONGEST: Final = 64
_NO_ZONES: Final = re.compile(r"(posix|right)/.*|localtime|posixrules|Factory")
"""Files that lie beside the zones: copies, some with leap seconds, and the machine's own zone."""


class UnknownZone(Unfit):
    """There is no such time zone; Europe/Moscow is one."""


def zone(name: str) -> ZoneInfo:
    """The zone with a name. Raises UnknownZone."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name) or _NO_ZONES.fullmatch(name):
        raise UnknownZone
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZone from None
