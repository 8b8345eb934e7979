"""The dates on a label: their format, and how auto-update sets them (R13)."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from services.scale_bridge.driver.domain.document import Document, Product, products

MOST_DAYS: Final = 9999
_FORMAT: Final = re.compile(r"(\d{2})-(\d{2})-(\d{2})", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,5}", re.ASCII)
_CENTURY: Final = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Refreshed:
    """A catalogue with new dates. `left_alone` counts products without a usable shelf life."""

    document: Document
    changed: int
    left_alone: int


def is_date(text: str) -> bool:
    """Whether it is a day of this century, as DD-MM-YY."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        return False
    day, month, year = (int(part) for part in match.groups())
    try:
        date(_CENTURY + year, month, day)
    except ValueError:
        return False
    return True


def format_date(day: date) -> str:
    """The day as DD-MM-YY."""
    return f"{day.day:02}-{day.month:02}-{day.year % 100:02}"


def refreshed(document: Mapping[str, Any], now: datetime) -> Refreshed:
    """The catalogue with `manufactureDate` today and `sellByDate` at the end of the shelf life.

    `now` is aware, in the time zone of the scale. Other fields do not change; a product without a
    usable shelf life keeps both dates.
    """
    items = []
    changed = left_alone = 0
    for item in products(document):
        end = sell_by(item, now)
        if end is None:
            left_alone += 1
            items.append(item)
            continue
        dates = {"manufactureDate": format_date(now.date()), "sellByDate": format_date(end)}
        changed += any(item.get(name) != value for name, value in dates.items())
        items.append({**item, **dates})
    return Refreshed(
        document={**document, "products": items}, changed=changed, left_alone=left_alone
    )


def sell_by(product: Product, now: datetime) -> date | None:
    """The last day of sale of a product made now; None without a usable shelf life."""
    kind, life = product.get("shelfLifeType"), _number(product.get("shelfLife"))
    if kind == "HOURS" and life is not None:
        # In UTC, so that an hour is an hour when clocks change.
        return (now.astimezone(UTC) + timedelta(hours=life)).astimezone(now.tzinfo).date()
    if kind not in (None, "DAYS") or life is None:
        life = _number(product.get("shelfLifeInDays"))
    return None if life is None else now.date() + timedelta(days=life)


def _number(value: object) -> int | None:
    """A shelf life as a whole number; some programs write it as text."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= MOST_DAYS else None
