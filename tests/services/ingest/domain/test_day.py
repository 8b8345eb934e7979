"""Business days and the way dates are written."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.day import (
    BadDate,
    Days,
    day_of,
    days_asked,
    parse_day,
    unix_ms,
    written,
)

MOSCOW = ZoneInfo("Europe/Moscow")
TODAY = date(2025, 10, 31)


def ask(first: str | None, last: str | None = None) -> Days:
    return days_asked(first, last, today=TODAY, longest=92)


@pytest.mark.parametrize("text", ["2025-10-31", "31.10.2025"])
def test_both_ways_to_write_a_date_are_read(text: str) -> None:
    assert parse_day(text) == date(2025, 10, 31)


@pytest.mark.parametrize(
    "text",
    ["", "today", "20251031", "2025-10-32", "31.02.2025", "2025-W44-5", "31/10/2025", "1.1.2025",
     "2025-10-31T10:00", "٢٠٢٥-10-31", "0000-01-01", " 2025-10-31", "2025-10-31\n"],
)  # fmt: skip
def test_anything_else_is_a_bad_date(text: str) -> None:
    with pytest.raises(BadDate):
        parse_day(text)


def test_without_a_date_today_is_meant() -> None:
    assert ask(None) == ask("") == Days(first=TODAY, last=TODAY)


def test_an_end_without_a_beginning_is_ignored() -> None:
    assert ask(None, "2025-01-01") == Days(first=TODAY, last=TODAY)


def test_without_an_end_one_day_is_meant() -> None:
    assert ask("2025-10-01") == Days(first=date(2025, 10, 1), last=date(2025, 10, 1))


def test_an_end_before_the_beginning_is_swapped_with_it() -> None:
    assert ask("03.10.2025", "2025-10-01") == Days(first=date(2025, 10, 1), last=date(2025, 10, 3))


def test_a_range_may_be_as_long_as_the_cap_and_no_longer() -> None:
    assert len(ask("2025-08-01", "2025-10-31")) == 92
    with pytest.raises(BadDate):
        ask("2025-07-31", "2025-10-31")


def test_the_day_begins_at_local_midnight() -> None:
    last_second = datetime(2025, 10, 30, 20, 59, 59, tzinfo=UTC)

    assert day_of(last_second, MOSCOW) == date(2025, 10, 30)
    assert day_of(last_second + timedelta(seconds=1), MOSCOW) == date(2025, 10, 31)


def test_a_day_lasts_as_long_as_its_zone_says() -> None:
    def hours(zone: str, day: date) -> float:
        begins, ends = Days(first=day, last=day).instants(ZoneInfo(zone))
        return (ends - begins).total_seconds() / 3600

    assert hours("Europe/Moscow", date(2025, 10, 26)) == 24
    assert hours("Europe/Berlin", date(2025, 10, 26)) == 25
    assert hours("Europe/Berlin", date(2025, 3, 30)) == 23
    assert hours("America/Havana", date(2025, 3, 9)) == 23, "a midnight that does not exist"


@given(
    second=st.integers(0, 10**9),
    zone=st.sampled_from(["Europe/Moscow", "Europe/Berlin", "America/Havana", "Asia/Kathmandu"]),
)
def test_a_moment_lies_within_the_instants_of_its_day(second: int, zone: str) -> None:
    moment = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    day = day_of(moment, ZoneInfo(zone))

    begins, ends = Days(first=day, last=day).instants(ZoneInfo(zone))

    assert begins <= moment < ends


def test_a_moment_is_written_with_minutes_that_are_no_months() -> None:
    assert written(datetime(2025, 10, 31, 10, 39, 30, tzinfo=UTC), MOSCOW) == "31.10.2025 13:39:30"


def test_milliseconds_are_rounded_down() -> None:
    assert unix_ms(datetime(2025, 10, 31, 0, 0, 0, 1999, tzinfo=UTC)) == 1_761_868_800_001
