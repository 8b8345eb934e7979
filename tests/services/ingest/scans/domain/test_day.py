"""The business day of a moment."""

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from services.ingest.scans.domain.day import day_of

ZONES = ("Europe/Moscow", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia")


@pytest.mark.parametrize("name", ZONES)
def test_the_day_of_a_moment_does_not_depend_on_earlier_calls(name: str) -> None:
    zone, random = ZoneInfo(name), Random(name)
    # Clocks changed here one minute after midnight.
    around = [datetime(2006, 10, 29, 2, tzinfo=UTC), datetime(2011, 12, 30, 9, tzinfo=UTC)]
    for _ in range(3000):
        moment = random.choice(around) + timedelta(minutes=random.randrange(-3000, 3000))
        local = moment.astimezone(random.choice([UTC, zone]))

        assert day_of(local, zone) == moment.astimezone(zone).date(), moment


def test_the_ends_of_the_calendar_have_days_too() -> None:
    first = datetime(1, 1, 1, 12, tzinfo=UTC)
    last = datetime(9999, 12, 31, 12, tzinfo=UTC)

    assert day_of(first, ZoneInfo("Europe/Moscow")) == first.date()
    assert day_of(last, ZoneInfo("Europe/Moscow")) == last.date()
