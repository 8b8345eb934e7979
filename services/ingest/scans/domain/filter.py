"""What a dashboard asks: whose scans, of which days, by whom, for whom, where."""

import re
from dataclasses import dataclass
from typing import Final

from services.ingest.scans.domain.day import Days

DASH: Final = "—"
"""How an empty name is shown, and how one asks for it."""

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanFilter:
    """Days and filters. A filter of None lets everything pass, `""` only what has no name."""

    tenant: str
    days: Days
    operator: str | None = None
    client: str | None = None
    city: str | None = None


def parse(text: str | None) -> str | None:
    """A filter as typed: nothing typed filters nothing, a dash means "without a name"."""
    return None if not text else "" if text == DASH else text


def named(name: str) -> str:
    """A name; none if it is an id. Callers without a name have one, which is shown nowhere."""
    return "" if _ID.fullmatch(name) else name


def display_name(name: str) -> str:
    """A name as people see it."""
    return name or DASH
