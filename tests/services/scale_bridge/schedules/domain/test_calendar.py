"""Calendars of scales: their bounds, whatever order they are given in."""

from typing import Any

import pytest

from services.scale_bridge.schedules.domain.calendar import BadCalendar, calendar


def test_times_in_any_order_are_the_same_calendar() -> None:
    one = calendar(["20:00", "08:00", "20:00"], zone="UTC", weekdays=["sun", "mon"])
    assert one == calendar(["08:00", "20:00"], zone="UTC", weekdays=["mon", "sun", "sun"])
    assert (one.at, one.weekdays) == (("08:00", "20:00"), ("mon", "sun"))


@pytest.mark.parametrize(
    "bad",
    [
        *({"at": [time]} for time in ("24:00", "8:00", "08:00:00", "0800", "x")),
        *({"at": []}, {"at": [f"00:{minute:02}" for minute in range(25)]}),
        *({"weekdays": []}, {"weekdays": ["mon", "Monday"]}, {"missed": "perhaps"}),
        *({"jitter_minutes": minutes} for minutes in (-1, 121)),
        *({"grace_minutes": minutes} for minutes in (-1, 1441)),
    ],
    ids=lambda bad: str(bad)[:40],
)
def test_a_calendar_out_of_bounds_is_refused(bad: dict[str, Any]) -> None:
    said: dict[str, Any] = {"at": ["08:00"], "zone": "UTC", **bad}
    with pytest.raises(BadCalendar):
        calendar(said.pop("at"), **said)
