"""The filter that all queries for scans share: tenant, days, operator, client, city."""

from dataclasses import dataclass
from typing import Final

from services.ingest.scans.domain.day import Days

DASH: Final = "—"
"""Shown instead of an empty name; as a filter it selects the empty name."""

FILTERS: Final = ("operator", "client", "city")
"""The names of all filters: fields of `ScanFilter`, and columns of every table with scans."""

PARTS_OF_BOX: Final = ("operator",)
"""The filters that may select a part of a box."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanFilter:
    """The scans of a tenant on some days. A field that is None filters nothing; `""` selects
    scans whose field is empty."""

    tenant: str
    days: Days
    operator: str | None = None
    client: str | None = None
    city: str | None = None


def matches(scan_filter: ScanFilter, scan: object) -> bool:
    """Whether an object with the fields of `FILTERS` matches, on any day."""
    return all(getattr(scan_filter, name) in (None, getattr(scan, name)) for name in FILTERS)


def parse_value(text: str | None) -> str | None:
    """The value of a filter from its text: None for an empty text, `""` for a dash."""
    return None if not text else "" if text == DASH else text


def display_name(name: str) -> str:
    """The name as people see it."""
    return name or DASH
