"""Days of a shop: what happened to its orders, as it was when the day was closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

DAYS: Final = "shop.day"


@dataclass(frozen=True, kw_only=True, slots=True)
class DayClosed:
    """A day in the shop's zone was closed, or closed again since later events changed its figures.

    `figures` by name, without those of 0; amounts are whole tenge. `placed` orders have lines for
    `flower_sum` and `delivery_fees`, as changed that day; `cancelled` ones had `cancelled_sum` in
    all. `moved.<status>` counts moves by the new status. `received.<method>` are payments: those
    that a provider reported, and what was due on orders that staff marked as paid, cash on delivery
    among it. `written_off` counts stems that left with orders, without those that came back.

    `corrects` is what `figures` add to those of the closing before, None for the first one.
    `position` is that of the last event in the figures.
    """

    day: date
    figures: Mapping[str, int]
    corrects: Mapping[str, int] | None
    position: int
    closed_by: str
    closed_at: datetime
