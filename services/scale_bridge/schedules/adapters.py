"""Time zones by the names of the IANA, as this machine or the package tzdata knows them."""

import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from libs.errors import Unfit

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", re.ASCII)
_LONGEST: Final = 64
_NOBODYS: Final = re.compile(r"(posix|right)/.*|localtime|posixrules|Factory")
"""Files beside the zones: copies of them, some with leap seconds, and whatever a machine is set to.
"""


class UnknownZone(Unfit):
    """There is no such time zone; Europe/Moscow is one."""


def zone(name: str) -> ZoneInfo:
    """The zone of this name. Raises UnknownZone."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name) or _NOBODYS.fullmatch(name):
        raise UnknownZone
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZone from None
