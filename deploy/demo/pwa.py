"""What the scanner app makes of a scan: its state and its grammar, as devices run it."""

import re
from dataclasses import dataclass, replace
from typing import Final

AUTO_CLOSE_SECONDS: Final = 3600.0
"""Counted from the opening of the box, not from the last scan (spec §3.2)."""
CHECK_SECONDS: Final = 60.0

_CYRILLIC: Final = re.compile("[а-яё]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Handheld:
    """The open city and box, empty if none. `opened_at` is in seconds, as the caller counts."""

    city: str = ""
    box: str = ""
    opened_at: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HandheldEvent:
    """What an event says, apart from its id, its time and who made it."""

    type: str
    code: str
    city: str
    box: str = ""
    details: str = ""

    @property
    def client(self) -> str:
        """The part of the box label before the first slash."""
        return self.box.partition("/")[0]


def scanned(handheld: Handheld, text: str, *, at: float) -> tuple[Handheld, HandheldEvent]:
    """The state after scanning a non-empty `text`, and the event it makes (spec §3.3)."""
    text = text.strip()
    if _CYRILLIC.search(text):
        return handheld, _error(handheld, "CYRILLIC_ERROR", details=text)
    prefix, colon, value = text.partition(":")
    match prefix.upper() if colon else "":
        case "CITY" if value == "CLOSE":
            return _close_city(handheld)
        case "CITY":
            return _open_city(handheld, value)
        case "BOX":
            return _box(handheld, value, at)
        case _:
            return handheld, _item(handheld, text)


def auto_close_at(handheld: Handheld) -> float | None:
    """When the open box will close by itself: at the first minute tick after its hour."""
    if not handheld.box:
        return None
    ticks = -(-(handheld.opened_at + AUTO_CLOSE_SECONDS) // CHECK_SECONDS)
    return ticks * CHECK_SECONDS


def auto_closed(handheld: Handheld) -> tuple[Handheld, HandheldEvent]:
    """The state without its box, and the event about it."""
    event = HandheldEvent(
        type="AUTO_CLOSE", code=handheld.box, city=handheld.city, box=handheld.box
    )
    return replace(handheld, box=""), event


def _close_city(handheld: Handheld) -> tuple[Handheld, HandheldEvent]:
    if handheld.box:
        return handheld, _error(handheld, "BOX_NOT_CLOSED")
    if not handheld.city:
        return handheld, _error(handheld, "NO_CITY")
    return Handheld(), HandheldEvent(type="CITY_CLOSE", code=handheld.city, city=handheld.city)


def _open_city(handheld: Handheld, city: str) -> tuple[Handheld, HandheldEvent]:
    if handheld.city not in {"", city}:
        return handheld, _error(handheld, "CITY_NOT_CLOSED")
    return replace(handheld, city=city), HandheldEvent(
        type="CITY", code=city, city=city, box=handheld.box
    )


def _box(handheld: Handheld, label: str, at: float) -> tuple[Handheld, HandheldEvent]:
    if not handheld.city:
        return handheld, _error(handheld, "NO_CITY")
    if handheld.box not in {"", label}:
        return handheld, _error(handheld, "BOX_NOT_CLOSED")
    opening = not handheld.box
    event = HandheldEvent(
        type="BOX" if opening else "CLOSE", code=label, city=handheld.city, box=label
    )
    return replace(handheld, box=label if opening else "", opened_at=at), event


def _item(handheld: Handheld, code: str) -> HandheldEvent:
    if not handheld.box:
        return _error(handheld, "NO_BOX")
    return HandheldEvent(type="ITEM", code=code, city=handheld.city, box=handheld.box)


def _error(handheld: Handheld, code: str, *, details: str = "") -> HandheldEvent:
    return HandheldEvent(
        type="ERROR", code=code, city=handheld.city, box=handheld.box, details=details
    )
